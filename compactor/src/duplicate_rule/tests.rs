use std::collections::BTreeMap;

use proptest::prelude::*;
use skein_shared::format::order_column::ChainIndex;
use skein_shared::offset::Offset;
use skein_shared::window::TimestampMs;

use super::*;

type Record = (Order, Vec<(i64, f64)>);

fn records() -> impl Strategy<Value = Vec<Record>> {
    let order =
        (prop::option::of(0..3_i64), 0..3_u32, 0..4_i64).prop_map(|(at, chain, offset)| Order {
            seals: 1,
            record_timestamp: at.map(TimestampMs),
            chain: ChainIndex(chain),
            offset: Offset(offset),
        });
    let value = prop::sample::select(vec![0.0, -0.0, 1.5, f64::NAN, f64::INFINITY]);
    let points = prop::collection::vec((0..12_i64, value), 0..8);
    prop::collection::btree_map(order, points, 0..8)
        .prop_map(|records| records.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

/// One map insert for each point, in the total order: the last one stays.
fn oracle(mut records: Vec<Record>) -> Vec<(i64, u64, Order)> {
    records.sort_by_key(|(order, _)| *order);
    let mut points = BTreeMap::new();
    for (order, record) in records {
        for (ms, value) in record {
            points.insert(ms, (value.to_bits(), order));
        }
    }
    points
        .into_iter()
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
    fn the_last_write_in_the_total_order_wins(records in records()) {
        let (mut merge, mut out) = (SeriesMerge::default(), SeriesBuffer::default());
        gather(&mut merge, &records);
        let gathered: usize = records.iter().map(|(_, points)| points.len()).sum();
        let counts = merge.merge_into(&mut out);
        let expected = oracle(records);
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
        merge.merge_into(&mut segment);
        gather(&mut merge, rest);
        merge.gather_segment(&segment);
        merge.merge_into(&mut out);
        prop_assert_eq!(points_of(&out), oracle(records));
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
    let counts = merge.merge_into(&mut out);
    assert_eq!(counts.duplicates, 1);
    assert_eq!(points_of(&out), [(1, 2.5_f64.to_bits(), order(9))]);
}
