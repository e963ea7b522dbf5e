//! Which points a delete takes: the one rule of compactor, rebuild and readers.
//!
//! A point goes if some delete's selector names its series and its time, and the record that it came from lies below
//! that delete's positions. Deleted points are taken out *before* duplicates are resolved: an older write below the
//! positions goes with the winner, one that was written after the delete stays, whatever it competes with.
//!
//! A record is known by its position alone. So a record that a fill brings in later, or that is compacted again, is
//! deleted if it stood in Kafka below the positions.

use crate::format::delete_entry::DeleteEntry;
use crate::format::order_column::{ChainIndex, ChainTable, Order, OrderRun};
use crate::format::segment_reader::SeriesBuffer;
use crate::format::shard_manifest::{Deleted, SegmentEntry, ShardManifest};
use crate::ids::{OrgId, SeriesKey};
use crate::offset::Offset;
use crate::window::{TimeSpan, TimestampMs, Window};

/// Deletes, as they bear on orders that mean the chains of one table. For the points of a segment it must hold none that
/// was applied when the segment was made: a base does not say which of its points were written after it.
#[derive(Debug, Clone, Default)]
pub struct DeleteMask {
    /// By org, then number.
    rules: Vec<MaskRule>,
}

#[derive(Debug, Clone)]
struct MaskRule {
    number: u64,
    series: (SeriesKey, SeriesKey),
    span: TimeSpan,
    /// For each chain of the table the first offset that is not taken.
    ends: Vec<Offset>,
}

/// Columns of one series' points: as many values as times, and stretches that add up to as many.
#[derive(Debug)]
pub struct PointColumns<'a> {
    /// Milliseconds since the epoch, in any order.
    pub timestamps_ms: &'a mut Vec<i64>,
    /// The values.
    pub values: &'a mut Vec<f64>,
    /// Where the points came from.
    pub orders: &'a mut Vec<OrderRun>,
}

/// The deletes that may take points out of a live segment of `manifest`: those that neither it nor the whole manifest is
/// known to be free of.
pub fn pending<'a>(
    deletes: &'a [DeleteEntry],
    manifest: &ShardManifest,
    segment: &'a SegmentEntry,
) -> impl Iterator<Item = &'a DeleteEntry> + use<'a> {
    let applied = manifest.applied_in(segment);
    let may_take = move |delete: &&DeleteEntry| {
        let (selector, summary) = (&delete.selector, &segment.summary);
        let may_touch = if segment.resolution.is_raw() {
            selector.may_touch(summary)
        } else {
            selector.may_touch_rollup(segment.window, summary)
        };
        delete.number > applied && may_touch
    };
    deletes.iter().filter(may_take)
}

impl DeleteMask {
    /// The mask of these deletes for orders that carry the indexes of `chains`.
    pub fn new<'a>(
        deletes: impl IntoIterator<Item = &'a DeleteEntry>,
        chains: &ChainTable,
    ) -> Self {
        let rule = |delete: &DeleteEntry| {
            let end = |chain| delete.end_of(chain);
            MaskRule {
                number: delete.number,
                series: delete.selector.series(),
                span: delete.selector.span,
                ends: chains.chains().iter().map(end).collect(),
            }
        };
        let mut rules: Vec<MaskRule> = deletes.into_iter().map(rule).collect();
        rules.sort_by_key(|rule| (rule.org(), rule.number));
        Self { rules }
    }

    /// Whether it takes nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Takes the deleted points of `key` out of `columns` and counts them in `deleted`.
    ///
    /// # Panics
    /// If the columns do not fit together, or an order means no chain of the mask's table.
    pub fn drop_points(&self, key: SeriesKey, columns: PointColumns<'_>, deleted: &mut Deleted) {
        let rules = self.rules_of(key.org);
        if !rules.iter().any(|rule| rule.names(key)) {
            return;
        }
        let PointColumns {
            timestamps_ms,
            values,
            orders,
        } = columns;
        let (mut read, mut kept, mut taken) = (0, 0, Vec::new());
        for stretch in orders.iter_mut() {
            let end = read + stretch.points as usize;
            let begin = kept;
            let bearing: Vec<&MaskRule> = rules
                .iter()
                .filter(|rule| rule.bears(key, stretch.order))
                .collect();
            let taking = |ms: i64| {
                let mut rules = bearing.iter();
                let rule = rules.find(|rule| rule.span.contains(TimestampMs(ms)));
                rule.map(|rule| rule.number)
            };
            for place in read..end {
                timestamps_ms[kept] = timestamps_ms[place];
                values[kept] = values[place];
                let number = taking(timestamps_ms[kept]);
                kept += usize::from(number.is_none());
                taken.extend(number);
            }
            read = end;
            stretch.points = u32::try_from(kept - begin).expect("no more than it had");
        }
        assert_eq!(read, timestamps_ms.len(), "every point has an order");
        orders.retain(|stretch| stretch.points > 0);
        timestamps_ms.truncate(kept);
        values.truncate(kept);
        for number in taken {
            *deleted.entry(number).or_default() += 1;
        }
    }

    /// As [`DeleteMask::drop_points`], of one segment's points; answers how many there were.
    pub fn drop_of_segment(
        &self,
        key: SeriesKey,
        points: &mut SeriesBuffer,
        deleted: &mut Deleted,
    ) -> u64 {
        let before = points.values.len();
        let columns = PointColumns {
            timestamps_ms: &mut points.timestamps_ms,
            values: &mut points.values,
            orders: &mut points.orders,
        };
        self.drop_points(key, columns, deleted);
        (before - points.values.len()) as u64
    }

    /// Whether all that a record says of the series in the window is deleted, its metadata too. A delete of a part of
    /// the window leaves metadata to the points that are left.
    pub fn takes_record(&self, key: SeriesKey, order: Order, window: Window) -> bool {
        let span = window.span();
        self.rules_of(key.org).iter().any(|rule| {
            rule.names(key)
                && rule.lies_below(order)
                && rule.span.from <= span.from
                && span.to <= rule.span.to
        })
    }

    fn rules_of(&self, org: OrgId) -> &[MaskRule] {
        let from = self.rules.partition_point(|rule| rule.org() < org);
        let to = self.rules.partition_point(|rule| rule.org() <= org);
        &self.rules[from..to]
    }
}

impl MaskRule {
    fn org(&self) -> OrgId {
        self.series.0.org
    }

    fn names(&self, key: SeriesKey) -> bool {
        self.series.0 <= key && key <= self.series.1
    }

    fn bears(&self, key: SeriesKey, order: Order) -> bool {
        self.names(key) && self.lies_below(order)
    }

    fn lies_below(&self, order: Order) -> bool {
        // A base knows no positions. Whoever made it without knowing of the delete had read the ledger before the delete
        // was there, and so no further than its positions.
        let ChainIndex(chain) = order.chain;
        order.seals == 0 || order.offset < self.ends[chain as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::format::delete_entry::{DeleteSelector, EntryHash, Statement};
    use crate::ids::{Chain, Incarnation, MetricId, PartitionId, SourceName, TopicName};

    fn chain(partition: u32) -> Chain {
        Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        }
    }

    fn key(org: u64, metric: u64) -> SeriesKey {
        SeriesKey {
            org: OrgId(org),
            metric: MetricId(metric),
        }
    }

    prop_compose! {
        fn delete()(
            number in 1_u64..9,
            org in 0_u64..2,
            metric in proptest::option::of(0_u64..2),
            span in proptest::option::of((0_i64..20, 1_i64..20)),
            ends in proptest::option::weighted(
                0.8, proptest::collection::btree_map(0_u32..3, 0_i64..20, 0..3)),
        ) -> DeleteEntry {
            let span = span.map_or(TimeSpan::ALL, |(from, length)| TimeSpan {
                from: TimestampMs(from),
                to: TimestampMs(from + length),
            });
            DeleteEntry {
                number,
                selector: DeleteSelector { org: OrgId(org), metric: metric.map(MetricId), span },
                positions: ends.map(|ends| {
                    ends.into_iter().map(|(p, end)| (chain(p), Offset(end))).collect()
                }),
                stated: Statement::default(),
                at: TimestampMs(0),
                deadline: TimestampMs(0),
                previous: EntryHash::default(),
            }
        }
    }

    proptest! {
        #[test]
        fn points_go_by_selector_and_position_alone(
            deletes in proptest::collection::vec(delete(), 0..5),
            series in (0_u64..2, 0_u64..2),
            stretches in proptest::collection::vec(
                ((0_u32..3, 0_i64..20), proptest::collection::vec(0_i64..30, 1..5)), 0..8),
        ) {
            let table = ChainTable::new((0..3).map(chain).collect());
            let series = key(series.0, series.1);
            let mut points = SeriesBuffer::default();
            let mut expected = Vec::new();
            for ((partition, offset), times) in stretches {
                let order = Order { seals: 1, record_timestamp: None, chain: ChainIndex(partition), offset: Offset(offset) };
                points.orders.push(OrderRun { order, points: u32::try_from(times.len()).unwrap() });
                for ms in times {
                    let value = f64::from(u32::try_from(points.values.len()).unwrap());
                    points.timestamps_ms.push(ms);
                    points.values.push(value);
                    let is_taken = deletes.iter().any(|d| d.selector.org == series.org
                        && d.selector.metric.is_none_or(|metric| metric == series.metric)
                        && d.selector.span.contains(TimestampMs(ms))
                        && d.positions.as_ref().is_none_or(|ends| {
                            ends.get(&chain(partition)).is_some_and(|end| offset < end.0)
                        }));
                    if !is_taken {
                        expected.push((ms, value, order));
                    }
                }
            }
            let before = points.values.len();
            let mask = DeleteMask::new(&deletes, &table);
            let mut deleted = Deleted::new();
            let columns = PointColumns {
                timestamps_ms: &mut points.timestamps_ms,
                values: &mut points.values,
                orders: &mut points.orders,
            };
            mask.drop_points(series, columns, &mut deleted);
            let orders = points.orders.iter();
            let orders = orders.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
            let left = points.timestamps_ms.iter().zip(&points.values).zip(orders);
            let left: Vec<_> = left.map(|((ms, value), order)| (*ms, *value, order)).collect();
            prop_assert_eq!(deleted.values().sum::<u64>(), (before - expected.len()) as u64);
            prop_assert_eq!(left, expected);
        }
    }

    #[test]
    fn metadata_goes_with_whole_windows_only() {
        let table = ChainTable::new(vec![chain(0)]);
        let window = Window::from_number(3);
        let at = |offset| Order {
            seals: 1,
            offset: Offset(offset),
            ..Order::default()
        };
        let takes = |span, offset| {
            let delete = DeleteEntry {
                number: 1,
                selector: DeleteSelector {
                    org: OrgId(7),
                    metric: None,
                    span,
                },
                positions: Some(BTreeMap::from([(chain(0), Offset(5))])),
                stated: Statement::default(),
                at: TimestampMs(0),
                deadline: TimestampMs(0),
                previous: EntryHash::default(),
            };
            DeleteMask::new([&delete], &table).takes_record(key(7, 1), at(offset), window)
        };
        assert!(takes(TimeSpan::ALL, 4) && takes(window.span(), 4));
        assert!(!takes(TimeSpan::ALL, 5));
        let to = TimestampMs(window.span().to.0 - 1);
        assert!(!takes(
            TimeSpan {
                to,
                ..window.span()
            },
            4
        ));
    }
}
