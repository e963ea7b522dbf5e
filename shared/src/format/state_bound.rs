//! Below which positions state objects may be gone: the object at `state-bounds/<number>`.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::flush_manifest::FlushContents;
use crate::format::wire::{self, Reading};
use crate::ids::{Chain, Hole, WriteId};
use crate::offset::Offset;
use crate::window::TimestampMs;

/// Below which positions state may be gone. A bound never says less than the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateBound {
    /// Its number, from 1; 0 of the bound before the first, which says nothing.
    pub number: u64,
    /// Per chain the first offset whose state is certainly kept; an entry of the ledger begins there, or its end is.
    pub chains: BTreeMap<Chain, Offset>,
    /// The same of a hole's fills.
    pub fills: BTreeMap<Hole, Offset>,
    /// By the bucket's clock.
    pub at: TimestampMs,
    /// Everything that may be deleted below the bounds up to this number has been.
    pub done: u64,
}

#[derive(Clone, PartialEq, Message)]
struct BoundMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(message, repeated, tag = "2")]
    chains: Vec<ChainGroup>,
    #[prost(message, repeated, tag = "3")]
    fills: Vec<wire::HolePosition>,
    #[prost(sint64, tag = "4")]
    at_ms: i64,
    #[prost(uint64, tag = "5")]
    done: u64,
}

impl StateBound {
    /// Where state of `chain` is kept from; `None` when all of it is.
    pub fn of_chain(&self, chain: &Chain) -> Option<Offset> {
        self.chains.get(chain).copied()
    }

    /// The same of the fills of `hole`.
    pub fn of_hole(&self, hole: &Hole) -> Option<Offset> {
        self.fills.get(hole).copied()
    }

    /// Whether all that a flush read lies below it: then its objects may be gone, and no record in them counts that a
    /// shard still has to read.
    pub fn is_passed(&self, flush: &FlushContents) -> bool {
        flush.spans.iter().all(|span| {
            let chain = span.stream.chain.clone();
            let kept_from = match span.hole {
                None => self.of_chain(&chain),
                Some(from) => self.of_hole(&Hole { chain, from }),
            };
            kept_from.is_some_and(|kept_from| span.span.to <= kept_from)
        })
    }

    /// Whether every position of `before` is at or below this one's.
    pub fn follows(&self, before: &Self) -> bool {
        let chains = |(chain, at): (&Chain, &Offset)| self.of_chain(chain) >= Some(*at);
        let fills = |(hole, at): (&Hole, &Offset)| self.of_hole(hole) >= Some(*at);
        before.chains.iter().all(chains) && before.fills.iter().all(fills)
    }

    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let chains = self.chains.iter();
        let message = BoundMessage {
            number: self.number,
            chains: chain_groups::group(chains.map(|(chain, at)| (chain, at.0))),
            fills: self.fills.iter().map(wire::HolePosition::of).collect(),
            at_ms: self.at.0,
            done: self.done,
        };
        envelope::seal(Kind::StateBound, write_id, &message)
    }

    /// Reads [`StateBound::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<BoundMessage>(Kind::StateBound, bytes)?;
        let refuse = |reason| Error::decode(Kind::StateBound.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

impl BoundMessage {
    fn read(self) -> Reading<StateBound> {
        let chains = chain_groups::ungroup(self.chains)?.into_iter();
        let fills = self.fills.into_iter().map(wire::HolePosition::read);
        Ok(StateBound {
            number: self.number,
            chains: chains.map(|(chain, at)| (chain, Offset(at))).collect(),
            fills: fills.collect::<Reading<_>>()?,
            at: TimestampMs(self.at_ms),
            done: self.done,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::digest::ContentDigest;
    use crate::format::flush_manifest::FlushedSpan;
    use crate::format::frame::Stream;
    use crate::format::state_object::MadeWith;
    use crate::ids::{Incarnation, PartitionId, SourceName, Tenure, TopicName};
    use crate::offset::Span;

    fn chain(partition: u32) -> Chain {
        Chain {
            source: SourceName::new("s").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        }
    }

    proptest! {
        #[test]
        fn a_bound_reads_back_and_damage_is_refused(
            number: u64,
            at: i64,
            ends in proptest::collection::btree_map(0_u32..9, 0_i64..1 << 40, 0..6),
            flip in 1_u8..,
            place: prop::sample::Index,
        ) {
            let fill = |(partition, end): (&u32, &i64)| {
                (Hole { chain: chain(*partition), from: Offset(end / 2) }, Offset(*end))
            };
            let bound = StateBound {
                number,
                chains: ends.iter().map(|(p, end)| (chain(*p), Offset(*end))).collect(),
                fills: ends.iter().map(fill).collect(),
                at: TimestampMs(at),
                done: number / 2,
            };
            let id = WriteId::random();
            let mut bytes = bound.encode(id).to_vec();
            prop_assert_eq!(StateBound::decode(&bytes).unwrap(), (id, bound));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(StateBound::decode(&bytes).is_err());
        }
    }

    fn flush(spans: &[(u32, i64, Option<i64>)]) -> FlushContents {
        let span = |(partition, to, hole): &(u32, i64, Option<i64>)| FlushedSpan {
            stream: Stream {
                chain: chain(*partition),
                tenure: Tenure(1),
            },
            span: Span::new(Offset(to - 1), Offset(*to)),
            hole: hole.map(Offset),
            frames: 1,
            digest: ContentDigest::EMPTY,
        };
        FlushContents {
            objects: Vec::new(),
            spans: spans.iter().map(span).collect(),
            made_with: MadeWith::this_build(0),
        }
    }

    #[test]
    fn a_flush_is_passed_only_where_all_that_it_read_is() {
        let hole = Hole {
            chain: chain(1),
            from: Offset(3),
        };
        let bound = StateBound {
            chains: BTreeMap::from([(chain(0), Offset(10)), (chain(1), Offset(5))]),
            fills: BTreeMap::from([(hole, Offset(4))]),
            ..StateBound::default()
        };
        assert!(bound.is_passed(&flush(&[(0, 10, None), (1, 5, None)])));
        assert!(!bound.is_passed(&flush(&[(0, 10, None), (1, 6, None)])));
        assert!(!bound.is_passed(&flush(&[(2, 1, None)])));
        assert!(bound.is_passed(&flush(&[(1, 4, Some(3))])));
        assert!(!bound.is_passed(&flush(&[(1, 5, Some(3))])));
        assert!(bound.follows(&StateBound::default()) && bound.follows(&bound));
        assert!(!StateBound::default().follows(&bound));
    }
}
