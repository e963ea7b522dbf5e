use proptest::prelude::*;

use super::tests::footer;
use super::*;
use crate::format::profile::Profile;
use crate::format::rollup_columns::RollupColumn;
use crate::format::segment_writer::{
    FinishedSegment, SegmentIdentity, SegmentWriter, SeriesMetadata,
};
use crate::ids::{MetricId, OrgId, ShardId};
use crate::rollup::{Bucket, Rollup};
use crate::window::Window;

const WINDOW: Window = Window::from_number(-3);

#[derive(Debug, Clone)]
struct Series {
    key: SeriesKey,
    rollup: Rollup,
    metadata: Option<SeriesMetadata>,
}

fn bits(rollup: &Rollup) -> Vec<(i64, [u64; 8])> {
    let bits = |bucket: Bucket| (bucket.start_ms, bucket.columns().map(f64::to_bits));
    rollup.buckets().map(bits).collect()
}

fn series(org: u64, metric: u64, points: &[(u32, f64)], resolution: Resolution) -> Series {
    let start = WINDOW.start().0;
    let (timestamps_ms, values): (Vec<i64>, Vec<f64>) = points
        .iter()
        .map(|(ms, value)| (start + i64::from(*ms), *value))
        .unzip();
    let (mut fine, mut rollup) = (Rollup::default(), Rollup::default());
    fine.roll(&timestamps_ms, &values);
    fine.coarsen(resolution, &mut rollup);
    let entries = [("skein.series".to_owned(), format!("m{metric}"))];
    let order = order_column::Order {
        record_timestamp: (!points.len().is_multiple_of(3)).then(|| WINDOW.start()),
        ..order_column::Order::default()
    };
    let metadata = SeriesMetadata {
        order,
        entries: entries.into(),
    };
    Series {
        key: SeriesKey {
            org: OrgId(org),
            metric: MetricId(metric),
        },
        rollup,
        metadata: points.len().is_multiple_of(2).then_some(metadata),
    }
}

fn write(all: &[Series]) -> (Vec<u8>, FinishedSegment) {
    let identity = SegmentIdentity {
        shard: ShardId::Dedicated(OrgId(1)),
        window: WINDOW,
        resolution: all[0].rollup.resolution(),
    };
    let mut writer = SegmentWriter::new(identity, ChainTable::default(), Profile::default());
    for series in all {
        writer.push_rollup(series.key, &series.rollup, series.metadata.as_ref());
    }
    let finished = writer.finish().unwrap();
    (finished.rest.to_vec(), finished)
}

/// Reads an object as its users do: everything in it.
fn read(object: &[u8], span: TimeSpan) -> Result<Vec<Series>> {
    let footer = footer(object)?;
    let context = RunContext::new(&footer, &footer.chains);
    let part = |range: std::ops::Range<u64>| {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        object[range].to_vec()
    };
    let mut all: Vec<Series> = Vec::new();
    for fence in &footer.runs {
        let mut rows = read_metadata(fence, &part(fence.metadata_span()), &context)?;
        let run = Run::open(*fence, part(fence.span()).into(), &context)?;
        let stored: Vec<_> = run.stored_blocks().collect::<Result<_>>()?;
        for block in stored {
            let sum: u32 = block.columns.iter().map(|column| column.bytes).sum();
            assert_eq!((sum, block.columns.len()), (block.values.bytes, 8));
        }
        for index in 0..run.series_count() {
            let key = run.series(index).unwrap();
            let row = rows.iter().position(|row| row.series as usize == index);
            let metadata = row.map(|row| rows.remove(row).metadata);
            if all.last().is_none_or(|last| last.key != key) {
                let rollup = Rollup::new(footer.identity.resolution);
                all.push(Series {
                    key,
                    rollup,
                    metadata,
                });
            }
            run.read_rollup(index, span, &mut all.last_mut().unwrap().rollup)?;
            let points = run.read(index, span, &mut SeriesBuffer::default());
            assert!(points.is_err(), "buckets are no points");
        }
    }
    Ok(all)
}

#[track_caller]
fn assert_same(found: &[Series], expected: &[Series]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.key, expected.key);
        assert_eq!(bits(&found.rollup), bits(&expected.rollup));
        assert_eq!(found.metadata, expected.metadata);
    }
}

fn resolutions() -> impl Strategy<Value = Resolution> {
    prop::sample::select(Resolution::ALL[1..].to_vec())
}

prop_compose! {
    fn some_series()(
        shapes in proptest::collection::btree_map(
            (0_u64..3, any::<u64>()),
            proptest::collection::btree_map(0_u32..86_400_000, any::<u64>().prop_map(f64::from_bits), 1..80),
            1..12,
        ),
        resolution in resolutions(),
    ) -> Vec<Series> {
        let make = |((org, metric), points): ((u64, u64), std::collections::BTreeMap<u32, f64>)| {
            series(org, metric, &points.into_iter().collect::<Vec<_>>(), resolution)
        };
        shapes.into_iter().map(make).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_rollup_reads_back_bit_by_bit(all in some_series()) {
        let (object, finished) = write(&all);
        assert_same(&read(&object, TimeSpan::ALL).unwrap(), &all);
        let footer = footer(&object).unwrap();
        let summary = finished.summary;
        prop_assert_eq!(summary.crc32c, crc32c(&object));
        prop_assert_eq!(summary.digest, footer.digest);
        prop_assert_eq!((summary.points, summary.raw_points), (footer.points, footer.raw_points));
        let raw: u64 = all.iter().map(|series| series.rollup.raw_points()).sum();
        prop_assert_eq!(summary.raw_points, raw);
    }

    #[test]
    fn any_damage_of_a_rollup_is_found(all in some_series(), at: prop::sample::Index, flip in 1_u8..) {
        let (mut object, _) = write(&all);
        let at = at.index(object.len());
        prop_assert!(read(&object[..at], TimeSpan::ALL).is_err(), "cut at {}", at);
        object[at] ^= flip;
        prop_assert!(read(&object, TimeSpan::ALL).is_err(), "byte {}", at);
    }

    #[test]
    fn a_span_gives_exactly_the_buckets_that_begin_inside(
        points in proptest::collection::btree_map(0_u32..86_400_000, 0.0..9.0, 1..300),
        from in 0_i64..86_400_000,
        length in 0_i64..86_400_000,
        resolution in resolutions(),
    ) {
        let whole = series(1, 1, &points.into_iter().collect::<Vec<_>>(), resolution);
        let (object, _) = write(std::slice::from_ref(&whole));
        let from = TimestampMs(WINDOW.start().0 + from);
        let span = TimeSpan { from, to: TimestampMs(from.0 + length) };
        let found = read(&object, span).unwrap().remove(0).rollup;
        let mut expected = bits(&whole.rollup);
        expected.retain(|(start, _)| span.contains(TimestampMs(*start)));
        prop_assert_eq!(bits(&found), expected);
    }
}

#[test]
fn every_flipped_bit_of_a_small_rollup_is_found() {
    let points = [
        (5, 1.5),
        (400_000, f64::NAN),
        (900_000, -0.0),
        (900_001, 7.25),
    ];
    let all: Vec<Series> = (1..4)
        .map(|n| {
            series(
                n,
                7,
                &points[..=usize::try_from(n).unwrap()],
                Resolution::FiveMinutes,
            )
        })
        .collect();
    let (object, _) = write(&all);
    for bit in 0..object.len() * 8 {
        let mut damaged = object.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let result = read(&damaged, TimeSpan::ALL);
        assert!(result.is_err(), "bit {bit} of {}", object.len());
    }
}

#[test]
fn runs_of_buckets_are_cut_by_their_count() {
    let day: Vec<(u32, f64)> = (0..288).map(|n| (n * 300_000, f64::from(n))).collect();
    let all: Vec<Series> = (0..200)
        .map(|metric| series(1, metric, &day, Resolution::FiveMinutes))
        .collect();
    let (object, _) = write(&all);
    assert_same(&read(&object, TimeSpan::ALL).unwrap(), &all);
    let footer = footer(&object).unwrap();
    let runs: Vec<u64> = footer.runs.iter().map(|run| run.points).collect();
    assert_eq!(runs, [113 * 288, 87 * 288]);
}

#[test]
fn a_column_that_is_as_expected_takes_one_byte() {
    let day: Vec<(u32, f64)> = (0..8640).map(|n| (n * 10_000, 5.0)).collect();
    let (_, finished) = write(&[series(1, 1, &day, Resolution::FiveMinutes)]);
    for column in RollupColumn::ALL {
        let bytes = finished.encodings.0[column.name()].bytes;
        let is_stored = matches!(column, RollupColumn::Count | RollupColumn::First);
        assert_eq!(bytes, if is_stored { 4 } else { 1 }, "{}", column.name());
    }
}
