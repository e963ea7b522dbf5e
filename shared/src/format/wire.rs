//! The protobuf messages that several bodies share, and their way to and from our own words.
//!
//! A message from the bucket becomes a value of ours only through `read`, which refuses what no writer of
//! ours can have written.

use prost::Message;

use crate::format::block::{OrgRange, StreamSummary};
use crate::format::digest::ContentDigest;
use crate::format::frame::{self, RecordTimes};
use crate::ids;
use crate::offset::{Offset, Span};
use crate::window::TimestampMs;

/// What a body becomes, or why not.
pub(crate) type Reading<T> = std::result::Result<T, String>;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Chain {
    #[prost(string, tag = "1")]
    pub(crate) source: String,
    #[prost(string, tag = "2")]
    pub(crate) topic: String,
    #[prost(uint32, tag = "3")]
    pub(crate) incarnation: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) partition: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stream {
    #[prost(message, optional, tag = "1")]
    pub(crate) chain: Option<Chain>,
    #[prost(uint64, tag = "2")]
    pub(crate) tenure: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LastRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) offset: u64,
    /// 0 missing, 1 set by the producer, 2 set by the broker.
    #[prost(uint32, tag = "2")]
    pub(crate) timestamp_kind: u32,
    #[prost(sint64, tag = "3")]
    pub(crate) timestamp_ms: i64,
    #[prost(fixed32, tag = "4")]
    pub(crate) crc32c: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Times {
    #[prost(sint64, tag = "1")]
    pub(crate) oldest_ms: i64,
    #[prost(sint64, tag = "2")]
    pub(crate) newest_ms: i64,
    #[prost(bool, tag = "3")]
    pub(crate) is_partial: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Orgs {
    #[prost(uint64, tag = "1")]
    pub(crate) first: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) last: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Summary {
    #[prost(message, optional, tag = "1")]
    pub(crate) stream: Option<Stream>,
    #[prost(uint64, tag = "2")]
    pub(crate) first: u64,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<LastRecord>,
    #[prost(uint64, tag = "4")]
    pub(crate) frames: u64,
    #[prost(message, optional, tag = "5")]
    pub(crate) times: Option<Times>,
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) digest: Vec<u8>,
}

/// How far something has come in the fills of a hole.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HolePosition {
    #[prost(message, optional, tag = "1")]
    pub(crate) chain: Option<Chain>,
    #[prost(uint64, tag = "2")]
    pub(crate) hole: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) position: u64,
}

impl Chain {
    pub(crate) fn of(chain: &ids::Chain) -> Self {
        Self {
            source: chain.source.to_string(),
            topic: chain.topic.to_string(),
            incarnation: chain.incarnation.0,
            partition: chain.partition.0,
        }
    }

    pub(crate) fn read(self) -> Reading<ids::Chain> {
        Ok(ids::Chain {
            source: ids::SourceName::new(self.source)?,
            topic: ids::TopicName::new(self.topic)?,
            incarnation: ids::Incarnation(self.incarnation),
            partition: ids::PartitionId(self.partition),
        })
    }
}

impl HolePosition {
    pub(crate) fn of((hole, position): (&ids::Hole, &Offset)) -> Self {
        Self {
            chain: Some(Chain::of(&hole.chain)),
            hole: offset_number(hole.from),
            position: offset_number(*position),
        }
    }

    pub(crate) fn read(self) -> Reading<(ids::Hole, Offset)> {
        let hole = ids::Hole {
            chain: required(self.chain, "chain")?.read()?,
            from: offset(self.hole)?,
        };
        Ok((hole, offset(self.position)?))
    }
}

impl Stream {
    pub(crate) fn of(stream: &frame::Stream) -> Self {
        Self {
            chain: Some(Chain::of(&stream.chain)),
            tenure: stream.tenure.0,
        }
    }

    pub(crate) fn read(self) -> Reading<frame::Stream> {
        Ok(frame::Stream {
            chain: required(self.chain, "chain")?.read()?,
            tenure: ids::Tenure(self.tenure),
        })
    }
}

impl LastRecord {
    pub(crate) fn of(last: &frame::LastRecord) -> Self {
        Self {
            offset: offset_number(last.offset),
            timestamp_kind: u32::from(last.timestamp.kind_number()),
            timestamp_ms: last.timestamp.time().unwrap_or_default().0,
            crc32c: last.crc32c,
        }
    }

    pub(crate) fn read(self) -> Reading<frame::LastRecord> {
        let time = TimestampMs(self.timestamp_ms);
        let timestamp = u8::try_from(self.timestamp_kind)
            .ok()
            .and_then(|kind| frame::RecordTimestamp::from_kind(kind, time))
            .ok_or_else(|| format!("unknown timestamp kind {}", self.timestamp_kind))?;
        Ok(frame::LastRecord {
            offset: offset(self.offset)?,
            timestamp,
            crc32c: self.crc32c,
        })
    }
}

impl Times {
    pub(crate) fn of(times: RecordTimes) -> Self {
        Self {
            oldest_ms: times.oldest.0,
            newest_ms: times.newest.0,
            is_partial: times.is_partial,
        }
    }

    pub(crate) fn read(&self) -> RecordTimes {
        RecordTimes {
            oldest: TimestampMs(self.oldest_ms),
            newest: TimestampMs(self.newest_ms),
            is_partial: self.is_partial,
        }
    }
}

impl Orgs {
    pub(crate) fn of(orgs: OrgRange) -> Self {
        Self {
            first: orgs.first.0,
            last: orgs.last.0,
        }
    }

    pub(crate) fn read(&self) -> OrgRange {
        OrgRange {
            first: ids::OrgId(self.first),
            last: ids::OrgId(self.last),
        }
    }
}

impl Summary {
    pub(crate) fn of(summary: &StreamSummary) -> Self {
        Self {
            stream: Some(Stream::of(&summary.stream)),
            first: offset_number(summary.first),
            last: Some(LastRecord::of(&summary.last)),
            frames: summary.frames,
            times: summary.times.map(Times::of),
            digest: summary.digest.to_bytes().to_vec(),
        }
    }

    pub(crate) fn read(self) -> Reading<StreamSummary> {
        let summary = StreamSummary {
            stream: required(self.stream, "stream")?.read()?,
            first: offset(self.first)?,
            last: required(self.last, "last record")?.read()?,
            frames: self.frames,
            times: self.times.map(|times| times.read()),
            digest: digest(&self.digest)?,
        };
        if summary.first > summary.last.offset {
            return Err(format!("{} begins behind its end", summary.stream.chain));
        }
        Ok(summary)
    }
}

pub(crate) fn required<T>(field: Option<T>, name: &str) -> Reading<T> {
    field.ok_or_else(|| format!("{name} is missing"))
}

pub(crate) fn digest(bytes: &[u8]) -> Reading<ContentDigest> {
    ContentDigest::from_bytes(bytes)
        .ok_or_else(|| format!("a digest has 16 bytes, not {}", bytes.len()))
}

pub(crate) fn offset(number: u64) -> Reading<Offset> {
    i64::try_from(number)
        .map(Offset)
        .map_err(|_| format!("offset {number} is beyond what Kafka has"))
}

pub(crate) fn span(from: u64, to: u64) -> Reading<Span> {
    if from < to {
        return Ok(Span::new(offset(from)?, offset(to)?));
    }
    Err(format!("span [{from}, {to}) is empty or runs backwards"))
}

/// # Panics
/// If the offset is negative, which no record has.
pub(crate) fn offset_number(offset: Offset) -> u64 {
    u64::try_from(offset.0).expect("Kafka's offsets are never negative")
}
