use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::format::order_column::Order;
use crate::format::profile::Profile;
use crate::format::segment_footer::{self, FooterRead, SegmentFooter};
use crate::format::segment_writer::{
    BLOCK_POINTS, FinishedSegment, SegmentIdentity, SegmentWriter, SeriesMetadata, SeriesPoints,
};
use crate::ids::{
    Chain, Incarnation, MetricId, OrgId, PartitionId, ShardId, SourceName, TopicName,
};
use crate::offset::Offset;
use crate::window::{Resolution, Window};

const WINDOW: Window = Window::from_number(20_000);

#[derive(Debug, Clone, PartialEq)]
struct Series {
    key: SeriesKey,
    points: SeriesBuffer,
    metadata: Option<SeriesMetadata>,
}

fn chains() -> ChainTable {
    let chain = |partition| Chain {
        source: SourceName::new("kafka").unwrap(),
        topic: TopicName::new("points").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    };
    ChainTable::new((0..4).map(chain).collect())
}

fn order(seed: u32) -> Order {
    Order {
        seals: 1,
        record_timestamp: (!seed.is_multiple_of(5)).then(|| WINDOW.start()),
        chain: ChainIndex(seed % 4),
        offset: Offset(i64::from(seed) * 3),
    }
}

/// A series whose points, orders and metadata follow from `seed`.
fn series(org: u64, metric: u64, points: u32, seed: u32) -> Series {
    let mut rng = fastrand::Rng::with_seed(u64::from(seed));
    // Some of the series were measured together.
    let mut times = fastrand::Rng::with_seed(u64::from(seed % 4));
    let mut buffer = SeriesBuffer::default();
    let step = 86_400_000 / i64::from(points) - 1;
    for index in 0..points {
        let jitter = if seed.is_multiple_of(2) {
            times.i64(0..=step)
        } else {
            0
        };
        let start = WINDOW.start().0 + i64::from(index) * (step + 1);
        buffer.timestamps_ms.push(start + jitter);
        let value = match seed % 3 {
            0 => rng.f64(),
            1 => f64::from(rng.i32(0..1000)) / 100.0,
            _ => f64::from_bits(0x7ff8_0000_0000_0007),
        };
        buffer.values.push(value);
        buffer.push_order(OrderRun {
            order: order(seed + index / 60),
            points: 1,
        });
    }
    let entries = BTreeMap::from([("skein.series".to_owned(), format!("m{metric}"))]);
    let metadata = SeriesMetadata {
        order: order(seed),
        entries,
    };
    Series {
        key: SeriesKey {
            org: OrgId(org),
            metric: MetricId(metric),
        },
        points: buffer,
        metadata: seed.is_multiple_of(2).then_some(metadata),
    }
}

fn write(all: &[Series]) -> (Vec<u8>, FinishedSegment) {
    write_with(chains(), all)
}

fn write_with(chains: ChainTable, all: &[Series]) -> (Vec<u8>, FinishedSegment) {
    let identity = SegmentIdentity {
        shard: ShardId::Dedicated(OrgId(1)),
        window: WINDOW,
        resolution: Resolution::Raw,
    };
    let mut writer = SegmentWriter::new(identity, chains, Profile::default());
    let mut object = Vec::new();
    for series in all {
        let points = SeriesPoints {
            timestamps_ms: &series.points.timestamps_ms,
            values: &series.points.values,
            orders: &series.points.orders,
        };
        writer.push_series(series.key, &points, series.metadata.as_ref());
        if let Some(bytes) = writer.take_bytes(1000) {
            object.extend_from_slice(&bytes);
        }
    }
    let finished = writer.finish().unwrap();
    object.extend_from_slice(&finished.rest);
    (object, finished)
}

pub(super) fn footer(object: &[u8]) -> Result<SegmentFooter> {
    segment_footer::check_head(object)?;
    match SegmentFooter::read(object, object.len() as u64)? {
        FooterRead::Footer(footer) => Ok(*footer),
        FooterRead::NeedsTail(_) => refuse(0, "the whole object is no tail"),
    }
}

#[test]
fn a_chain_that_no_point_is_of_does_not_show_in_the_bytes() {
    let identity = SegmentIdentity {
        shard: ShardId::Dedicated(OrgId(1)),
        window: WINDOW,
        resolution: Resolution::Raw,
    };
    let all = chains();
    let used = ChainTable::new(vec![all.chains()[3].clone(), all.chains()[1].clone()]);
    let written = [all, used].map(|table| {
        let mut writer = SegmentWriter::new(identity, table.clone(), Profile::default());
        for (metric, chain) in [(1, 3), (2, 1)] {
            let chain = table.index_of(&chains().chains()[chain]).unwrap();
            let order = Order {
                chain,
                ..Order::default()
            };
            let points = SeriesPoints {
                timestamps_ms: &[WINDOW.start().0],
                values: &[1.0],
                orders: &[OrderRun { order, points: 1 }],
            };
            let key = SeriesKey {
                org: OrgId(1),
                metric: MetricId(metric),
            };
            writer.push_series(key, &points, None);
        }
        writer.finish().unwrap().rest
    });
    assert_eq!(written[0], written[1]);
    let footer = footer(&written[0]).unwrap();
    assert_eq!(footer.chain_numbers, [ChainIndex(1), ChainIndex(0)]);
}

/// Reads an object as its users do: everything in it.
fn read(object: &[u8], span: TimeSpan) -> Result<Vec<Series>> {
    let footer = footer(object)?;
    let context = RunContext::new(&footer, &chains());
    let part = |range: std::ops::Range<u64>| {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        object[range].to_vec()
    };
    let mut all: Vec<Series> = Vec::new();
    for fence in &footer.runs {
        let mut rows = read_metadata(fence, &part(fence.metadata_span()), &context)?;
        let run = Run::open(*fence, part(fence.span()).into(), &context)?;
        for index in 0..run.series_count() {
            let key = run.series(index).unwrap();
            let row = rows.iter().position(|row| row.series as usize == index);
            let metadata = row.map(|row| rows.remove(row).metadata);
            if all.last().is_none_or(|last| last.key != key) {
                let points = SeriesBuffer::default();
                all.push(Series {
                    key,
                    points,
                    metadata,
                });
            }
            let points = &mut all.last_mut().unwrap().points;
            run.read(index, span, points)?;
        }
    }
    Ok(all)
}

fn some_series() -> impl Strategy<Value = Vec<Series>> {
    let points = prop_oneof![1_u32..300, Just(60)];
    let shape = (points, 0_u32..1000);
    proptest::collection::btree_map((0_u64..3, any::<u64>()), shape, 1..20).prop_map(|shapes| {
        let make = |((org, metric), (points, seed))| series(org, metric, points, seed);
        shapes.into_iter().map(make).collect()
    })
}

fn bits(all: &[Series]) -> Vec<Vec<u64>> {
    let of = |series: &Series| series.points.values.iter().map(|v| v.to_bits()).collect();
    all.iter().map(of).collect()
}

#[track_caller]
fn assert_same(found: &[Series], expected: &[Series]) {
    assert_eq!(bits(found), bits(expected));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.key, expected.key);
        assert_eq!(found.points.timestamps_ms, expected.points.timestamps_ms);
        assert_eq!(found.points.orders, expected.points.orders);
        assert_eq!(found.metadata, expected.metadata);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_segment_reads_back_bit_by_bit(all in some_series()) {
        let (object, finished) = write(&all);
        assert_same(&read(&object, TimeSpan::ALL).unwrap(), &all);
        let footer = footer(&object).unwrap();
        let summary = finished.summary;
        prop_assert_eq!(summary.size_bytes, object.len() as u64);
        prop_assert_eq!(summary.crc32c, crc32c(&object));
        prop_assert_eq!(summary.digest, footer.digest);
        prop_assert_eq!(summary.points, footer.points);
        prop_assert_eq!(summary.last_series, all.last().unwrap().key);
        prop_assert_eq!((summary.first_timestamp, summary.last_timestamp), footer.time_bounds());
    }

    #[test]
    fn a_base_reads_back_with_the_least_order_for_each_point(all in some_series()) {
        let (object, _) = write_with(ChainTable::default(), &all);
        let mut expected = all.clone();
        for series in &mut expected {
            let points = u32::try_from(series.points.values.len()).unwrap();
            series.points.orders = vec![OrderRun { order: Order::default(), points }];
            if let Some(metadata) = &mut series.metadata {
                let record_timestamp = metadata.order.record_timestamp;
                metadata.order = Order { record_timestamp, ..Order::default() };
            }
        }
        assert_same(&read(&object, TimeSpan::ALL).unwrap(), &expected);
        prop_assert!(object.len() < write(&all).0.len());
        prop_assert!(all.iter().all(|series| Order::default() < series.points.orders[0].order));
    }

    #[test]
    fn any_damage_is_found(all in some_series(), at: prop::sample::Index, flip in 1_u8..) {
        let (mut object, _) = write(&all);
        let at = at.index(object.len());
        prop_assert!(read(&object[..at], TimeSpan::ALL).is_err(), "cut at {}", at);
        object[at] ^= flip;
        prop_assert!(read(&object, TimeSpan::ALL).is_err(), "byte {}", at);
    }

    #[test]
    fn a_span_gives_exactly_the_points_inside_with_their_orders(
        seed: u32,
        points in 1_u32..20_000,
        from in 0_i64..86_400_000,
        length in 0_i64..86_400_000,
    ) {
        let whole = series(1, 1, points, seed % 1000);
        let (object, _) = write(std::slice::from_ref(&whole));
        let from = TimestampMs(WINDOW.start().0 + from);
        let span = TimeSpan { from, to: TimestampMs(from.0 + length) };
        let found = read(&object, span).unwrap().remove(0).points;
        let orders = whole.points.orders.iter();
        let orders = orders.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
        let values = whole.points.values.iter();
        let mut expected = SeriesBuffer::default();
        for ((ts, value), order) in whole.points.timestamps_ms.iter().zip(values).zip(orders) {
            if span.contains(TimestampMs(*ts)) {
                expected.timestamps_ms.push(*ts);
                expected.values.push(*value);
                expected.push_order(OrderRun { order, points: 1 });
            }
        }
        prop_assert_eq!(found.timestamps_ms, expected.timestamps_ms);
        prop_assert_eq!(found.orders, expected.orders);
        prop_assert_eq!(found.values.len(), expected.values.len());
    }
}

#[test]
fn series_that_were_measured_together_share_their_timestamps() {
    let seeds = [2, 6, 4, 2, 10];
    let all: Vec<Series> = (0..5)
        .zip(seeds)
        .map(|(metric, seed)| series(7, metric, 500, seed))
        .collect();
    let (object, finished) = write(&all);
    assert_same(&read(&object, TimeSpan::ALL).unwrap(), &all);
    let shared = finished.encodings.0["timestamps shared"];
    let (blocks, bytes) = (3, 3 * 2);
    assert_eq!(
        (shared.blocks, shared.bytes),
        (blocks, bytes),
        "the second, fourth and fifth"
    );
}

#[test]
fn every_flipped_bit_of_a_small_segment_is_found() {
    let all: Vec<Series> = (0..3)
        .map(|n| series(n, 7, 40, 2 * u32::try_from(n).unwrap()))
        .collect();
    let (object, _) = write(&all);
    for bit in 0..object.len() * 8 {
        let mut damaged = object.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(
            read(&damaged, TimeSpan::ALL).is_err(),
            "bit {bit} of {}",
            object.len()
        );
    }
}

#[test]
fn damage_is_located_in_the_block_where_it_is() {
    let all = [series(1, 1, 5000, 3), series(1, 2, 5000, 4)];
    let (mut object, _) = write(&all);
    let place = segment_footer::HEAD_BYTES + 100;
    object[place] ^= 1;
    let error = read(&object, TimeSpan::ALL).unwrap_err().to_string();
    assert!(error.contains("at=`16`"), "{error}");
    assert!(error.contains("crc32c of the block"), "{error}");
}

#[test]
fn a_long_series_goes_on_in_the_next_run_and_an_org_begins_one() {
    let points = u32::try_from(40 * BLOCK_POINTS).unwrap();
    let all = [
        series(1, 1, points, 1),
        series(1, 2, 10, 2),
        series(2, 1, 10, 4),
    ];
    let (object, _) = write(&all);
    assert_same(&read(&object, TimeSpan::ALL).unwrap(), &all);
    let footer = footer(&object).unwrap();
    let runs_of = |index: usize| footer.runs_within(all[index].key, all[index].key).len();
    assert_eq!((runs_of(0), runs_of(1), runs_of(2)), (2, 1, 1));
    assert_eq!(footer.runs.len(), 3);
    let unknown = SeriesKey {
        org: OrgId(3),
        metric: MetricId(0),
    };
    assert!(footer.runs_within(unknown, unknown).is_empty());
}

#[test]
fn how_a_caller_cuts_orders_does_not_show_in_the_bytes() {
    let whole = series(1, 1, 3000, 6);
    let mut cut = whole.clone();
    cut.points.orders = whole
        .points
        .orders
        .iter()
        .flat_map(|run| std::iter::repeat_n(OrderRun { points: 1, ..*run }, run.points as usize))
        .collect();
    assert_eq!(write(&[whole]).0, write(&[cut]).0);
}

#[test]
fn an_unknown_section_is_refused_by_name_only_when_it_is_required() {
    let (object, finished) = write(&[series(1, 1, 10, 1)]);
    let mut footer = footer(&object).unwrap();
    let tail = object.len() - finished.summary.tail_bytes as usize;
    let mut extended = object[..tail].to_vec();
    extended.extend_from_slice(b"later");
    for required in [false, true] {
        footer.sections.truncate(2);
        footer.sections.push(segment_footer::Section {
            name: "sketches".into(),
            bytes: tail as u64..tail as u64 + 5,
            xxh3: 0,
            required,
        });
        let object = [extended.clone(), footer.encode()].concat();
        let result = read(&object, TimeSpan::ALL);
        match result {
            Ok(_) => assert!(!required),
            Err(error) => {
                assert!(
                    required && error.to_string().contains("`sketches`"),
                    "{error}"
                );
            }
        }
    }
}
