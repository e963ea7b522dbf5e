//! Of points with equal `(org, metric, timestamp)` the last write wins.
//!
//! Points that a delete takes go before that, whatever they competed with.
//!
//! The total order of writes is: record timestamp, position, index in the payload. Identical values
//! collapse too, and what is left keeps the highest order, so that any later merge decides the same.

use skein_shared::delete_rule::{DeleteMask, PointColumns};
use skein_shared::format::order_column::{Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::shard_manifest::Deleted;
use skein_shared::ids::SeriesKey;

/// The points of one series, gathered piece by piece from payloads and segments; memory is kept from one
/// series to the next.
#[derive(Debug, Default)]
pub struct SeriesMerge {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    pieces: Vec<OrderRun>,
    by_order: Vec<u32>,
    ranks: Vec<u32>,
    keys: Vec<Key>,
}

/// Where the points of a merge went: all that were gathered are in exactly one of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeCounts {
    /// Points that are left.
    pub kept: u64,
    /// Points that lost to a later one of equal time.
    pub duplicates: u64,
    /// Points that another pipeline writes.
    pub not_owned: u64,
    /// Points that a delete has taken.
    pub deleted: u64,
}

/// Sorts points by time, then by the order of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    timestamp_ms: i64,
    /// Rank of the piece's order among the orders of the series.
    rank: u32,
    /// Place among the gathered points; within a payload that is the index.
    place: u32,
    /// The piece, so that the point's order is found again.
    piece: u32,
}

impl SeriesMerge {
    /// Forgets the gathered points and keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps_ms.clear();
        self.values.clear();
        self.pieces.clear();
    }

    /// Gathers the points of one record: `decode` appends timestamps and values in the payload's order.
    ///
    /// # Panics
    /// If it appends more of one than of the other: points would get values of others.
    pub fn gather_record(
        &mut self,
        order: Order,
        decode: impl FnOnce(&mut Vec<i64>, &mut Vec<f64>),
    ) {
        let before = self.timestamps_ms.len();
        decode(&mut self.timestamps_ms, &mut self.values);
        let points = self.timestamps_ms.len() - before;
        assert_eq!(
            self.timestamps_ms.len(),
            self.values.len(),
            "a record has one value for each timestamp"
        );
        if points > 0 {
            let points = u32::try_from(points).expect("the limits bound the points of a record");
            self.pieces.push(OrderRun { order, points });
        }
    }

    /// Gathers the points of one series of a segment; their orders mean the same chains as all others.
    pub fn gather_segment(&mut self, series: &SeriesBuffer) {
        self.timestamps_ms.extend_from_slice(&series.timestamps_ms);
        self.values.extend_from_slice(&series.values);
        self.pieces.extend_from_slice(&series.orders);
    }

    /// Takes the deleted points out of what was gathered, which is of `key`, and counts them in `deleted` by the delete.
    /// Comes before [`SeriesMerge::merge_into`], which knows nothing of them.
    ///
    /// # Panics
    /// If an order means no chain of the mask's.
    pub fn drop_deleted(
        &mut self,
        mask: &DeleteMask,
        key: SeriesKey,
        deleted: &mut Deleted,
    ) -> u64 {
        let before = self.values.len();
        let columns = PointColumns {
            timestamps_ms: &mut self.timestamps_ms,
            values: &mut self.values,
            orders: &mut self.pieces,
        };
        mask.drop_points(key, columns, deleted);
        (before - self.values.len()) as u64
    }

    /// Writes what is left, in ascending time, to `out`, and counts where the other points went. `owned`
    /// says whether a point of this time is ours to write.
    ///
    /// # Panics
    /// If a series has more than 2^32 points in one window, which no memory budget admits.
    pub fn merge_into(
        &mut self,
        owned: impl Fn(i64) -> bool,
        out: &mut SeriesBuffer,
    ) -> MergeCounts {
        out.clear();
        let gathered = self.timestamps_ms.len() as u64;
        let ascends = self.timestamps_ms.is_sorted_by(|a, b| a < b);
        if ascends && self.timestamps_ms.iter().all(|ms| owned(*ms)) {
            // The usual case: nothing late, nothing double. The columns change hands uncopied.
            std::mem::swap(&mut out.timestamps_ms, &mut self.timestamps_ms);
            std::mem::swap(&mut out.values, &mut self.values);
            for piece in &self.pieces {
                extend_runs(&mut out.orders, *piece);
            }
            return MergeCounts {
                kept: gathered,
                ..MergeCounts::default()
            };
        }
        self.sort_keys();
        let counts = self.emit(owned, out);
        assert_eq!(counts.total(), gathered, "SK-11: a merge loses no point");
        counts
    }

    fn sort_keys(&mut self) {
        self.rank_pieces();
        self.keys.clear();
        let mut place = 0;
        for (piece, (run, rank)) in (0..).zip(self.pieces.iter().zip(&self.ranks)) {
            let end = place + run.points as usize;
            for timestamp_ms in &self.timestamps_ms[place..end] {
                self.keys.push(Key {
                    timestamp_ms: *timestamp_ms,
                    rank: *rank,
                    place: u32::try_from(self.keys.len()).expect("fewer than 2^32 points"),
                    piece,
                });
            }
            place = end;
        }
        assert_eq!(place, self.timestamps_ms.len(), "every point has an order");
        // Stable on purpose: pieces are sorted runs, and the stable sort merges runs.
        self.keys.sort();
    }

    /// Gives equal orders, which are stretches of one record, the same rank.
    fn rank_pieces(&mut self) {
        let pieces = &self.pieces;
        let count = u32::try_from(pieces.len()).expect("fewer than 2^32 pieces");
        self.by_order.clear();
        self.by_order.extend(0..count);
        self.by_order
            .sort_unstable_by_key(|piece| pieces[*piece as usize].order);
        self.ranks.clear();
        self.ranks.resize(pieces.len(), 0);
        let mut rank = 0;
        for pair in self.by_order.windows(2) {
            let (before, after) = (pair[0] as usize, pair[1] as usize);
            if pieces[before].order != pieces[after].order {
                rank += 1;
            }
            self.ranks[after] = rank;
        }
    }

    fn emit(&self, owned: impl Fn(i64) -> bool, out: &mut SeriesBuffer) -> MergeCounts {
        let mut counts = MergeCounts::default();
        for same_time in self.keys.chunk_by(|a, b| a.timestamp_ms == b.timestamp_ms) {
            let last = same_time[same_time.len() - 1];
            if !owned(last.timestamp_ms) {
                counts.not_owned += same_time.len() as u64;
                continue;
            }
            counts.kept += 1;
            counts.duplicates += same_time.len() as u64 - 1;
            out.timestamps_ms.push(last.timestamp_ms);
            out.values.push(self.values[last.place as usize]);
            let order = self.pieces[last.piece as usize].order;
            extend_runs(&mut out.orders, OrderRun { order, points: 1 });
        }
        counts
    }
}

impl MergeCounts {
    /// All points that were gathered.
    pub fn total(&self) -> u64 {
        self.kept + self.duplicates + self.not_owned + self.deleted
    }

    /// Takes another series' counts in.
    pub fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.duplicates += other.duplicates;
        self.not_owned += other.not_owned;
        self.deleted += other.deleted;
    }
}

fn extend_runs(runs: &mut Vec<OrderRun>, next: OrderRun) {
    match runs.last_mut() {
        Some(last) if last.order == next.order => last.points += next.points,
        Some(_) | None => runs.push(next),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use skein_shared::format::order_column::ChainIndex;
    use skein_shared::offset::Offset;
    use skein_shared::window::TimestampMs;

    use super::*;

    type Record = (Order, Vec<(i64, f64)>);

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let order =
            (prop::option::of(0..3_i64), 0..3_u32, 0..4_i64).prop_map(|(at, chain, offset)| {
                Order {
                    seals: 1,
                    record_timestamp: at.map(TimestampMs),
                    chain: ChainIndex(chain),
                    offset: Offset(offset),
                }
            });
        let value = prop::sample::select(vec![0.0, -0.0, 1.5, f64::NAN, f64::INFINITY]);
        let points = prop::collection::vec((0..12_i64, value), 0..8);
        prop::collection::btree_map(order, points, 0..8)
            .prop_map(|records| records.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
    }

    /// One map insert for each point, in the total order: the last one stays.
    fn oracle(mut records: Vec<Record>, owned: impl Fn(i64) -> bool) -> Vec<(i64, u64, Order)> {
        records.sort_by_key(|(order, _)| *order);
        let mut points = BTreeMap::new();
        for (order, record) in records {
            for (ms, value) in record {
                points.insert(ms, (value.to_bits(), order));
            }
        }
        points
            .into_iter()
            .filter(|(ms, _)| owned(*ms))
            .map(|(ms, (bits, order))| (ms, bits, order))
            .collect()
    }

    fn gather(merge: &mut SeriesMerge, records: &[Record]) {
        merge.clear();
        for (order, points) in records {
            merge.gather_record(*order, |timestamps, values| {
                timestamps.extend(points.iter().map(|(ms, _)| *ms));
                values.extend(points.iter().map(|(_, value)| *value));
            });
        }
    }

    fn points_of(series: &SeriesBuffer) -> Vec<(i64, u64, Order)> {
        let orders = series
            .orders
            .iter()
            .flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
        let bits = series.values.iter().map(|value| value.to_bits());
        series
            .timestamps_ms
            .iter()
            .copied()
            .zip(bits)
            .zip(orders)
            .map(|((ms, bits), order)| (ms, bits, order))
            .collect()
    }

    proptest! {
        #[test]
        fn the_last_write_in_the_total_order_wins(records in records(), border in 0..14_i64) {
            let (mut merge, mut out) = (SeriesMerge::default(), SeriesBuffer::default());
            gather(&mut merge, &records);
            let gathered: usize = records.iter().map(|(_, points)| points.len()).sum();
            let counts = merge.merge_into(|ms| ms < border, &mut out);
            let expected = oracle(records, |ms| ms < border);
            prop_assert_eq!(counts.kept, expected.len() as u64);
            prop_assert_eq!(counts.total(), gathered as u64);
            prop_assert_eq!(points_of(&out), expected);
        }

        #[test]
        fn merging_in_any_steps_gives_what_one_step_gives(records in records(), cut in 0..8_usize) {
            let (mut merge, mut out) = (SeriesMerge::default(), SeriesBuffer::default());
            let (first, rest) = records.split_at(cut.min(records.len()));
            let mut segment = SeriesBuffer::default();
            gather(&mut merge, first);
            merge.merge_into(|_| true, &mut segment);
            gather(&mut merge, rest);
            merge.gather_segment(&segment);
            merge.merge_into(|_| true, &mut out);
            prop_assert_eq!(points_of(&out), oracle(records, |_| true));
        }
    }

    #[test]
    fn identical_values_collapse_and_keep_the_highest_order() {
        let order = |offset| Order {
            seals: 1,
            offset: Offset(offset),
            ..Order::default()
        };
        let (mut merge, mut out) = (SeriesMerge::default(), SeriesBuffer::default());
        gather(
            &mut merge,
            &[(order(9), vec![(1, 2.5)]), (order(4), vec![(1, 2.5)])],
        );
        let counts = merge.merge_into(|_| true, &mut out);
        assert_eq!(counts.duplicates, 1);
        assert_eq!(points_of(&out), [(1, 2.5_f64.to_bits(), order(9))]);
    }
}
