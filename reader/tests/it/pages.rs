//! Pages of any size, joined, are one scan.

use skein_reader::mirror::MirrorShare;
use skein_reader::page_token::{LastRow, PageScope, PageToken, Paged};
use skein_reader::paged_scan::{Page, PageForm, PageRequest, read_page};
use skein_reader::reading::{AnyPiece, SeriesRows};
use skein_reader::snapshot::Selection;
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::rollup::Bucket;
use skein_shared::series::SERIES_METADATA_KEY;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use crate::buckets::scan as scan_buckets;
use crate::reads::busy_world;
use crate::world::World;

/// The window that the busy world begins with.
const WINDOW: Window = Window::from_number(19_700);

/// Series, time, bits of the value; of a bucket those of its columns, joined.
type Row = (SeriesKey, i64, Vec<u64>);

fn bits_of(bucket: &Bucket) -> Vec<u64> {
    bucket.columns().map(f64::to_bits).to_vec()
}

fn rows_of(piece: &AnyPiece<'_>) -> Vec<Row> {
    let key = piece.key();
    match piece {
        AnyPiece::Points(piece) => {
            let points = piece.timestamps_ms.iter().zip(piece.values);
            let points = points.map(|(at, value)| (key, *at, vec![value.to_bits()]));
            points.collect()
        }
        AnyPiece::Buckets(piece) => {
            let buckets = piece.rollup.buckets();
            buckets.map(|it| (key, it.start_ms, bits_of(&it))).collect()
        }
    }
}

/// Reads page by page, each from a token's text; `sizes` are taken in turn.
async fn pages(
    world: &World,
    scope: PageScope,
    (form, sizes): (PageForm, &[usize]),
) -> (Vec<Page>, Vec<Row>) {
    let (mut pages, mut rows): (Vec<Page>, Vec<Row>) = (Vec::new(), Vec::new());
    let mut after: Option<LastRow> = None;
    for page_bytes in sizes.iter().copied().cycle() {
        let snapshot = world.snapshot(Selection::Org(scope.org)).await;
        let snapshot = snapshot.narrowed(scope.selection());
        let request = PageRequest {
            scope,
            after,
            page_bytes,
            form,
        };
        let mut seen = |piece: &AnyPiece<'_>| rows.extend(rows_of(piece));
        let page = read_page(&snapshot, request, &mut seen).await.unwrap();
        let last = page.last;
        pages.push(page);
        let Some(last) = last else {
            return (pages, rows);
        };
        let token = PageToken {
            fleet: 0,
            paged: Paged::Points,
            scope,
            last,
            issued: TimestampMs(0),
        };
        let read = PageToken::from_text(&token.to_text()).unwrap();
        assert_eq!(read.scope, scope);
        after = Some(read.last);
    }
    unreachable!("a cycle does not end");
}

fn scope(metric: Option<u64>, span: TimeSpan, resolution: Resolution) -> PageScope {
    PageScope {
        org: OrgId(3),
        metric: metric.map(MetricId),
        span,
        resolution,
    }
}

async fn expected(world: &World, scope: PageScope) -> Vec<Row> {
    if scope.resolution.is_raw() {
        let points = world.expected(scope.selection(), scope.span);
        let rows = points.into_iter();
        return rows.map(|(key, at, bits)| (key, at, vec![bits])).collect();
    }
    let snapshot = world.snapshot(scope.selection()).await;
    let (buckets, _) = scan_buckets(snapshot, scope.span, scope.resolution).await;
    let rows = buckets.into_iter();
    let rows = rows.map(|(key, at, count, nans, floats)| {
        let [sum, min, max, first, last, increase] = floats.map(f64::from_bits);
        let bucket = Bucket {
            start_ms: at,
            count,
            nans,
            sum,
            min,
            max,
            first,
            last,
            increase,
        };
        (key, at, bits_of(&bucket))
    });
    rows.collect()
}

async fn check(world: &World, scope: PageScope, sizes: &[usize]) -> usize {
    let expected = expected(world, scope).await;
    assert!(!expected.is_empty(), "{scope:?} is a test of nothing");
    let (found, rows) = pages(world, scope, (PageForm::JsonLines, sizes)).await;
    let first = rows.iter().zip(&expected).find(|(a, b)| a != b);
    assert_eq!(first, None, "{scope:?} {sizes:?}");
    assert_eq!(rows.len(), expected.len(), "{scope:?} {sizes:?}");
    assert_eq!(
        found.iter().map(|page| page.rows).sum::<usize>(),
        rows.len()
    );
    found.len()
}

#[tokio::test]
async fn pages_of_any_size_joined_are_one_scan() {
    let world = busy_world().await;
    let start = WINDOW.start().0;
    let part = TimeSpan {
        from: TimestampMs(start + 140_000),
        to: TimestampMs(start + 86_400_000 + 165_000),
    };
    let few = TimeSpan {
        from: TimestampMs(start + 195_000),
        to: TimestampMs(start + 205_000),
    };
    let mut rng = fastrand::Rng::with_seed(11);
    let random: Vec<usize> = (0..9).map(|_| rng.usize(1..60_000)).collect();
    for resolution in [Resolution::Raw, Resolution::FiveMinutes, Resolution::OneDay] {
        let all = scope(None, TimeSpan::ALL, resolution);
        check(&world, all, &[20_000]).await;
        check(&world, all, &random).await;
        assert_eq!(check(&world, all, &[usize::MAX]).await, 1);
    }
    check(&world, scope(None, part, Resolution::Raw), &random).await;
    check(
        &world,
        scope(Some(7), part, Resolution::Raw),
        &[1, 500, 3000],
    )
    .await;
    // Each page has a row at least, however small it is to be.
    let one_by_one = check(&world, scope(Some(7), few, Resolution::Raw), &[1]).await;
    assert_eq!(one_by_one, 10);
}

#[tokio::test]
async fn a_page_is_about_as_large_as_was_asked_for() {
    let world = busy_world().await;
    let all = scope(None, TimeSpan::ALL, Resolution::Raw);
    for form in [PageForm::JsonLines, PageForm::Arrow] {
        let (found, _) = pages(&world, all, (form, &[50_000])).await;
        let (_, whole) = found.split_last().unwrap();
        assert!(whole.len() > 2);
        for page in whole {
            let bytes = page.body.len();
            assert!((40_000..56_000).contains(&bytes), "{form:?}: {bytes}");
        }
    }
}

#[tokio::test]
async fn the_second_page_of_a_series_says_of_it_what_the_first_said() {
    let world = busy_world().await;
    let one = scope(Some(5), TimeSpan::ALL, Resolution::Raw);
    let (found, _) = pages(&world, one, (PageForm::JsonLines, &[2000])).await;
    assert!(found.len() > 3);
    for page in &found {
        let lines = page.body.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(line["metadata"][SERIES_METADATA_KEY], "m5", "{line}");
        }
    }
}

#[test]
fn rows_that_are_kept_are_those_of_their_spans() {
    let mut rows = SeriesRows::Points {
        timestamps_ms: vec![1, 2, 3, 4],
        values: vec![0.1, 0.2, 0.3, 0.4],
    };
    let span = |from, to| TimeSpan {
        from: TimestampMs(from),
        to: TimestampMs(to),
    };
    rows.keep_in(&[span(0, 2), span(3, 4)]);
    assert_eq!(rows.times_ms(), [1, 3]);
    let SeriesRows::Points { values, .. } = rows else {
        panic!("points stay points");
    };
    assert_eq!(
        values.into_iter().map(f64::to_bits).collect::<Vec<_>>(),
        [0.1_f64, 0.3].map(f64::to_bits)
    );
    assert!(MirrorShare::ALL.takes(crate::world::key(1, 2)));
}
