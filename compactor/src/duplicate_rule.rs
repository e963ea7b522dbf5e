//! Of points with equal `(org, metric, timestamp)` the last write wins.
//!
//! Points that a delete takes, and points that another pipeline writes, go before that, whatever they competed with.
//!
//! The total order of writes is: record timestamp, position, index in the payload. Identical values
//! collapse too, and what is left keeps the highest order, so that any later merge decides the same.

use std::mem::take;
use std::ops::Range;

use skein_shared::delete_rule::{DeleteMask, PointColumns};
use skein_shared::format::order_column::{Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::shard_manifest::Deleted;
use skein_shared::ids::{OrgId, SeriesKey};

use crate::ownership_filter::{NotOwned, OwnershipRule};

/// The points of one series, gathered piece by piece from payloads and segments; memory is kept from one
/// series to the next.
#[derive(Debug, Default)]
pub struct SeriesMerge {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    pieces: Vec<OrderRun>,
    extents: Vec<Extent>,
    by_order: Vec<Order>,
    keys: Vec<Key>,
}

/// Where the points of a merge went: all that were gathered are in exactly one of the five.
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
    /// Points that came for a window whose points have expired.
    pub expired: u64,
}

/// Where the points of a piece lie, in memory and in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    earliest_ms: i64,
    latest_ms: i64,
    /// Whether each point is later than the one before it.
    ascends: bool,
    /// Place of its first point among the gathered points.
    place: u32,
    piece: u32,
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

    /// Memory that gathering has taken and merging may take, about: columns in and out, sort keys, and for each piece what
    /// it is sorted by.
    pub fn held_bytes(&self) -> usize {
        let point = 2 * (size_of::<i64>() + size_of::<f64>()) + size_of::<Key>();
        let piece = 2 * size_of::<OrderRun>() + size_of::<Extent>() + size_of::<Order>();
        self.values.len() * point + self.pieces.len() * piece
    }

    /// How many points were gathered.
    pub fn gathered_points(&self) -> u64 {
        self.values.len() as u64
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

    /// Takes the points that are not ours out of what was gathered, which is of `org`. Comes before
    /// [`SeriesMerge::merge_into`], too.
    ///
    /// # Panics
    /// If an order means no chain of the rule's.
    pub fn drop_not_owned(&mut self, rule: &mut OwnershipRule<'_>, org: OrgId) -> NotOwned {
        let columns = PointColumns {
            timestamps_ms: &mut self.timestamps_ms,
            values: &mut self.values,
            orders: &mut self.pieces,
        };
        rule.drop_points(org, columns)
    }

    /// The times of the last `points` that were gathered.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn last_times_ms(&self, points: u64) -> &[i64] {
        let first = self.gathered_points() - points;
        let first = usize::try_from(first).expect("it is a place in memory");
        &self.timestamps_ms[first..]
    }

    /// Takes out everything that was gathered; answers how many points that were.
    pub fn drop_all(&mut self) -> u64 {
        let points = self.values.len() as u64;
        self.clear();
        points
    }

    /// Writes what is left, in ascending time, to `out`, and counts where the other points went.
    ///
    /// # Panics
    /// If a series has more than 2^32 points in one window, which no memory budget admits.
    pub fn merge_into(&mut self, out: &mut SeriesBuffer) -> MergeCounts {
        out.clear();
        let gathered = self.timestamps_ms.len() as u64;
        let ascends = self.timestamps_ms.is_sorted_by(|a, b| a < b);
        if ascends {
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
        self.measure();
        let extents = take(&mut self.extents);
        let mut counts = MergeCounts::default();
        for together in overlapping(&extents) {
            match together {
                [alone] if alone.ascends => {
                    counts.kept += u64::from(self.copy(*alone, out));
                }
                together => {
                    self.sort_keys(together);
                    counts.add(self.emit(out));
                }
            }
        }
        self.extents = extents;
        assert_eq!(counts.total(), gathered, "SK-11: a merge loses no point");
        counts
    }

    /// Says where each piece lies, in the order of time.
    fn measure(&mut self) {
        self.extents.clear();
        let mut place = 0;
        for (piece, run) in (0..).zip(&self.pieces) {
            let end = place + run.points as usize;
            let times = &self.timestamps_ms[place..end];
            let (mut earliest_ms, mut latest_ms) = (i64::MAX, i64::MIN);
            for ms in times {
                earliest_ms = earliest_ms.min(*ms);
                latest_ms = latest_ms.max(*ms);
            }
            self.extents.push(Extent {
                earliest_ms,
                latest_ms,
                ascends: times.is_sorted_by(|a, b| a < b),
                place: u32::try_from(place).expect("fewer than 2^32 points"),
                piece,
            });
            place = end;
        }
        assert_eq!(place, self.timestamps_ms.len(), "every point has an order");
        // Stable on purpose: payloads come by their first point, and segments are sorted.
        self.extents.sort_by_key(|extent| extent.earliest_ms);
    }

    fn points_of(&self, extent: Extent) -> Range<usize> {
        let place = extent.place as usize;
        place..place + self.pieces[extent.piece as usize].points as usize
    }

    fn times_of(&self, extent: Extent) -> &[i64] {
        &self.timestamps_ms[self.points_of(extent)]
    }

    /// Nothing competes with these points.
    fn copy(&self, extent: Extent, out: &mut SeriesBuffer) -> u32 {
        let (points, run) = (self.points_of(extent), self.pieces[extent.piece as usize]);
        let (times, values) = (&self.timestamps_ms[points.clone()], &self.values[points]);
        out.timestamps_ms.extend_from_slice(times);
        out.values.extend_from_slice(values);
        extend_runs(&mut out.orders, run);
        run.points
    }

    /// Brings the points of some pieces into the order of time and of writes.
    fn sort_keys(&mut self, together: &[Extent]) {
        let (mut keys, mut by_order) = (take(&mut self.keys), take(&mut self.by_order));
        let order = |extent: &Extent| self.pieces[extent.piece as usize].order;
        by_order.clear();
        by_order.extend(together.iter().map(order));
        by_order.sort_unstable();
        // Equal orders are stretches of one record, and have the same rank.
        by_order.dedup();
        keys.clear();
        for extent in together {
            let order = order(extent);
            let rank = by_order.partition_point(|other| *other < order);
            let rank = u32::try_from(rank).expect("fewer than 2^32 pieces");
            let times = self.times_of(*extent).iter();
            let key = |(place, ms): (u32, &i64)| Key {
                timestamp_ms: *ms,
                rank,
                place,
                piece: extent.piece,
            };
            keys.extend((extent.place..).zip(times).map(key));
        }
        // Stable on purpose: pieces are sorted runs, and the stable sort merges runs.
        keys.sort();
        (self.keys, self.by_order) = (keys, by_order);
    }

    fn emit(&self, out: &mut SeriesBuffer) -> MergeCounts {
        let mut counts = MergeCounts::default();
        for same_time in self.keys.chunk_by(|a, b| a.timestamp_ms == b.timestamp_ms) {
            let last = same_time[same_time.len() - 1];
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
        self.kept + self.duplicates + self.not_owned + self.deleted + self.expired
    }

    /// Takes another series' counts in.
    pub fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.duplicates += other.duplicates;
        self.not_owned += other.not_owned;
        self.deleted += other.deleted;
        self.expired += other.expired;
    }
}

/// Pieces in the order of time, cut where one begins after all before it have ended.
fn overlapping(extents: &[Extent]) -> impl Iterator<Item = &[Extent]> {
    let mut latest_ms = i64::MIN;
    extents.chunk_by(move |a, b| {
        latest_ms = latest_ms.max(a.latest_ms);
        b.earliest_ms <= latest_ms
    })
}

fn extend_runs(runs: &mut Vec<OrderRun>, next: OrderRun) {
    match runs.last_mut() {
        Some(last) if last.order == next.order => last.points += next.points,
        Some(_) | None => runs.push(next),
    }
}

#[cfg(test)]
mod tests;
