//! What is in a stored object, after every byte of it was read.

use bytes::Bytes;
use skein_shared::error::Error;
use skein_shared::format::block::BlockDecoder;
use skein_shared::format::checksum::crc32c;
use skein_shared::format::state_object::{HEAD_BYTES, Head, TailRead, read_tail};
use skein_shared::ids::{FlushId, Incarnation, ShardId, Tenure};
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;

use crate::model_kafka::log::Histories;
use crate::model_kafka::{ModelKafka, Place};
use crate::promise_check::routing::Routings;
use crate::promise_check::{Verdict, Violation, broken, violation};

/// What is in an object.
#[derive(Debug)]
pub(super) struct ObjectFacts {
    pub(super) flush: FlushId,
    pub(super) object_bytes: u64,
    pub(super) crc32c: u32,
    /// Sorted by stream and offset.
    pub(super) frames: Vec<FrameFact>,
}

/// One frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameFact {
    pub(super) stream: StreamKey,
    pub(super) offset: Offset,
    /// In which histories of its log Kafka held exactly this record.
    pub(super) histories: Histories,
}

/// A stream, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamKey {
    pub(super) place: Place,
    pub(super) incarnation: Incarnation,
    pub(super) tenure: Tenure,
}

impl ObjectFacts {
    /// Reads all of it: SK-7 for its bytes, SK-3 for what they say, SK-8 for where they were put.
    pub(super) fn read(
        (decoder, routings): (&mut BlockDecoder, &Routings),
        kafka: &ModelKafka,
        bytes: &Bytes,
    ) -> Result<Self, Violation> {
        let damaged = |error: Error| violation(Promise::CompleteOrInvisible, error.to_string());
        let head = Head::decode(bytes).map_err(damaged)?;
        let length = bytes.len() as u64;
        let TailRead::Footer(footer) = read_tail(bytes, length).map_err(damaged)? else {
            return Err(violation(
                Promise::CompleteOrInvisible,
                "its footer is cut off",
            ));
        };
        let mut facts = Self {
            flush: head.flush,
            object_bytes: length,
            crc32c: crc32c(bytes),
            frames: Vec::with_capacity(64),
        };
        let mut at = HEAD_BYTES;
        for entry in &footer.blocks {
            let end = at + usize::try_from(entry.bytes).expect("it lies in memory");
            let block = bytes.get(at..end).unwrap_or_default();
            let block = decoder.decode(&head.marker, block).map_err(damaged)?;
            let streams: Vec<StreamKey> = block
                .streams()
                .iter()
                .map(|stream| StreamKey {
                    place: kafka.place_of_chain(&stream.chain),
                    incarnation: stream.chain.incarnation,
                    tenure: stream.tenure,
                })
                .collect();
            for frame in block.frames() {
                let frame = frame.map_err(damaged)?;
                let stream = streams[frame.stream];
                let log = kafka.log(stream.place);
                let fact = FrameFact {
                    stream,
                    offset: frame.record.offset,
                    histories: log.histories_with(&frame.record),
                };
                check_frame(routings, kafka, (head.shard, &fact))?;
                facts.frames.push(fact);
            }
            at = end;
        }
        facts
            .frames
            .sort_unstable_by_key(|frame| (frame.stream, frame.offset));
        Ok(facts)
    }

    /// The frames of a stream in a span.
    pub(super) fn frames_of(&self, stream: StreamKey, from: Offset, to: Offset) -> &[FrameFact] {
        let place = |offset: Offset| {
            let before = |frame: &FrameFact| (frame.stream, frame.offset) < (stream, offset);
            self.frames.partition_point(before)
        };
        &self.frames[place(from)..place(to)]
    }
}

fn check_frame(
    routings: &Routings,
    kafka: &ModelKafka,
    (shard, fact): (ShardId, &FrameFact),
) -> Verdict {
    let (place, offset) = (fact.stream.place, fact.offset);
    let Some(history) = fact.histories.iter().next() else {
        let words = format!("its frame {place}/{offset} is no record that kafka ever held");
        return broken(Promise::NothingLost, words);
    };
    let record = kafka.log(place).record(history, offset);
    let record = record.expect("the history holds the record");
    let time = record.timestamp.time().map(|time| time.0);
    let is_right = match record.org {
        None => shard == ShardId::Quarantine,
        Some(org) => routings.allow(shard, org, time),
    };
    if is_right {
        return Ok(());
    }
    let words = format!("record {place}/{offset} is in {shard}");
    broken(Promise::PoisonNeverBlocks, words)
}
