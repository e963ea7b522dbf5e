//! A state object: two blocks, several streams, records with and without each of their parts.

use skein_shared::format::block::{BlockBuffer, BlockDecoder, OrgRange, SyncMarker};
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::frame::{HeaderBuffer, RecordRef, RecordTimestamp};
use skein_shared::format::state_object::{
    Head, StateFooter, StateObjectWriter, TailRead, read_tail,
};
use skein_shared::ids::OrgId;
use skein_shared::offset::Offset;

use super::fixed::{at, flush, made_with, shared_shard, stream, write_id};
use super::{Golden, Written};

/// A header's name and value.
type Header = (&'static str, Option<&'static str>);

#[derive(Debug, PartialEq)]
struct Record {
    partition: u32,
    org: Option<OrgId>,
    offset: Offset,
    timestamp: RecordTimestamp,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

pub(super) fn goldens() -> Vec<Golden> {
    vec![Golden {
        name: "state-object-1",
        written: Written::Packed(written()),
        check: Box::new(check),
    }]
}

fn head() -> Head {
    Head {
        marker: SyncMarker(*b"SYNC-16-bytes-\x00\xff"),
        write_id: write_id(),
        shard: shared_shard(),
        flush: flush(12),
        number: 3,
    }
}

/// Text that zstd packs, with headers of all sorts; and noise, which stays as it is.
fn blocks() -> [Vec<Record>; 2] {
    let record = |partition, offset| Record {
        partition,
        org: Some(OrgId(u64::from(partition) * 64 + 17)),
        offset: Offset(offset),
        timestamp: RecordTimestamp::Created(at(offset)),
        key: None,
        value: Some("the same again and again. ".repeat(4).into_bytes()),
        headers: Vec::new(),
    };
    let noise = (0..48_u32).map(|i| i.wrapping_mul(0x9e37_79b9).to_be_bytes()[0]);
    let packed = vec![
        record(5, 4_100),
        Record {
            headers: vec![
                ("skein-org", Some("337")),
                ("empty", Some("")),
                ("null", None),
            ],
            key: Some(b"a key".to_vec()),
            timestamp: RecordTimestamp::Appended(at(-3)),
            ..record(6, 70)
        },
        Record {
            value: None,
            key: Some(Vec::new()),
            timestamp: RecordTimestamp::Missing,
            ..record(5, 4_105)
        },
        Record {
            value: Some(Vec::new()),
            ..record(9, 1)
        },
    ];
    let raw = vec![
        Record {
            value: Some(noise.collect()),
            ..record(6, 71)
        },
        Record {
            org: None,
            value: Some(b"no payload".to_vec()),
            ..record(6, 80)
        },
    ];
    [packed, raw]
}

fn written() -> Vec<u8> {
    let mut writer = StateObjectWriter::new(head(), made_with());
    let mut bytes = writer.head_bytes().to_vec();
    let mut headers = HeaderBuffer::default();
    for records in blocks() {
        let mut buffer = BlockBuffer::with_capacity(1 << 10);
        for record in records {
            headers.clear();
            for (name, value) in &record.headers {
                headers.push(name.as_bytes(), value.map(str::as_bytes));
            }
            let stored = RecordRef {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: headers.headers(),
            };
            buffer.append(&stream(record.partition), record.org, &stored);
        }
        let block = buffer.encode(&head().marker);
        writer.push(&block.summary);
        bytes.extend_from_slice(&block.bytes);
    }
    bytes.extend_from_slice(&writer.finish().tail);
    bytes
}

fn check(bytes: &[u8]) {
    assert_eq!(Head::decode(bytes).unwrap(), head());
    let TailRead::Footer(footer) = read_tail(bytes, bytes.len() as u64).unwrap() else {
        panic!("the whole object is there");
    };
    check_footer(&footer);
    let codecs = footer
        .blocks
        .iter()
        .map(|block| bytes[usize::try_from(block.at).unwrap() + 40]);
    assert_eq!(codecs.collect::<Vec<_>>(), [1, 0], "one zstd, one raw");
    let mut decoder = BlockDecoder::new();
    let mut digest = ContentDigest::EMPTY;
    for (entry, expected) in footer.blocks.iter().zip(blocks()) {
        let start = usize::try_from(entry.at).unwrap();
        let end = start + usize::try_from(entry.bytes).unwrap();
        let block = decoder.decode(&head().marker, &bytes[start..end]).unwrap();
        assert_eq!(block.orgs(), entry.orgs);
        let mut count = 0;
        for (frame, expected) in block.frames().zip(&expected) {
            let frame = frame.unwrap();
            assert_eq!(block.streams()[frame.stream], stream(expected.partition));
            check_record(&frame.record, expected);
            count += 1;
        }
        assert_eq!(count, expected.len());
        assert_eq!(entry.frames, expected.len() as u64);
        for (sum, span) in block.stream_summaries().unwrap().iter().zip(&entry.spans) {
            assert_eq!(footer.streams[span.stream].stream, sum.stream);
            assert_eq!((span.first, span.last), (sum.first, sum.last.offset));
            digest.add(sum.digest);
        }
    }
    assert_eq!(footer.digest(), digest);
}

fn check_footer(footer: &StateFooter) {
    assert_eq!(footer.write_id, write_id());
    assert_eq!(footer.shard, shared_shard());
    assert_eq!(footer.flush, flush(12));
    assert_eq!(footer.number, 3);
    assert_eq!(footer.made_with, made_with());
    assert_eq!(footer.frames(), 6);
    let orgs = |first, last| {
        let [first, last] = [first, last].map(OrgId);
        Some(OrgRange { first, last })
    };
    let [one, other] = &footer.blocks[..] else {
        panic!("two blocks");
    };
    assert_eq!((one.orgs, other.orgs), (orgs(337, 593), orgs(401, 401)));
    assert!(one.org_filter.is_some() && other.org_filter.is_none());
    let may_hold = |org| one.may_hold(OrgId(org));
    assert!(may_hold(337) && may_hold(401) && may_hold(593) && !may_hold(338));
    let streams = footer.streams.iter().map(|sum| {
        let times = sum
            .times
            .map(|times| (times.oldest, times.newest, times.is_partial));
        (
            sum.stream.clone(),
            sum.first.0,
            sum.last.offset.0,
            sum.frames,
            times,
        )
    });
    let expected = [
        (
            stream(5),
            4_100,
            4_105,
            2,
            Some((at(4_100), at(4_100), true)),
        ),
        (stream(6), 70, 80, 3, Some((at(-3), at(80), false))),
        (stream(9), 1, 1, 1, Some((at(1), at(1), false))),
    ];
    assert_eq!(streams.collect::<Vec<_>>(), expected);
    assert_eq!(footer.streams[0].last.timestamp, RecordTimestamp::Missing);
}

fn check_record(found: &RecordRef<'_>, expected: &Record) {
    assert_eq!(found.offset, expected.offset);
    assert_eq!(found.timestamp, expected.timestamp);
    assert_eq!(found.key, expected.key.as_deref());
    assert_eq!(found.value, expected.value.as_deref());
    let headers = found
        .headers
        .iter()
        .map(|header| (header.name, header.value));
    let wanted = expected.headers.iter();
    let wanted = wanted.map(|(name, value)| (name.as_bytes(), value.map(str::as_bytes)));
    assert!(headers.eq(wanted), "{:?}", found.headers);
}
