//! Rules of the whole object.

use std::ops::Range;

use proptest::prelude::*;

use crate::error::Result;
use crate::format::block::SyncMarker;
use crate::format::block::{BlockBuffer, BlockDecoder};
use crate::format::checksum;
use crate::format::frame::{HeadersRef, RecordRef, RecordTimestamp, Stream};
use crate::format::state_object::{
    BlockScan, Head, MadeWith, ObjectSummary, Scanned, StateFooter, StateObjectWriter, TailRead,
    read_tail,
};
use crate::ids::{
    Chain, FlushId, Incarnation, OrgId, PartitionId, ShardId, SourceName, Tenure, TopicName,
    WorkerId, WriteId,
};
use crate::offset::Offset;
use crate::window::TimestampMs;

fn stream(partition: u32) -> Stream {
    Stream {
        chain: Chain {
            source: SourceName::new("src").unwrap(),
            topic: TopicName::new("points").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        },
        tenure: Tenure(u64::from(partition) + 1),
    }
}

/// An object with one block for each list of values; offsets count through the whole object.
fn object(blocks: &[Vec<Vec<u8>>]) -> (Vec<u8>, ObjectSummary) {
    let head = Head {
        marker: SyncMarker::random(),
        write_id: WriteId::random(),
        shard: ShardId::Dedicated(OrgId(1)),
        flush: FlushId {
            worker: WorkerId::random(),
            counter: 1,
        },
        number: 0,
    };
    let mut writer = StateObjectWriter::new(head, MadeWith::this_build(0));
    let mut bytes = writer.head_bytes().to_vec();
    let mut offset = Offset(0);
    for values in blocks {
        let mut buffer = BlockBuffer::with_capacity(64);
        for value in values {
            let record = RecordRef {
                offset,
                timestamp: RecordTimestamp::Created(TimestampMs(offset.0)),
                key: None,
                value: Some(value),
                headers: HeadersRef::EMPTY,
            };
            let partition = u32::try_from(offset.0 % 3).unwrap();
            buffer.append(&stream(partition), Some(OrgId(1)), &record);
            offset = offset.next();
        }
        let block = buffer.encode(&head.marker);
        writer.push(&block.summary);
        bytes.extend_from_slice(&block.bytes);
    }
    let finished = writer.finish();
    bytes.extend_from_slice(&finished.tail);
    (bytes, finished.summary)
}

fn footer(bytes: &[u8]) -> Result<StateFooter> {
    match read_tail(bytes, bytes.len() as u64)? {
        TailRead::Footer(footer) => Ok(footer),
        TailRead::Longer(needed) => panic!("the whole object is there, {needed} bytes wanted"),
    }
}

/// Offsets of the records in the blocks that begin in `range`, reading `step_bytes` at a time.
fn offsets_in(bytes: &[u8], range: Range<u64>, step_bytes: usize) -> Result<Vec<Offset>> {
    let marker = Head::decode(bytes)?.marker;
    let mut scan = BlockScan::new(marker, range, bytes.len() as u64);
    let mut decoder = BlockDecoder::new();
    let mut offsets = Vec::new();
    let mut wanted = step_bytes;
    loop {
        let rest = &bytes[usize::try_from(scan.at()).unwrap().min(bytes.len())..];
        let had = &rest[..wanted.min(rest.len())];
        match scan.step(had)? {
            Scanned::Block(length) => {
                for frame in decoder.decode(&marker, &had[..length])?.frames() {
                    offsets.push(frame?.record.offset);
                }
                wanted = step_bytes;
            }
            Scanned::Skip(_) => wanted = step_bytes,
            Scanned::More(more) => {
                assert!(
                    more > had.len() && more <= rest.len(),
                    "asks for what is not there"
                );
                wanted = more;
            }
            Scanned::Done => return Ok(offsets),
        }
    }
}

/// Head, every block and the footer, as a reader that trusts nothing.
fn read_all(bytes: &[u8]) -> Result<Vec<Offset>> {
    let footer = footer(bytes)?;
    let offsets = offsets_in(bytes, 0..bytes.len() as u64, 64)?;
    assert_eq!(
        footer.frames(),
        offsets.len() as u64,
        "wrong records, no error"
    );
    Ok(offsets)
}

fn blocks() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let value = prop::collection::vec(any::<u8>(), 0..60);
    prop::collection::vec(prop::collection::vec(value, 1..5), 0..5)
}

#[test]
fn a_cut_anywhere_reads_each_record_once_also_in_steps_shorter_than_a_marker() {
    let (bytes, summary) = object(&[vec![b"first".to_vec()], vec![b"second".to_vec()]]);
    let end = bytes.len() as u64;
    for cut in 0..=end {
        let mut offsets = offsets_in(&bytes, 0..cut, 5).unwrap();
        offsets.extend(offsets_in(&bytes, cut..end, 5).unwrap());
        assert_eq!(offsets.len() as u64, summary.frames, "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn an_object_reads_back_by_its_footer(blocks in blocks()) {
        let (bytes, summary) = object(&blocks);
        let footer = footer(&bytes).unwrap();
        prop_assert_eq!(summary.object_bytes, bytes.len() as u64);
        prop_assert_eq!(summary.crc32c, checksum::crc32c(&bytes));
        prop_assert_eq!(summary.digest, footer.digest());
        prop_assert_eq!(&summary.streams, &footer.streams);
        prop_assert_eq!(footer.write_id, summary.head.write_id);
        let mut decoder = BlockDecoder::new();
        for entry in &footer.blocks {
            let at = usize::try_from(entry.at).unwrap();
            let stored = &bytes[at..at + usize::try_from(entry.bytes).unwrap()];
            let block = decoder.decode(&summary.head.marker, stored).unwrap();
            prop_assert_eq!(u64::from(block.frame_count()), entry.frames);
            for (sum, span) in block.stream_summaries().unwrap().iter().zip(&entry.spans) {
                prop_assert_eq!(&footer.streams[span.stream].stream, &sum.stream);
                prop_assert_eq!((span.first, span.last), (sum.first, sum.last.offset));
            }
        }
    }

    #[test]
    fn every_record_is_read_exactly_once_for_any_split_also_around_an_object_in_a_payload(
        inner in blocks(),
        outer in blocks(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        step_bytes in 1_usize..200,
    ) {
        let (inner, _) = object(&inner);
        let mut outer = outer;
        outer.push(vec![inner.clone(), inner]);
        let (bytes, summary) = object(&outer);
        let mut cuts: Vec<u64> = cuts.iter().map(|cut| cut.index(bytes.len()) as u64).collect();
        cuts.extend([0, bytes.len() as u64]);
        cuts.sort_unstable();
        let mut offsets = Vec::new();
        for pair in cuts.windows(2) {
            offsets.extend(offsets_in(&bytes, pair[0]..pair[1], step_bytes).unwrap());
        }
        let expected: Vec<Offset> = (0..).take(usize::try_from(summary.frames).unwrap()).map(Offset).collect();
        prop_assert_eq!(offsets, expected);
    }

    #[test]
    fn any_tail_is_read_without_a_panic(tail: Vec<u8>, more: u32) {
        let size = tail.len() as u64 + u64::from(more);
        prop_assert!(read_tail(&tail, size).is_err());
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_of_an_object_is_an_error() {
    let (bytes, _) = object(&[
        vec![vec![1; 50], vec![2; 50]],
        vec![vec![3; 5], b"as it came".to_vec()],
    ]);
    assert_eq!(read_all(&bytes).unwrap().len(), 4);
    for cut in 0..bytes.len() {
        assert!(read_all(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read_all(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_missing_or_added_block_is_an_error() {
    let (bytes, _) = object(&[vec![vec![1; 9]], vec![vec![2; 9]]]);
    let entry = footer(&bytes).unwrap().blocks[1].clone();
    let (at, end) = (entry.at, entry.at + entry.bytes);
    let (at, end) = (usize::try_from(at).unwrap(), usize::try_from(end).unwrap());
    let missing = [&bytes[..at], &bytes[end..]].concat();
    assert!(footer(&missing).is_err());
    let added = [&bytes[..end], &bytes[at..]].concat();
    assert!(footer(&added).is_err());
}

#[test]
fn a_tail_that_is_too_short_says_how_long_it_has_to_be() {
    let (bytes, _) = object(&[vec![vec![1; 9]]]);
    let size = bytes.len() as u64;
    let TailRead::Longer(needed) = read_tail(&bytes[bytes.len() - 30..], size).unwrap() else {
        panic!("30 bytes hold no footer");
    };
    let tail = &bytes[bytes.len() - usize::try_from(needed).unwrap()..];
    assert!(matches!(read_tail(tail, size), Ok(TailRead::Footer(_))));
}
