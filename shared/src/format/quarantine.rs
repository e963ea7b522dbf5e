//! The compactor's quarantine: records that counted but whose payload could not become points, and places of state
//! objects that did not read back.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::damage::{Damage, DamageBody};
use crate::format::envelope::{self, Kind};
use crate::format::wire::{self, Reading};
use crate::ids::{FlushId, Generation, Position, ShardId, WriteId};
use crate::offset::Offset;

/// One record in quarantine. Its bytes stay as they came, in the state object named here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRecord {
    /// Which record.
    pub position: Position,
    /// The flush that made it durable.
    pub flush: FlushId,
    /// Key of the state object that holds its frame.
    pub object_key: String,
    /// Stable number of the reason.
    pub reason_code: u32,
    /// The reason in words.
    pub reason: String,
}

/// What one commit of one shard put into quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineList {
    /// Whose.
    pub shard: ShardId,
    /// The generation that was to be committed when it was written.
    pub expected_generation: Generation,
    /// The records, by position.
    pub records: Vec<QuarantinedRecord>,
    /// The places that did not read back, by object and place.
    pub damages: Vec<Damage>,
}

impl QuarantineList {
    /// Encodes into the bytes of an object.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let body = ListBody {
            shard: self.shard.to_string(),
            expected_generation: self.expected_generation.0,
            records: self.records.iter().map(RecordBody::from).collect(),
            damages: self.damages.iter().map(DamageBody::from).collect(),
        };
        envelope::seal(Kind::Quarantine, write_id, &body)
    }

    /// Reads [`QuarantineList::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (write_id, body) = envelope::open::<ListBody>(Kind::Quarantine, bytes)?;
        let refuse = |reason| Error::decode(Kind::Quarantine.name(), 0, reason);
        Ok((write_id, body.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct ListBody {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(uint64, tag = "2")]
    expected_generation: u64,
    #[prost(message, repeated, tag = "3")]
    records: Vec<RecordBody>,
    #[prost(message, repeated, tag = "4")]
    damages: Vec<DamageBody>,
}

#[derive(Clone, PartialEq, Message)]
struct RecordBody {
    #[prost(message, optional, tag = "1")]
    chain: Option<wire::Chain>,
    #[prost(int64, tag = "2")]
    offset: i64,
    #[prost(string, tag = "3")]
    flush: String,
    #[prost(string, tag = "4")]
    object_key: String,
    #[prost(uint32, tag = "5")]
    reason_code: u32,
    #[prost(string, tag = "6")]
    reason: String,
}

impl From<&QuarantinedRecord> for RecordBody {
    fn from(record: &QuarantinedRecord) -> Self {
        Self {
            chain: Some(wire::Chain::of(&record.position.chain)),
            offset: record.position.offset.0,
            flush: record.flush.to_string(),
            object_key: record.object_key.clone(),
            reason_code: record.reason_code,
            reason: record.reason.clone(),
        }
    }
}

impl ListBody {
    fn read(self) -> Reading<QuarantineList> {
        let records = self.records.into_iter().map(RecordBody::read);
        let damages = self.damages.into_iter().map(DamageBody::read);
        Ok(QuarantineList {
            shard: self.shard.parse()?,
            expected_generation: Generation(self.expected_generation),
            records: records.collect::<Reading<_>>()?,
            damages: damages.collect::<Reading<_>>()?,
        })
    }
}

impl RecordBody {
    fn read(self) -> Reading<QuarantinedRecord> {
        let chain = self.chain.ok_or("a record has no chain")?.read()?;
        Ok(QuarantinedRecord {
            position: Position {
                chain,
                offset: Offset(self.offset),
            },
            flush: self.flush.parse()?,
            object_key: self.object_key,
            reason_code: self.reason_code,
            reason: self.reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::damage::LostOffsets;
    use crate::format::frame::Stream;
    use crate::ids::{Chain, Incarnation, PartitionId, SourceName, Tenure, TopicName, WorkerId};
    use crate::offset::Span;
    use crate::window::{TimeSpan, TimestampMs};

    fn list(offset: i64, place: [u32; 2], times: [i64; 2]) -> QuarantineList {
        let chain = Chain {
            source: SourceName::new("kafka").unwrap(),
            topic: TopicName::new("points").unwrap(),
            incarnation: Incarnation(1),
            partition: PartitionId(31),
        };
        let flush = FlushId {
            worker: WorkerId::random(),
            counter: 4,
        };
        let [at, bytes] = place.map(u64::from);
        QuarantineList {
            shard: ShardId::Dedicated(crate::ids::OrgId(7)),
            expected_generation: Generation(3),
            records: vec![QuarantinedRecord {
                position: Position {
                    chain: chain.clone(),
                    offset: Offset(offset),
                },
                flush,
                object_key: "a/b".into(),
                reason_code: 9,
                reason: "no points".into(),
            }],
            damages: vec![Damage {
                flush,
                object_key: "a/b".into(),
                at,
                bytes,
                frames: bytes / 9,
                times: TimeSpan {
                    from: TimestampMs(times[0]),
                    to: TimestampMs(times[1]),
                },
                lost: vec![LostOffsets {
                    stream: Stream {
                        chain,
                        tenure: Tenure(2),
                    },
                    span: Span::new(Offset(offset), Offset(offset + 1)),
                }],
                error: "crc32c is off".into(),
            }],
        }
    }

    proptest! {
        #[test]
        fn a_list_reads_back(offset in 0..i64::MAX - 1, place: [u32; 2], times: [i64; 2]) {
            let (list, write_id) = (list(offset, place, times), WriteId::random());
            let bytes = list.encode(write_id);
            prop_assert_eq!(QuarantineList::decode(&bytes).unwrap(), (write_id, list));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = QuarantineList::decode(&bytes);
        }
    }

    #[test]
    fn any_damage_to_a_list_is_refused() {
        let bytes = list(12, [88, 100], [0, 1]).encode(WriteId::random());
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 4;
            assert!(QuarantineList::decode(&damaged).is_err(), "byte {at}");
            assert!(QuarantineList::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_id_tells_shards_places_and_offsets_apart() {
        let damage = |offset, place| list(offset, place, [0, 1]).damages.remove(0);
        let shard = ShardId::Quarantine;
        let id = damage(12, [88, 100]).id(shard);
        assert_eq!(damage(12, [88, 100]).id(shard), id);
        let other = ShardId::Dedicated(crate::ids::OrgId(7));
        assert_ne!(damage(12, [88, 100]).id(other), id);
        assert_ne!(damage(12, [89, 100]).id(shard), id);
        assert_ne!(damage(13, [88, 100]).id(shard), id);
    }
}
