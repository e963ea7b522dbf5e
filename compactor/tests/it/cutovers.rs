//! Compactors go by cutovers: a point is written if its own time is the new pipeline's, or if it amends what the old one had.

mod amendments;
mod stale;
mod unfiltered;

use std::collections::BTreeMap;
use std::ops::Range;

use skein_compactor::rebuild::{Found, Mode};
use skein_config::cutover::timelines::Timelines;
use skein_shared::format::account::{OrgAccounts, OrgCounts};
use skein_shared::ids::OrgId;
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::window::{TimeSpan, Window};

use crate::accounts::balanced;
use crate::fleets::new_writes_within;
use crate::incremental::records;
use crate::read_back::{Points, assert_same, expected, live_points, manifests};
use crate::rebuilds::rebuilt;
use crate::world::{DAY, NOON, Record, World, flush_of, record};

/// The new pipeline writes from here on.
const EDGE: i64 = NOON + DAY / 2;
const FOREVER: i64 = i64::MAX;

/// What of `points` is of one org and within a span, or of any other org.
fn kept(points: &Points, org: u64, span: Range<i64>) -> Points {
    let points = points.iter();
    let kept = points.filter(|((series, ms), _)| series.org != OrgId(org) || span.contains(ms));
    kept.map(|(place, point)| (*place, point.clone())).collect()
}

async fn compact_closed(world: &World) {
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
}

fn counts_of(accounts: &OrgAccounts, org: u64) -> (OrgCounts, Option<i64>) {
    let mark = accounts.highest_not_owned.get(&OrgId(org));
    let counts = accounts.orgs.get(&OrgId(org));
    (counts.copied().unwrap_or_default(), mark.map(|mark| mark.0))
}

/// Three points around the edge of two orgs, of which one has it.
fn around(place: (u32, i64), value: f64) -> [Record; 2] {
    let (partition, offset) = place;
    let points = [-1, 0, 1].map(|ms| (EDGE + ms, value));
    [7, 10].map(|org| {
        let offset = 2 * offset + i64::from(org == 10);
        let sent_ms = NOON + DAY + 100 * i64::from(partition) + offset;
        record((partition, offset, sent_ms), (org, 1), &points)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_is_written_by_its_own_time_however_it_comes() {
    let world = World::new().await;
    world.go_by(new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], None)]).await);
    let mut came = Vec::new();
    let mut take_in = async |records: &[Record]| {
        came.extend_from_slice(records);
        world.flush(&flush_of(records.to_vec())).await;
        world.compact().await;
        let owned = kept(&expected(&came), 7, EDGE..FOREVER);
        assert_same(&live_points(&world).await, &owned);
        let (counts, mark) = counts_of(&balanced(&world).await, 7);
        assert_eq!(counts.not_owned, came.len() as u64 / 2);
        assert_eq!(mark, Some(EDGE - 1));
    };
    // On time, written again, and once more in another partition after the window was closed.
    take_in(&around((0, 0), 1.0)).await;
    take_in(&around((0, 1), 2.0)).await;
    take_in(&around((0, 2), 2.0)).await;
    compact_closed(&world).await;
    take_in(&around((1, 0), 3.0)).await;
    take_in(&around((1, 1), 3.0)).await;
    let (counts, mark) = counts_of(&balanced(&world).await, 10);
    assert_eq!((counts.not_owned, mark), (0, None));
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    assert!(!rows.is_empty());
    let owned = kept(&expected(&came), 7, EDGE..FOREVER);
    assert_same(&live_points(&world).await, &owned);
    let (counts, _) = counts_of(&balanced(&world).await, 7);
    assert_eq!(counts.not_owned, came.len() as u64 / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_under_one_version_gives_the_same_bytes_and_under_another_what_that_says() {
    let all = records(3, 150);
    let expected = expected(&all);
    let world = World::new().await;
    world.go_by(new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], None)]).await);
    for part in all.chunks(40) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact().await;
    }
    compact_closed(&world).await;
    assert_same(
        &live_points(&world).await,
        &kept(&expected, 7, EDGE..FOREVER),
    );
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    assert!(rows.iter().all(|row| row.found == Found::Same), "{rows:?}");
    let (before, mark) = counts_of(&balanced(&world).await, 7);
    assert!(before.not_owned > 0 && mark < Some(EDGE));

    // What was left out comes in where the timeline gives it now, and only there.
    let earlier = EDGE - DAY / 2;
    world.go_by(new_writes_within(&world, 2, &[(7, [earlier, FOREVER], None)]).await);
    rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    assert_same(
        &live_points(&world).await,
        &kept(&expected, 7, earlier..FOREVER),
    );
    let (after, mark) = counts_of(&balanced(&world).await, 7);
    assert!(0 < after.not_owned && after.not_owned < before.not_owned);
    assert!(mark < Some(earlier), "{mark:?}");
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    assert!(rows.iter().all(|row| row.found == Found::Same), "{rows:?}");
    world.go_by(Timelines::new_owns_everything());
    rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    assert_same(&live_points(&world).await, &expected);
    let (_, mark) = counts_of(&balanced(&world).await, 7);
    assert_eq!(mark, None, "nothing is missing any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_a_reversal_leaves_with_the_new_pipeline_are_merged_and_stay() {
    let world = World::new().await;
    let ends = EDGE + 10;
    let points: Vec<_> = (-5..20).map(|ms| (EDGE + ms, 1.0)).collect();
    let written = record((0, 0, NOON), (7, 1), &points);
    world.go_by(new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], None)]).await);
    world.flush(&flush_of(vec![written.clone()])).await;
    world.compact().await;
    let (counts, _) = counts_of(&balanced(&world).await, 7);
    assert_eq!(counts.not_owned, 5);
    world.go_by(new_writes_within(&world, 2, &[(7, [EDGE, ends], None)]).await);
    compact_closed(&world).await;
    let all = expected([&written]);
    assert_same(&live_points(&world).await, &kept(&all, 7, EDGE..ends));
    let (counts, mark) = counts_of(&balanced(&world).await, 7);
    assert_eq!((counts.not_owned, mark), (15, Some(EDGE + 19)));
}

/// The stored series of one org, by window: blocks and page of every run.
async fn stored_of(world: &World, org: u64) -> BTreeMap<Window, Vec<Vec<u8>>> {
    let mut stored: BTreeMap<Window, Vec<Vec<u8>>> = BTreeMap::new();
    for manifest in manifests(&world.bucket).await.into_values() {
        for segment in manifest.raw_segments() {
            let file = SegmentFile::open(&world.bucket, segment).await.unwrap();
            for run in file
                .footer()
                .runs
                .iter()
                .filter(|run| run.org == OrgId(org))
            {
                let bytes = u64::from(run.block_bytes + run.order_bytes);
                let place = run.offset..run.offset + bytes;
                let bytes = world.bucket.get_range(&segment.key, place).await.unwrap();
                stored
                    .entry(segment.window)
                    .or_default()
                    .push(bytes.to_vec());
            }
        }
    }
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cutover_of_one_org_changes_no_byte_of_another_in_the_same_segments() {
    let mut all = records(8, 120);
    // Org 10 shares a shard with 7.
    let points: Vec<_> = (0..300).map(|i| (NOON + i * 60_000, i as f64)).collect();
    all.push(record((0, 999, NOON + DAY), (10, 3), &points));
    let stored = async |edge, org| {
        let world = World::new().await;
        let timelines = new_writes_within(&world, 1, &[(7, [edge, FOREVER], None)]).await;
        world.go_by(timelines);
        world.flush(&flush_of(all.clone())).await;
        compact_closed(&world).await;
        stored_of(&world, org).await
    };
    for org in [8, 10, 1000] {
        let of_org = stored(i64::MIN, org).await;
        assert!(!of_org.is_empty());
        for edge in [EDGE, FOREVER] {
            assert_eq!(stored(edge, org).await, of_org, "SK-14: org {org}");
        }
    }
    assert_ne!(stored(i64::MIN, 7).await, stored(EDGE, 7).await);
    assert!(stored(FOREVER, 7).await.is_empty());
}
