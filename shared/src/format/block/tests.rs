//! Rules of the block.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::format::block::{
    BlockBuffer, BlockDecoder, EncodedBlock, OrgRange, StreamSummary, SyncMarker, merge_streams,
};
use crate::format::digest::ContentDigest;
use crate::format::frame::{
    HeaderBuffer, HeadersRef, LastRecord, RecordRef, RecordTimes, RecordTimestamp, Stream,
};
use crate::ids::{Chain, Incarnation, OrgId, PartitionId, SourceName, Tenure, TopicName};
use crate::offset::Offset;
use crate::window::TimestampMs;

#[derive(Debug, Clone)]
struct Owned {
    partition: u32,
    gap: i64,
    timestamp: RecordTimestamp,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn stream(partition: u32) -> Stream {
    Stream {
        chain: Chain {
            source: SourceName::new("src").unwrap(),
            topic: TopicName::new("points").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        },
        tenure: Tenure(u64::from(partition) + 100),
    }
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let timestamp = prop_oneof![
        Just(RecordTimestamp::Missing),
        any::<i64>().prop_map(|ms| RecordTimestamp::Created(TimestampMs(ms))),
        any::<i64>().prop_map(|ms| RecordTimestamp::Appended(TimestampMs(ms))),
    ];
    let record = (
        0_u32..5,
        0_i64..1 << 40,
        timestamp,
        any::<Option<Vec<u8>>>(),
        any::<Option<Vec<u8>>>(),
        any::<Vec<(Vec<u8>, Option<Vec<u8>>)>>(),
    );
    let record = record.prop_map(|(partition, gap, timestamp, key, value, headers)| Owned {
        partition,
        gap,
        timestamp,
        key,
        value,
        headers,
    });
    prop::collection::vec(record, 1..40)
}

/// Appends all and gives, for each, its offset and whether it equals what `visit` is shown.
fn fill(records: &[Owned], mut visit: impl FnMut(&Stream, &RecordRef<'_>)) -> BlockBuffer {
    let mut buffer = BlockBuffer::with_capacity(1024);
    let mut next = [0_i64; 5];
    let mut headers = HeaderBuffer::default();
    for owned in records {
        headers.clear();
        for (name, value) in &owned.headers {
            headers.push(name, value.as_deref());
        }
        let next = &mut next[owned.partition as usize];
        let offset = Offset(*next + owned.gap);
        *next = offset.0 + 1;
        let record = RecordRef {
            offset,
            timestamp: owned.timestamp,
            key: owned.key.as_deref(),
            value: owned.value.as_deref(),
            headers: headers.headers(),
        };
        let stream = stream(owned.partition);
        buffer.append(&stream, Some(OrgId(7)), &record);
        visit(&stream, &record);
    }
    buffer
}

proptest! {
    #[test]
    fn every_record_of_a_block_reads_back_in_order(records in records()) {
        let marker = SyncMarker::random();
        let block = fill(&records, |_, _| {}).encode(&marker);
        let mut decoder = BlockDecoder::new();
        let decoded = decoder.decode(&marker, &block.bytes).unwrap();
        let mut frames = decoded.frames();
        fill(&records, |stream, record| {
            let frame = frames.next().unwrap().unwrap();
            assert_eq!(&decoded.streams()[frame.stream], stream);
            assert_eq!(&frame.record, record);
        });
        prop_assert!(frames.next().is_none());
        prop_assert_eq!(decoded.stream_summaries().unwrap(), block.summary.streams);
    }

    #[test]
    fn a_summary_is_what_the_records_say(records in records()) {
        let block = fill(&records, |_, _| {}).encode(&SyncMarker::random());
        for summary in &block.summary.streams {
            let mut count = 0;
            let mut times: Option<RecordTimes> = None;
            let mut untimed = 0;
            let mut last = None;
            fill(&records, |stream, record| {
                if *stream == summary.stream {
                    count += 1;
                    last = Some((record.offset, record.crc32c()));
                    match record.timestamp.time().map(RecordTimes::of) {
                        None => untimed += 1,
                        Some(time) => times = Some(times.map_or(time, |times| times.union(time))),
                    }
                }
            });
            prop_assert_eq!(summary.frames, count);
            let is_partial = untimed > 0;
            prop_assert_eq!(summary.times, times.map(|times| RecordTimes { is_partial, ..times }));
            prop_assert_eq!(Some((summary.last.offset, summary.last.crc32c)), last);
        }
    }

    #[test]
    fn any_bytes_are_decoded_without_a_panic(mut bytes: Vec<u8>, marker: [u8; 16]) {
        let marker = SyncMarker(marker);
        let soup = BlockDecoder::new().decode(&marker, &bytes).is_err();
        bytes.splice(..0, marker.0);
        prop_assert!(soup && BlockDecoder::new().decode(&marker, &bytes).is_err());
    }
}

fn sample(marker: &SyncMarker, compressible: bool) -> EncodedBlock {
    let mut buffer = BlockBuffer::with_capacity(64);
    // A single record of noise is what zstd can only make larger.
    let records = if compressible { 20_u8 } else { 1 };
    for offset in 0..records {
        let random = (0..40).map(|_| fastrand::u8(..)).collect();
        let value = if compressible {
            vec![offset; 40]
        } else {
            random
        };
        let record = RecordRef {
            offset: Offset(i64::from(offset)),
            timestamp: RecordTimestamp::Created(TimestampMs(1_700_000_000_000)),
            key: Some(b"k"),
            value: Some(&value),
            headers: crate::format::frame::HeadersRef::EMPTY,
        };
        buffer.append(&stream(0), None, &record);
    }
    buffer.encode(marker)
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_block_is_an_error() {
    let marker = SyncMarker::random();
    for compressible in [true, false] {
        let block = sample(&marker, compressible);
        let shrunk = block.bytes.len() < usize::try_from(block.summary.raw_bytes).unwrap();
        assert_eq!(shrunk, compressible);
        let mut decoder = BlockDecoder::new();
        assert!(decoder.decode(&marker, &block.bytes).is_ok());
        for cut in 0..block.bytes.len() {
            assert!(
                decoder.decode(&marker, &block.bytes[..cut]).is_err(),
                "{cut}"
            );
        }
        for bit in 0..block.bytes.len() * 8 {
            let mut damaged = block.bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decoder.decode(&marker, &damaged).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_block_knows_its_orgs_or_that_it_knows_none() {
    let marker = SyncMarker::random();
    let none = sample(&marker, true);
    assert_eq!(none.summary.orgs, None);
    let mut decoder = BlockDecoder::new();
    assert_eq!(decoder.decode(&marker, &none.bytes).unwrap().orgs(), None);

    let mut buffer = BlockBuffer::with_capacity(64);
    for (offset, org) in [(1, 9), (2, 3), (3, 5)] {
        let record = RecordRef {
            offset: Offset(offset),
            timestamp: RecordTimestamp::Missing,
            key: None,
            value: None,
            headers: crate::format::frame::HeadersRef::EMPTY,
        };
        buffer.append(&stream(0), Some(OrgId(org)), &record);
    }
    let block = buffer.encode(&marker);
    let expected = Some(OrgRange {
        first: OrgId(3),
        last: OrgId(9),
    });
    assert_eq!(
        decoder.decode(&marker, &block.bytes).unwrap().orgs(),
        expected
    );
}

#[test]
#[should_panic(expected = "must rise")]
fn an_offset_that_does_not_rise_within_its_tenure_is_a_bug() {
    let mut buffer = BlockBuffer::with_capacity(64);
    for offset in [5, 5] {
        let record = RecordRef {
            offset: Offset(offset),
            timestamp: RecordTimestamp::Missing,
            key: None,
            value: None,
            headers: crate::format::frame::HeadersRef::EMPTY,
        };
        buffer.append(&stream(0), None, &record);
    }
}

fn summary(partition: u32, offset: i64) -> StreamSummary {
    StreamSummary {
        stream: stream(partition),
        first: Offset(offset),
        last: LastRecord {
            offset: Offset(offset),
            timestamp: RecordTimestamp::Missing,
            crc32c: 0,
        },
        frames: 1,
        times: None,
        digest: ContentDigest::EMPTY,
    }
}

proptest! {
    #[test]
    fn streams_are_merged_as_if_one_by_one(
        known in prop::collection::vec((0_u32..40, 0_i64..1000), 0..60),
        more in prop::collection::vec((0_u32..40, 0_i64..1000), 0..60),
    ) {
        let summaries = |list: &[(u32, i64)]| -> Vec<StreamSummary> {
            list.iter().map(|(partition, offset)| summary(*partition, *offset)).collect()
        };
        let mut sums = Vec::new();
        merge_streams(&mut sums, &summaries(&known));
        merge_streams(&mut sums, &summaries(&more));
        let mut expected: BTreeMap<u32, (u64, i64, i64)> = BTreeMap::new();
        for (partition, offset) in known.into_iter().chain(more) {
            let sum = expected.entry(partition).or_insert((0, offset, offset));
            *sum = (sum.0 + 1, sum.1.min(offset), sum.2.max(offset));
        }
        let merged: Vec<_> = sums
            .iter()
            .map(|sum| {
                let partition = sum.stream.chain.partition.0;
                (partition, (sum.frames, sum.first.0, sum.last.offset.0))
            })
            .collect();
        prop_assert_eq!(merged, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_block_takes_memory_as_its_frames_come() {
    let value = [7; 100];
    let mut buffer = BlockBuffer::with_capacity(64 << 10);
    let mut offset = 0;
    while buffer.raw_bytes() < 60 << 10 {
        let record = RecordRef {
            offset: Offset(offset),
            timestamp: RecordTimestamp::Missing,
            key: None,
            value: Some(&value),
            headers: HeadersRef::EMPTY,
        };
        buffer.append(&stream(1), None, &record);
        offset += 1;
        let slack = buffer.reserved_bytes() - buffer.raw_bytes();
        assert!(slack <= 16 << 10, "{slack} at {}", buffer.raw_bytes());
    }
    assert_eq!(buffer.reserved_bytes(), 64 << 10);
}
