use proptest::prelude::*;
use skein_shared::ids::{MetricId, OrgId};
use skein_shared::offset::Offset;
use skein_shared::payload::{Limits, Payload};

use super::*;

/// A record of one metric: its timestamp and its points.
type Record = (Option<i64>, Vec<(i64, u64)>);

fn encoded(points: &[(i64, u64)], host: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Payload {
        org: OrgId(7),
        metric: MetricId(1),
        timestamps: points.iter().map(|(ms, _)| TimestampMs(*ms)).collect(),
        values: points
            .iter()
            .map(|(_, bits)| f64::from_bits(*bits))
            .collect(),
        metadata: vec![("host".to_owned(), host.to_owned())],
    }
    .encode(&mut bytes);
    bytes
}

fn order(record_ms: Option<i64>, offset: i64) -> Order {
    Order {
        record_timestamp: record_ms.map(TimestampMs),
        offset: Offset(offset),
        ..Order::default()
    }
}

fn buffers_of(records: &[Record]) -> MetricBuffers {
    let mut buffers = MetricBuffers::default();
    for ((record_ms, points), offset) in records.iter().zip(0..) {
        let bytes = encoded(points, &format!("host-{offset}"));
        let view = PayloadView::parse(&bytes, &Limits::default(), None).unwrap();
        buffers.add(&view, order(*record_ms, offset));
    }
    buffers
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let points = prop::collection::vec((-9_i64..9, any::<u64>()), 0..9);
    prop::collection::vec((prop::option::of(0_i64..3), points), 0..6)
}

proptest! {
    #[test]
    fn of_equal_times_the_last_write_is_written_and_every_point_is_counted(
        records in records(),
        ends_at in -10_i64..10,
    ) {
        let mut expected: BTreeMap<i64, (Order, u64)> = BTreeMap::new();
        let (mut points_in, mut not_owned, mut not_owned_to) = (0, 0, None);
        for ((record_ms, points), offset) in records.iter().zip(0..) {
            for (ms, bits) in points {
                points_in += 1;
                if *ms >= ends_at {
                    not_owned += 1;
                    not_owned_to = not_owned_to.max(Some(TimestampMs(*ms)));
                    continue;
                }
                let point = (order(*record_ms, offset), *bits);
                let best = expected.entry(*ms).or_insert(point);
                // Within a record the later one counts.
                if best.0 <= point.0 {
                    *best = point;
                }
            }
        }
        let buffers = buffers_of(&records);
        let settled = buffers.iter().next().map(|(_, metric)| metric.settle(|at| at.0 < ends_at));
        let settled = settled.unwrap_or_default();
        let orders = settled.points.orders.iter();
        let orders = orders.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
        let found = settled.points.timestamps_ms.iter().zip(&settled.points.values).zip(orders);
        let found: BTreeMap<i64, (Order, u64)> =
            found.map(|((ms, value), order)| (*ms, (order, value.to_bits()))).collect();
        prop_assert_eq!(settled.points.values.len(), found.len());
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!((settled.not_owned, settled.not_owned_to), (not_owned, not_owned_to));
        prop_assert_eq!(settled.duplicates, points_in - not_owned - expected.len() as u64);
    }

    #[test]
    fn metadata_is_that_of_the_last_written_record(records in records()) {
        let said = records.iter().zip(0..).filter(|((_, points), _)| !points.is_empty());
        let last = said.map(|((record_ms, _), offset)| order(*record_ms, offset)).max();
        let buffers = buffers_of(&records);
        let found = buffers.iter().next().and_then(|(_, metric)| metric.metadata());
        prop_assert_eq!(found.map(|it| it.order), last);
        if let Some(found) = found {
            prop_assert_eq!(&found.entries["host"], &format!("host-{}", found.order.offset));
        }
    }
}

#[test]
fn memory_grows_with_every_record_and_is_given_back() {
    let one = buffers_of(&[(None, vec![(1, 0), (2, 0)])]).bytes();
    let mut two = buffers_of(&[(None, vec![(1, 0), (2, 0)]), (None, vec![(3, 0), (4, 0)])]);
    assert!(one > 2 * 32 && two.bytes() >= one + 2 * 32, "{one} {two:?}");
    two.clear();
    assert_eq!((two.bytes(), two.iter().count()), (0, 0));
}
