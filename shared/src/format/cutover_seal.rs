//! Up to which positions the old pipeline has written an org: the objects at `cutover-seals/<org>/<version>`.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::Reading;
use crate::ids::{OrgId, WriteId};
use crate::offset::Offset;
use crate::timeline::SealVector;
use crate::window::TimestampMs;

/// The positions that a sealed version of a cutover names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutoverSeal {
    /// Whose.
    pub org: OrgId,
    /// The version that was to name it first.
    pub version: u64,
    /// The positions.
    pub vector: SealVector,
    /// By the bucket's clock.
    pub at: TimestampMs,
}

impl CutoverSeal {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let positions = self.vector.0.iter();
        let message = CutoverSealMessage {
            org: self.org.0,
            version: self.version,
            positions: chain_groups::group(positions.map(|(chain, at)| (chain, at.0))),
            at_ms: self.at.0,
        };
        envelope::seal(Kind::CutoverSeal, write_id, &message)
    }

    /// Reads [`CutoverSeal::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<CutoverSealMessage>(Kind::CutoverSeal, bytes)?;
        let refuse = |reason| Error::decode(Kind::CutoverSeal.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct CutoverSealMessage {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(uint64, tag = "2")]
    version: u64,
    #[prost(message, repeated, tag = "3")]
    positions: Vec<ChainGroup>,
    #[prost(sint64, tag = "4")]
    at_ms: i64,
}

impl CutoverSealMessage {
    fn read(self) -> Reading<CutoverSeal> {
        let positions = chain_groups::ungroup(self.positions)?.into_iter();
        Ok(CutoverSeal {
            org: OrgId(self.org),
            version: self.version,
            vector: SealVector(positions.map(|(chain, at)| (chain, Offset(at))).collect()),
            at: TimestampMs(self.at_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName};

    proptest! {
        #[test]
        fn a_seal_reads_back_and_damage_is_refused(
            (org, version, at) in (any::<u64>(), any::<u64>(), any::<i64>()),
            ends in prop::collection::btree_map(0_u32..9, 0_i64..1 << 40, 0..6),
            flip in 1_u8..,
            place: prop::sample::Index,
        ) {
            let chain = |partition: &u32| Chain {
                source: SourceName::new("s").unwrap(),
                topic: TopicName::new("t").unwrap(),
                incarnation: Incarnation(0),
                partition: PartitionId(*partition),
            };
            let ends = ends.iter().map(|(partition, end)| (chain(partition), Offset(*end)));
            let seal = CutoverSeal {
                org: OrgId(org),
                version,
                vector: SealVector(ends.collect()),
                at: TimestampMs(at),
            };
            let id = WriteId::random();
            let mut bytes = seal.encode(id).to_vec();
            prop_assert_eq!(CutoverSeal::decode(&bytes).unwrap(), (id, seal));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(CutoverSeal::decode(&bytes).is_err());
        }
    }
}
