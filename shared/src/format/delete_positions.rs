//! Which records a delete takes: the objects at `deletes/<number>/positions`.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::Reading;
use crate::ids::{Chain, WriteId};
use crate::offset::Offset;

/// Where the ledger ended once a delete was there: it takes records below.
///
/// Apart from the delete, and made after it: whoever has read the ledger before it knew of the delete has read no further
/// than this. So what such a compactor made holds nothing but records below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletePositions {
    /// Of which delete.
    pub number: u64,
    /// Per chain the end of the ledger. A chain that is absent began later.
    pub positions: BTreeMap<Chain, Offset>,
}

impl DeletePositions {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let positions = self.positions.iter();
        let message = PositionsMessage {
            number: self.number,
            positions: chain_groups::group(positions.map(|(chain, end)| (chain, end.0))),
        };
        envelope::seal(Kind::DeletePositions, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact vector of positions.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<PositionsMessage>(Kind::DeletePositions, bytes)?;
        let name = Kind::DeletePositions.name();
        let refuse = |reason| Error::decode(name, HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct PositionsMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(message, repeated, tag = "2")]
    positions: Vec<ChainGroup>,
}

impl PositionsMessage {
    fn read(self) -> Reading<DeletePositions> {
        let positions = chain_groups::ungroup(self.positions)?.into_iter();
        Ok(DeletePositions {
            number: self.number,
            positions: positions.map(|(chain, at)| (chain, Offset(at))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Incarnation, PartitionId, SourceName, TopicName};

    fn sample(number: u64, ends: BTreeMap<u32, i64>) -> DeletePositions {
        let chain = |partition| Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(1),
            partition: PartitionId(partition),
        };
        let ends = ends.into_iter();
        DeletePositions {
            number,
            positions: ends.map(|(p, end)| (chain(p), Offset(end))).collect(),
        }
    }

    proptest! {
        #[test]
        fn positions_read_back(
            number: u64,
            ends in proptest::collection::btree_map(any::<u32>(), 0_i64.., 0..9),
        ) {
            let (id, positions) = (WriteId::random(), sample(number, ends));
            prop_assert_eq!(DeletePositions::decode(&positions.encode(id)).unwrap(), (id, positions));
        }

        #[test]
        fn a_body_of_any_bytes_is_read_or_refused(body: Vec<u8>) {
            if let Ok(message) = PositionsMessage::decode(&body[..]) {
                let _ = message.read();
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_of_positions_is_refused() {
        let bytes = sample(1, BTreeMap::from([(0, 5), (7, 9)])).encode(WriteId::random());
        for cut in 0..bytes.len() {
            let read = DeletePositions::decode(&bytes[..cut]);
            assert!(read.is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(DeletePositions::decode(&damaged).is_err(), "bit {bit}");
        }
    }
}
