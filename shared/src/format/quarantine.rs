//! The compactor's quarantine: records that counted but whose payload could not become points.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
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

/// The records that one commit of one shard put into quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineList {
    /// Whose.
    pub shard: ShardId,
    /// The generation that was to be committed when it was written.
    pub expected_generation: Generation,
    /// The records, by position.
    pub records: Vec<QuarantinedRecord>,
}

impl QuarantineList {
    /// Encodes into the bytes of an object.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let body = ListBody {
            shard: self.shard.to_string(),
            expected_generation: self.expected_generation.0,
            records: self.records.iter().map(RecordBody::from).collect(),
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
        Ok(QuarantineList {
            shard: self.shard.parse()?,
            expected_generation: Generation(self.expected_generation),
            records: records.collect::<Reading<_>>()?,
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
    use super::*;
    use crate::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName, WorkerId};

    fn list() -> QuarantineList {
        let chain = Chain {
            source: SourceName::new("kafka").unwrap(),
            topic: TopicName::new("points").unwrap(),
            incarnation: Incarnation(1),
            partition: PartitionId(31),
        };
        QuarantineList {
            shard: ShardId::Dedicated(crate::ids::OrgId(7)),
            expected_generation: Generation(3),
            records: vec![QuarantinedRecord {
                position: Position {
                    chain,
                    offset: Offset(12),
                },
                flush: FlushId {
                    worker: WorkerId::random(),
                    counter: 4,
                },
                object_key: "a/b".into(),
                reason_code: 9,
                reason: "no points".into(),
            }],
        }
    }

    #[test]
    fn a_list_reads_back_and_any_damage_is_refused() {
        let write_id = WriteId::random();
        let bytes = list().encode(write_id);
        let (read_id, read) = QuarantineList::decode(&bytes).unwrap();
        assert_eq!(read_id, write_id);
        assert_eq!(read.records.len(), 1);
        assert_eq!(read.encode(write_id), bytes);
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 4;
            assert!(QuarantineList::decode(&damaged).is_err(), "byte {at}");
            assert!(QuarantineList::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
