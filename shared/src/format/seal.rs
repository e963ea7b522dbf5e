//! A seal: up to which positions the records of some windows were merged into their bases.
//!
//! Points of a base have no orders any more. A record beyond the seal is later than all of them, whatever its timestamp
//! says; that is the first thing that the total order of writes goes by, so a rebuild needs every seal there was.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::envelope::{self, Kind};
use crate::format::wire;
use crate::ids::{Chain, Generation, Hole, ShardId, WriteId};
use crate::offset::Offset;

/// Where a shard stood when bases were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Whose bases.
    pub shard: ShardId,
    /// The generation that was to be committed with them.
    pub expected_generation: Generation,
    /// Per chain the first offset that the seal does not hold.
    pub positions: BTreeMap<Chain, Offset>,
    /// The same per hole, in its fills.
    pub fills: BTreeMap<Hole, Offset>,
}

impl Seal {
    /// Encodes into the bytes of an object.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let positions = self.positions.iter();
        let body = SealBody {
            shard: self.shard.to_string(),
            expected_generation: self.expected_generation.0,
            positions: chain_groups::group(positions.map(|(chain, offset)| (chain, offset.0))),
            fills: self.fills.iter().map(wire::HolePosition::of).collect(),
        };
        envelope::seal(Kind::Seal, write_id, &body)
    }

    /// Reads [`Seal::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (write_id, body) = envelope::open::<SealBody>(Kind::Seal, bytes)?;
        let refuse = |reason| Error::decode(Kind::Seal.name(), 0, reason);
        Ok((write_id, body.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct SealBody {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(uint64, tag = "2")]
    expected_generation: u64,
    #[prost(message, repeated, tag = "3")]
    positions: Vec<ChainGroup>,
    #[prost(message, repeated, tag = "4")]
    fills: Vec<wire::HolePosition>,
}

impl SealBody {
    fn read(self) -> std::result::Result<Seal, String> {
        let positions = chain_groups::ungroup(self.positions)?.into_iter();
        let fills = self.fills.into_iter().map(wire::HolePosition::read);
        Ok(Seal {
            shard: self.shard.parse()?,
            expected_generation: Generation(self.expected_generation),
            positions: positions.map(|(chain, at)| (chain, Offset(at))).collect(),
            fills: fills.collect::<std::result::Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Incarnation, OrgId, PartitionId, SourceName, TopicName};

    fn seal(positions: BTreeMap<u32, i64>, fills: BTreeMap<u32, i64>) -> Seal {
        let chain = |partition: u32| Chain {
            source: SourceName::new("s").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(3),
            partition: PartitionId(partition),
        };
        let positions = positions.into_iter();
        let fills = fills.into_iter().map(|(partition, at)| {
            let from = Offset(7);
            let chain = chain(partition);
            (Hole { chain, from }, Offset(at))
        });
        Seal {
            shard: ShardId::Dedicated(OrgId(9)),
            expected_generation: Generation(4),
            positions: positions.map(|(p, at)| (chain(p), Offset(at))).collect(),
            fills: fills.collect(),
        }
    }

    proptest! {
        #[test]
        fn every_seal_reads_back_and_no_damage_panics(
            positions in prop::collection::btree_map(0_u32..50, 0_i64.., 0..20),
            fills in prop::collection::btree_map(0_u32..50, 0_i64.., 0..5),
            at: prop::sample::Index,
            flip in 1_u8..,
        ) {
            let seal = seal(positions, fills);
            let id = WriteId::random();
            let mut bytes = seal.encode(id).to_vec();
            prop_assert_eq!(Seal::decode(&bytes).unwrap(), (id, seal));
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(Seal::decode(&bytes).is_err());
            prop_assert!(Seal::decode(&bytes[..at]).is_err());
        }
    }
}
