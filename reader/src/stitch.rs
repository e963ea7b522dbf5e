//! Makes one series of what several segments of a window hold of it.
//!
//! Segments of one window overlay each other: of points with equal time the one that was written last, by
//! the total order of records, is the one that a single system would return (SK-13). So it is with the points of an old
//! system, over which those of the segments are laid that amend them.

use skein_config::cutover::timelines::Timelines;
use skein_shared::format::order_column::{Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::OrgId;

use crate::visible::{keep_visible, lay_over};

/// Points of one series out of several segments; memory is kept from one series to the next.
#[derive(Debug, Default)]
pub struct Stitch {
    parts: Vec<SeriesBuffer>,
    used: usize,
    merged: SeriesBuffer,
    old: SeriesBuffer,
    spare: SeriesBuffer,
}

/// Where a part stands while the parts are merged.
struct Head<'a> {
    part: &'a SeriesBuffer,
    at: usize,
    stretch: usize,
    used: u32,
}

impl Stitch {
    /// Forgets the points and keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.old.clear();
    }

    /// The buffer for what readers see of an old system's points.
    pub fn old_part(&mut self) -> &mut SeriesBuffer {
        &mut self.old
    }

    /// An empty buffer for one more segment's points.
    pub fn part(&mut self) -> &mut SeriesBuffer {
        if self.used == self.parts.len() {
            self.parts.push(SeriesBuffer::default());
        }
        self.used += 1;
        let part = &mut self.parts[self.used - 1];
        part.clear();
        part
    }

    /// The parts so far.
    pub fn parts(&self) -> &[SeriesBuffer] {
        &self.parts[..self.used]
    }

    /// Merges all parts; answers how many points lost to a later write.
    pub fn merge(&mut self) -> u64 {
        let parts = &mut self.parts[..self.used];
        parts.sort_by_key(|part| part.timestamps_ms.first().copied());
        let begun = parts.iter().position(|part| !part.timestamps_ms.is_empty());
        let parts = &mut parts[begun.unwrap_or(self.used)..];
        let merged = &mut self.merged;
        merged.clear();
        if let [only] = parts {
            std::mem::swap(only, merged);
            return 0;
        }
        let total: usize = parts.iter().map(|part| part.timestamps_ms.len()).sum();
        if parts.is_sorted_by(|a, b| a.timestamps_ms.last() < b.timestamps_ms.first()) {
            for part in parts {
                merged.timestamps_ms.extend_from_slice(&part.timestamps_ms);
                merged.values.extend_from_slice(&part.values);
                merged.orders.extend_from_slice(&part.orders);
            }
        } else {
            merge_overlapping(parts, merged);
        }
        (total - merged.timestamps_ms.len()) as u64
    }

    /// The merged points, in strictly ascending time.
    pub fn merged(&self) -> &SeriesBuffer {
        &self.merged
    }

    /// The merged points, to be taken.
    pub fn merged_mut(&mut self) -> &mut SeriesBuffer {
        &mut self.merged
    }

    /// Leaves the merged points that readers see, and lays them over the old system's. Answers how many there are of the old
    /// system's, and how many of its lost to an amendment.
    pub fn settle(&mut self, timelines: &Timelines, org: OrgId) -> (u64, u64) {
        keep_visible(timelines, org, &mut self.merged);
        let lost = lay_over(&self.old, &mut self.merged, &mut self.spare);
        (self.old.values.len() as u64 - lost, lost)
    }
}

fn merge_overlapping(parts: &[SeriesBuffer], merged: &mut SeriesBuffer) {
    let mut heads: Vec<Head> = parts.iter().map(Head::new).collect();
    while let Some(now) = heads.iter().filter_map(Head::timestamp_ms).min() {
        let current = heads
            .iter_mut()
            .filter(|head| head.timestamp_ms() == Some(now));
        let winner = current.map(Head::take).max_by_key(|(order, _)| *order);
        let (order, value) = winner.expect("the smallest timestamp belongs to a head");
        merged.timestamps_ms.push(now);
        merged.values.push(value);
        merged.push_order(OrderRun { order, points: 1 });
    }
}

impl<'a> Head<'a> {
    fn new(part: &'a SeriesBuffer) -> Self {
        Self {
            part,
            at: 0,
            stretch: 0,
            used: 0,
        }
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.part.timestamps_ms.get(self.at).copied()
    }

    fn take(&mut self) -> (Order, f64) {
        let stretch = self.part.orders[self.stretch];
        let value = self.part.values[self.at];
        self.at += 1;
        self.used += 1;
        if self.used == stretch.points {
            self.stretch += 1;
            self.used = 0;
        }
        (stretch.order, value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use skein_shared::offset::Offset;
    use skein_shared::window::TimestampMs;

    use super::*;

    /// Points of one part: time, place in the order of writes, value.
    type Points = BTreeMap<i64, (i64, f64)>;

    fn order(place: i64) -> Order {
        Order {
            seals: 1,
            record_timestamp: (place > 3).then_some(TimestampMs(place / 4)),
            offset: Offset(place),
            ..Order::default()
        }
    }

    fn merge(parts: &[Points]) -> (Vec<(i64, Order, u64)>, u64) {
        let mut stitch = Stitch::default();
        stitch.part();
        stitch.clear();
        for points in parts {
            let part = stitch.part();
            for (ts, (place, value)) in points {
                part.timestamps_ms.push(*ts);
                part.values.push(*value);
                part.push_order(OrderRun {
                    order: order(*place),
                    points: 1,
                });
            }
        }
        let superseded = stitch.merge();
        let merged = stitch.merged();
        let orders = merged.orders.iter();
        let orders = orders.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
        let points = merged.timestamps_ms.iter().zip(&merged.values).zip(orders);
        let points = points.map(|((ts, value), order)| (*ts, order, value.to_bits()));
        (points.collect(), superseded)
    }

    proptest! {
        #[test]
        fn of_equal_times_the_last_write_wins_bit_by_bit(
            parts in proptest::collection::vec(
                proptest::collection::btree_map(0_i64..40, (0_i64..30, any::<u64>()), 0..30),
                0..5,
            ),
        ) {
            // One record never stands in two segments: places get a digit of their part.
            let parts: Vec<Points> = (0..).zip(parts).map(|(number, points)| {
                let own = |(ts, (place, bits))| (ts, (place * 8 + number, f64::from_bits(bits)));
                points.into_iter().map(own).collect()
            }).collect();
            let mut expected: BTreeMap<i64, (Order, u64)> = BTreeMap::new();
            for (ts, (place, value)) in parts.iter().flatten() {
                let point = (order(*place), value.to_bits());
                let best = expected.entry(*ts).or_insert(point);
                if best.0 < point.0 {
                    *best = point;
                }
            }
            let total: usize = parts.iter().map(BTreeMap::len).sum();
            let (merged, superseded) = merge(&parts);
            prop_assert_eq!(superseded, (total - expected.len()) as u64);
            let expected: Vec<_> = expected.into_iter().map(|(ts, (o, v))| (ts, o, v)).collect();
            prop_assert_eq!(merged, expected);
        }
    }
}
