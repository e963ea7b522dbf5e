//! How far the old pipeline has come in a partition: the objects under `old-progress/`.
//!
//! Numbered and created if absent: whoever finds the number of its own taken is no longer the one that reads the partition.
//! This is the hand-over by offsets: the next process goes on where the newest one ends.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::object_key::Attempt;
use crate::format::wire::{self, Reading, required};
use crate::ids::{Chain, OrgId, WorkerId, WriteId};
use crate::offset::Offset;
use crate::window::TimestampMs;

/// Up to which offset all that the old pipeline writes of a partition is in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldProgress {
    /// Which partition.
    pub chain: Chain,
    /// Its number; that of the first, which says where the partition was begun and no more, is 0.
    pub number: u64,
    /// Where the one before ends.
    pub from: Offset,
    /// Exclusive: where to go on.
    pub to: Offset,
    /// The try that wrote the files.
    pub attempt: Attempt,
    /// Who wrote it.
    pub writer: WorkerId,
    /// The number of the fleet by which points were chosen; 0 is before the first.
    pub fleet: u64,
    /// When, by the bucket's clock.
    pub at: TimestampMs,
    /// What became of the records since the one before.
    pub counts: OldCounts,
    /// Of each org the highest event time that was read, ever, and not written because it was another pipeline's.
    pub not_written_to: BTreeMap<OrgId, TimestampMs>,
}

/// Where records and points went. All points are written, duplicates or not owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OldCounts {
    /// Records that were read.
    pub records: u64,
    /// Those of them that are no payloads, or pass a limit.
    pub refused_records: u64,
    /// Points of the others.
    pub points_in: u64,
    /// Points that lost to a later one of equal time within the stretch.
    pub duplicates: u64,
    /// Points that another pipeline writes.
    pub not_owned: u64,
    /// Points that were written.
    pub points: u64,
    /// Files that were written.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
}

impl OldCounts {
    /// Takes others in.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.refused_records += other.refused_records;
        self.points_in += other.points_in;
        self.duplicates += other.duplicates;
        self.not_owned += other.not_owned;
        self.points += other.points;
        self.files += other.files;
        self.file_bytes += other.file_bytes;
    }

    fn all(&self) -> [u64; 8] {
        [
            self.records,
            self.refused_records,
            self.points_in,
            self.duplicates,
            self.not_owned,
            self.points,
            self.files,
            self.file_bytes,
        ]
    }

    fn of(counts: &[u64]) -> Reading<Self> {
        let counts: [u64; 8] = counts.try_into().map_err(|_| "it has not 8 counts")?;
        let [
            records,
            refused_records,
            points_in,
            duplicates,
            not_owned,
            points,
            files,
            file_bytes,
        ] = counts;
        Ok(Self {
            records,
            refused_records,
            points_in,
            duplicates,
            not_owned,
            points,
            files,
            file_bytes,
        })
    }
}

impl OldProgress {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let not_written = self.not_written_to.iter();
        let message = OldProgressMessage {
            chain: Some(wire::Chain::of(&self.chain)),
            number: self.number,
            from: wire::offset_number(self.from),
            to: wire::offset_number(self.to),
            attempt: self.attempt.0,
            writer: self.writer.0.as_bytes().to_vec(),
            fleet: self.fleet,
            at_ms: self.at.0,
            counts: self.counts.all().to_vec(),
            not_written: not_written
                .map(|(org, to)| NotWrittenMessage {
                    org: org.0,
                    to_ms: to.0,
                })
                .collect(),
        };
        envelope::seal(Kind::OldProgress, write_id, &message)
    }

    /// Reads [`OldProgress::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<OldProgressMessage>(Kind::OldProgress, bytes)?;
        let refuse = |reason| Error::decode(Kind::OldProgress.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct OldProgressMessage {
    #[prost(message, optional, tag = "1")]
    chain: Option<wire::Chain>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(uint64, tag = "3")]
    from: u64,
    #[prost(uint64, tag = "4")]
    to: u64,
    #[prost(fixed64, tag = "5")]
    attempt: u64,
    #[prost(bytes = "vec", tag = "6")]
    writer: Vec<u8>,
    #[prost(uint64, tag = "7")]
    fleet: u64,
    #[prost(sint64, tag = "8")]
    at_ms: i64,
    /// In the order of the fields of [`OldCounts`].
    #[prost(uint64, repeated, tag = "9")]
    counts: Vec<u64>,
    #[prost(message, repeated, tag = "10")]
    not_written: Vec<NotWrittenMessage>,
}

/// Up to where an org's points were left to another pipeline.
#[derive(Clone, PartialEq, Message)]
struct NotWrittenMessage {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(sint64, tag = "2")]
    to_ms: i64,
}

impl OldProgressMessage {
    fn read(self) -> Reading<OldProgress> {
        let (from, to) = (wire::offset(self.from)?, wire::offset(self.to)?);
        if from > to {
            return Err(format!("it goes back from {from} to {to}"));
        }
        let writer = uuid::Uuid::from_slice(&self.writer);
        let not_written = self.not_written.into_iter();
        Ok(OldProgress {
            chain: required(self.chain, "chain")?.read()?,
            number: self.number,
            from,
            to,
            attempt: Attempt(self.attempt),
            writer: WorkerId(writer.map_err(|_| "a writer is not 16 bytes")?),
            fleet: self.fleet,
            at: TimestampMs(self.at_ms),
            counts: OldCounts::of(&self.counts)?,
            not_written_to: not_written
                .map(|it| (OrgId(it.org), TimestampMs(it.to_ms)))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Incarnation, PartitionId, SourceName, TopicName};

    proptest! {
        #[test]
        fn a_progress_reads_back_and_damage_is_refused(
            (number, attempt, fleet, at) in any::<(u64, u64, u64, i64)>(),
            (from, records, writer) in (0_i64..1 << 60, 0_i64..1 << 60, any::<u128>()),
            counts in any::<[u64; 8]>(),
            not_written in prop::collection::btree_map(any::<u64>(), any::<i64>(), 0..5),
            flip in 1_u8..,
            place: prop::sample::Index,
        ) {
            let progress = OldProgress {
                chain: Chain {
                    source: SourceName::new("kafka").unwrap(),
                    topic: TopicName::new("points").unwrap(),
                    incarnation: Incarnation(0),
                    partition: PartitionId(5),
                },
                number,
                from: Offset(from),
                to: Offset(from + records),
                attempt: Attempt(attempt),
                writer: WorkerId(uuid::Uuid::from_u128(writer)),
                fleet,
                at: TimestampMs(at),
                counts: OldCounts::of(&counts).unwrap(),
                not_written_to: not_written
                    .into_iter()
                    .map(|(org, to)| (OrgId(org), TimestampMs(to)))
                    .collect(),
            };
            let id = WriteId::random();
            let mut bytes = progress.encode(id).to_vec();
            prop_assert_eq!(OldProgress::decode(&bytes).unwrap(), (id, progress));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(OldProgress::decode(&bytes).is_err());
        }
    }
}
