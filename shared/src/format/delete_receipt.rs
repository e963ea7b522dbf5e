//! That nothing of a delete's points is left in any live segment: the objects at `deletes/<number>/receipt`.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::Reading;
use crate::ids::{Generation, ShardId, WriteId};
use crate::window::TimestampMs;

/// The points of a delete are gone. The manifests that say so never take in a segment that was made without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteReceipt {
    /// Of which delete.
    pub number: u64,
    /// When it was found to be so, by the bucket's clock.
    pub at: TimestampMs,
    /// Every shard that may have held any of them.
    pub shards: Vec<ShardReceipt>,
}

/// What one shard has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardReceipt {
    /// Which.
    pub shard: ShardId,
    /// The manifest that says so; so do all later ones.
    pub generation: Generation,
    /// Points that the delete took out of segments, and out of records on their way into one.
    pub points: u64,
}

impl DeleteReceipt {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let shards = self.shards.iter().map(|shard| ShardMessage {
            shard: shard.shard.to_string(),
            generation: shard.generation.0,
            points: shard.points,
        });
        let message = ReceiptMessage {
            number: self.number,
            at_ms: self.at.0,
            shards: shards.collect(),
        };
        envelope::seal(Kind::DeleteReceipt, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact receipt.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<ReceiptMessage>(Kind::DeleteReceipt, bytes)?;
        let name = Kind::DeleteReceipt.name();
        let refuse = |reason| Error::decode(name, HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct ReceiptMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(sint64, tag = "2")]
    at_ms: i64,
    #[prost(message, repeated, tag = "3")]
    shards: Vec<ShardMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ShardMessage {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(uint64, tag = "2")]
    generation: u64,
    #[prost(uint64, tag = "3")]
    points: u64,
}

impl ReceiptMessage {
    fn read(self) -> Reading<DeleteReceipt> {
        let shards = self.shards.into_iter().map(|shard| {
            Ok(ShardReceipt {
                shard: shard.shard.parse()?,
                generation: Generation(shard.generation),
                points: shard.points,
            })
        });
        Ok(DeleteReceipt {
            number: self.number,
            at: TimestampMs(self.at_ms),
            shards: shards.collect::<Reading<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::OrgId;

    fn sample(number: u64, at: i64, shards: Vec<(u64, u64, u64)>) -> DeleteReceipt {
        let shards = shards
            .into_iter()
            .map(|(org, generation, points)| ShardReceipt {
                shard: ShardId::Dedicated(OrgId(org)),
                generation: Generation(generation),
                points,
            });
        DeleteReceipt {
            number,
            at: TimestampMs(at),
            shards: shards.collect(),
        }
    }

    proptest! {
        #[test]
        fn a_receipt_reads_back(number: u64, at: i64, shards: Vec<(u64, u64, u64)>) {
            let (id, receipt) = (WriteId::random(), sample(number, at, shards));
            prop_assert_eq!(DeleteReceipt::decode(&receipt.encode(id)).unwrap(), (id, receipt));
        }

        #[test]
        fn a_body_of_any_bytes_is_read_or_refused(body: Vec<u8>) {
            if let Ok(message) = ReceiptMessage::decode(&body[..]) {
                let _ = message.read();
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_of_a_receipt_is_refused() {
        let bytes = sample(1, 5, vec![(7, 3, 9)]).encode(WriteId::random());
        for cut in 0..bytes.len() {
            assert!(
                DeleteReceipt::decode(&bytes[..cut]).is_err(),
                "cut at {cut}"
            );
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(DeleteReceipt::decode(&damaged).is_err(), "bit {bit}");
        }
    }
}
