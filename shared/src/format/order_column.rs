//! Where each stretch of points came from: what decides between points of equal time.
//!
//! Of points with equal `(org, metric, timestamp)` the one with the highest [`Order`] is the last
//! written and wins. Within one record the later index wins, which the compactor has settled before it
//! writes. So one order for each stretch of points from one record is enough to merge segments exactly.

use crate::error::{Error, Result};
use crate::format::{number_chunk, varint};
use crate::ids::Chain;
use crate::offset::Offset;
use crate::window::TimestampMs;

const FORMAT: &str = "order column";

/// Index of a chain in a [`ChainTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChainIndex(pub u32);

/// Place of a record in the total order of writes: how many seals of its window it lies beyond, its timestamp, then its
/// position.
///
/// Orders are comparable when their chain indexes belong to the same [`ChainTable`]. A record without a
/// timestamp comes before all that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Order {
    /// How many seals of its window the record lies beyond. It is not stored: points of a base lie beyond none, and
    /// what is read beside a base lies beyond the last, whichever that is; so 0 of the ones and 1 of the others do.
    pub seals: u32,
    /// The record's Kafka timestamp.
    pub record_timestamp: Option<TimestampMs>,
    /// Where it was read.
    pub chain: ChainIndex,
    /// At which offset.
    pub offset: Offset,
}

/// A stretch of consecutive points of one series that came from one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderRun {
    /// The record's place.
    pub order: Order,
    /// How many points; at least 1.
    pub points: u32,
}

/// Stretches of a series, handed out by the number of their points.
#[derive(Debug, Clone)]
pub struct OrderCursor<'a> {
    rest: &'a [OrderRun],
    used: u32,
}

impl<'a> OrderCursor<'a> {
    /// Begins before the first point of `stretches`.
    pub fn new(stretches: &'a [OrderRun]) -> Self {
        Self {
            rest: stretches,
            used: 0,
        }
    }

    /// Gives `each` the stretches of the next `points`, cut where they begin and end.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn advance(&mut self, mut points: u32, mut each: impl FnMut(OrderRun)) {
        while points > 0 {
            let stretch = self.rest[0];
            let taken = points.min(stretch.points - self.used);
            each(OrderRun {
                points: taken,
                ..stretch
            });
            points -= taken;
            self.used += taken;
            if self.used == stretch.points {
                self.rest = &self.rest[1..];
                self.used = 0;
            }
        }
    }
}

/// Sorted chains; a chain's index compares as the chain itself does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainTable(Vec<Chain>);

impl ChainTable {
    /// Sorts and takes chains; doubles collapse.
    pub fn new(mut chains: Vec<Chain>) -> Self {
        chains.sort_unstable();
        chains.dedup();
        Self(chains)
    }

    /// The chains in order.
    pub fn chains(&self) -> &[Chain] {
        &self.0
    }

    /// The chain at `index`.
    pub fn get(&self, index: ChainIndex) -> Option<&Chain> {
        self.0.get(usize::try_from(index.0).ok()?)
    }

    /// The index of `chain`.
    pub fn index_of(&self, chain: &Chain) -> Option<ChainIndex> {
        let index = self.0.binary_search(chain).ok()?;
        u32::try_from(index).ok().map(ChainIndex)
    }

    /// For each chain of this table its index in `target`; `None` when `target` lacks one.
    pub fn indexes_in(&self, target: &Self) -> Option<Vec<ChainIndex>> {
        self.0.iter().map(|chain| target.index_of(chain)).collect()
    }
}

/// Encodes the stretches of a whole run of series; answers the bytes and their length before zstd.
///
/// Column after column: points, whether there is a record timestamp, differences of the timestamps,
/// differences of the chain indexes, differences of the offsets within each chain.
///
/// # Panics
/// If a chain index is not below `chain_count`.
pub fn encode(stretches: &[OrderRun], chain_count: usize) -> (Vec<u8>, usize) {
    let mut raw = Vec::with_capacity(stretches.len() * 8);
    for stretch in stretches {
        varint::put_u64(&mut raw, u64::from(stretch.points));
    }
    for stretch in stretches {
        raw.push(u8::from(stretch.order.record_timestamp.is_some()));
    }
    let mut last = 0_i64;
    for TimestampMs(ms) in stretches.iter().filter_map(|s| s.order.record_timestamp) {
        varint::put_i64(&mut raw, ms.wrapping_sub(last));
        last = ms;
    }
    let mut last = 0_i64;
    for stretch in stretches {
        let chain = i64::from(stretch.order.chain.0);
        varint::put_i64(&mut raw, chain - last);
        last = chain;
    }
    let mut last = vec![0_i64; chain_count];
    for stretch in stretches {
        let last = &mut last[stretch.order.chain.0 as usize];
        varint::put_i64(&mut raw, stretch.order.offset.0.wrapping_sub(*last));
        *last = stretch.order.offset.0;
    }
    (number_chunk::squeeze(&raw), raw.len())
}

/// What [`decode`] has to know from elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct OrderShape {
    /// How many stretches there are.
    pub stretches: usize,
    /// Length before zstd.
    pub raw_bytes: usize,
    /// How many chains the segment has.
    pub chain_count: usize,
}

impl OrderShape {
    /// The most bytes that so many stretches take before zstd.
    pub const fn largest_raw_bytes(stretches: usize) -> usize {
        stretches * (1 + 4 * varint::MAX_VARINT_BYTES)
    }
}

/// Reads [`encode`] back.
///
/// # Errors
/// Corrupt when the bytes are no such column.
pub fn decode(bytes: &[u8], shape: OrderShape) -> Result<Vec<OrderRun>> {
    if shape.raw_bytes > OrderShape::largest_raw_bytes(shape.stretches) {
        return refuse("its length is not plausible");
    }
    let raw = number_chunk::unsqueeze(bytes, shape.raw_bytes).or_else(refuse)?;
    read_columns(&raw, shape).map_or_else(|| refuse("columns do not fit together"), Ok)
}

fn read_columns(mut raw: &[u8], shape: OrderShape) -> Option<Vec<OrderRun>> {
    let raw = &mut raw;
    let mut stretches = Vec::with_capacity(shape.stretches);
    for _ in 0..shape.stretches {
        let points = u32::try_from(varint::take_u64(raw)?).ok()?;
        let order = Order {
            seals: 1,
            ..Order::default()
        };
        (points > 0).then(|| stretches.push(OrderRun { order, points }))?;
    }
    let flags = varint::take_bytes(raw, shape.stretches as u64)?;
    let mut last = 0_i64;
    for (stretch, flag) in stretches.iter_mut().zip(flags) {
        stretch.order.record_timestamp = match *flag {
            0 => None,
            1 => {
                last = last.wrapping_add(varint::take_i64(raw)?);
                Some(TimestampMs(last))
            }
            _ => return None,
        };
    }
    let mut chain = 0_i64;
    for stretch in &mut stretches {
        chain = chain.checked_add(varint::take_i64(raw)?)?;
        stretch.order.chain = ChainIndex(u32::try_from(chain).ok()?);
    }
    let mut last = vec![0_i64; shape.chain_count];
    for stretch in &mut stretches {
        let last = last.get_mut(stretch.order.chain.0 as usize)?;
        *last = last.wrapping_add(varint::take_i64(raw)?);
        stretch.order.offset = Offset(*last);
    }
    raw.is_empty().then_some(stretches)
}

fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::decode(FORMAT, 0, reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Incarnation, PartitionId, SourceName, TopicName};

    const CHAINS: usize = 5;

    fn stretch() -> impl Strategy<Value = OrderRun> {
        let time = proptest::option::of(any::<i64>());
        (1..u32::MAX, time, 0..CHAINS, any::<i64>()).prop_map(|(points, time, chain, offset)| {
            let order = Order {
                seals: 1,
                record_timestamp: time.map(TimestampMs),
                chain: ChainIndex(u32::try_from(chain).unwrap()),
                offset: Offset(offset),
            };
            OrderRun { order, points }
        })
    }

    fn shape(stretches: usize, raw_bytes: usize) -> OrderShape {
        OrderShape {
            stretches,
            raw_bytes,
            chain_count: CHAINS,
        }
    }

    fn chain(partition: u32) -> Chain {
        Chain {
            source: SourceName::new("kafka").unwrap(),
            topic: TopicName::new("points").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        }
    }

    #[test]
    fn indexes_compare_as_their_chains_do() {
        let table = ChainTable::new(vec![chain(10), chain(2), chain(10)]);
        assert_eq!(table.chains(), [chain(2), chain(10)]);
        assert!(table.index_of(&chain(2)) < table.index_of(&chain(10)));
        let wider = ChainTable::new(vec![chain(10), chain(2), chain(1)]);
        assert_eq!(
            table.indexes_in(&wider),
            Some(vec![ChainIndex(1), ChainIndex(2)])
        );
        assert_eq!(wider.indexes_in(&table), None);
    }

    #[test]
    fn regular_records_cost_a_few_hundredths_of_a_byte_for_each_point() {
        let stretches: Vec<OrderRun> = (0..3000_i64)
            .map(|i| OrderRun {
                order: Order {
                    seals: 1,
                    record_timestamp: Some(TimestampMs(1_700_000_000_000 + i % 30 * 60_000)),
                    chain: ChainIndex(0),
                    offset: Offset(500_000 + i % 30 * 1000 + i / 30),
                },
                points: 60,
            })
            .collect();
        let (bytes, _) = encode(&stretches, 1);
        assert!(bytes.len() < 3000 * 60 * 3 / 100, "{}", bytes.len());
    }

    proptest! {
        #[test]
        fn every_stretch_reads_back(stretches in proptest::collection::vec(stretch(), 0..200)) {
            let (bytes, raw_bytes) = encode(&stretches, CHAINS);
            let back = decode(&bytes, shape(stretches.len(), raw_bytes)).unwrap();
            prop_assert_eq!(back, stretches);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(raw: Vec<u8>, count in 0_usize..50) {
            let _ = decode(&raw, shape(count, raw.len()));
            let _ = decode(&number_chunk::squeeze(&raw), shape(count, raw.len()));
        }
    }
}
