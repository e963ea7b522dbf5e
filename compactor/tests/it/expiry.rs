//! What has expired is not served, does not come back, and is accounted for; all else is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skein_compactor::rebuild::{Found, Mode as RebuildMode};
use skein_compactor::retention::{self, Mode, ShardExpiry};
use skein_compactor::run::RunOptions;
use skein_config::load::{Flag, Layers, load};
use skein_config::retention::{Keep, RetentionSettings};
use skein_shared::format::delete_entry::DeleteSelector;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::payload::Limits;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};
use tokio_util::sync::CancellationToken;

use crate::incremental::{Dice, summaries};
use crate::read_back::{Points, assert_same, expected, live_points, manifests};
use crate::rebuilds::rebuilt;
use crate::rollups::{rolled, stored};
use crate::world::{DAY, NOON, Record, World, flush_of, record, settings};

const DELAY: i64 = 300_000;
/// 7 and 10 share a shard.
const ORGS: [u64; 4] = [7, 10, 8, 1000];

/// Settings from `KEY=VALUE` under `[retention]`.
pub(crate) fn keeping(assignments: &[&str]) -> RetentionSettings {
    let flag = |text: &&str| Flag::assignment("--set", &format!("retention.{text}"));
    let layers = Layers {
        flags: assignments.iter().filter_map(flag).collect(),
        ..Layers::default()
    };
    load(&layers).unwrap().retention
}

async fn try_expire(
    world: &World,
    keep: &RetentionSettings,
    mode: Mode,
) -> skein_compactor::Result<Vec<ShardExpiry>> {
    let options = RunOptions {
        limits: Limits::default(),
        timelines: world.timelines().filtered(),
    };
    let controls = (CancellationToken::new(), Arc::new(|_| ()) as _);
    retention::apply((&settings(), keep), &world.bucket, options, mode, controls).await
}

pub(crate) async fn expire(world: &World, keep: &RetentionSettings) -> Vec<ShardExpiry> {
    try_expire(world, keep, Mode::Act).await.unwrap()
}

/// Everything is durable and read up to `as_of`.
pub(crate) async fn compact_to(world: &World, as_of: i64) {
    world.tell_at_end(as_of + DELAY).await;
    world.compact().await;
}

pub(crate) fn points_of(org: u64, offset: i64, window: i64, count: i64) -> Record {
    let start = NOON + window * DAY;
    let step = DAY / (count + 1);
    let points: Vec<_> = (0..count)
        .map(|i| (start + i * step + offset, (offset * 100 + i) as f64))
        .collect();
    record((0, offset, NOON + offset), (org, 1), &points)
}

fn only(points: &Points, kept: impl Fn(OrgId, Window) -> bool) -> Points {
    let is_kept = |(series, ms): &(skein_shared::ids::SeriesKey, i64)| {
        kept(series.org, Window::of(TimestampMs(*ms)))
    };
    let left = points.iter().filter(|(place, _)| is_kept(place));
    left.map(|(place, point)| (*place, point.clone())).collect()
}

/// The live points without those that manifests say are expired: what readers see.
async fn visible(world: &World) -> Points {
    let manifests = manifests(&world.bucket).await;
    let live = live_points(world).await;
    only(&live, |org, window| {
        let manifest = &manifests[&world.map.owner_of(org, window)];
        !manifest.expiry.is_expired(Resolution::Raw, org, window)
    })
}

fn counted(manifests: &BTreeMap<ShardId, ShardManifest>) -> u64 {
    manifests.values().map(|m| m.counts.expired).sum()
}

fn window(number: i64) -> Window {
    Window::of(TimestampMs(NOON + number * DAY))
}

/// What must be visible: an oracle that knows of no segment.
#[derive(Default)]
struct Oracle {
    records: Vec<Record>,
    expired: BTreeSet<(OrgId, Window)>,
}

impl Oracle {
    fn expire(&mut self, keep: &RetentionSettings, done: &[ShardExpiry], world: &World) {
        let places = ORGS.map(OrgId).into_iter();
        let places = places.flat_map(|org| (-9..9).map(move |n| (org, window(n))));
        for of_shard in done {
            let is_old = |(org, window): &(OrgId, Window)| match keep.keep_of(*org, Resolution::Raw)
            {
                Keep::For(time) => window.span().to.0 + time.0.cast_signed() <= of_shard.as_of.0,
                Keep::Forever => false,
            };
            let is_its = |(org, window): &(OrgId, Window)| {
                world.map.owner_of(*org, *window) == of_shard.shard
            };
            self.expired
                .extend(places.clone().filter(is_old).filter(is_its));
        }
    }

    fn visible(&self) -> Points {
        only(&expected(&self.records), |org, window| {
            !self.expired.contains(&(org, window))
        })
    }
}

/// A random record over a week; later ones may be late for any window of it.
fn random_record(dice: &mut Dice, offset: i64) -> Record {
    let org = u64::from(dice.pick(&[7_u32, 10, 8, 1000]));
    let start = NOON - 4 * DAY + i64::from(dice.roll(50)) * DAY / 10;
    let points: Vec<_> = (0..=i64::from(dice.roll(9)))
        .map(|i| (start + i * DAY / 30, f64::from(dice.roll(99))))
        .collect();
    let metric = u64::from(dice.roll(2));
    record((0, offset, NOON + DAY + offset), (org, metric), &points)
}

/// One round of a history: new records, and maybe a run, an expiry, a rebuild.
async fn round(world: &World, dice: &mut Dice, oracle: &mut Oracle, as_of: i64) {
    let from = i64::try_from(oracle.records.len()).unwrap();
    let fresh: Vec<Record> = (from..from + 16)
        .map(|number| random_record(dice, number))
        .collect();
    world.flush(&flush_of(fresh.clone())).await;
    oracle.records.extend(fresh);
    if dice.roll(3) > 0 {
        compact_to(world, as_of).await;
    }
    if dice.roll(2) > 0 {
        let keep = keeping(dice.pick(&[
            &["raw=1 d"][..],
            &["raw=2 d", "5m=3 d", "orgs.7.raw=1 d"],
            &["orgs.10.raw=1 d", "orgs.1000.raw=2 d"],
            &["raw=3 d", "orgs.10.raw=forever", "orgs.10.5m=forever"],
        ]));
        let done = expire(world, &keep).await;
        assert!(done.iter().all(|of_shard| of_shard.as_of.0 <= as_of));
        oracle.expire(&keep, &done, world);
    }
    if dice.roll(5) == 0 {
        rebuilt(world, TimeSpan::ALL, RebuildMode::ReplaceOtherPoints).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_history_readers_see_what_has_not_expired_and_nothing_comes_back() {
    let (mut went, mut same) = (0, 0);
    for seed in 1..9 {
        let (world, mut dice, mut oracle) = (World::new().await, Dice(seed), Oracle::default());
        let mut as_of = NOON - 2 * DAY;
        for _ in 0..10 {
            as_of += i64::from(dice.roll(3)) * DAY / 2;
            round(&world, &mut dice, &mut oracle, as_of).await;
        }
        compact_to(&world, as_of).await;
        assert_same(&visible(&world).await, &oracle.visible());
        let rows = rebuilt(&world, TimeSpan::ALL, RebuildMode::ReplaceOtherPoints).await;
        let merged = rows.iter().filter(|row| row.segments == 1);
        same += merged.filter(|row| row.found == Found::Same).count();
        assert_same(&visible(&world).await, &oracle.visible());
        let again = rebuilt(&world, TimeSpan::ALL, RebuildMode::Compare).await;
        let is_same = again.iter().all(|row| row.found == Found::Same);
        assert!(is_same, "seed {seed}: {again:?}");
        went += crate::accounts::balanced(&world).await.sum().expired;
    }
    assert!(went > 500 && same > 10, "{went} {same}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rollups_outlive_their_points_and_late_points_are_dropped_and_counted() {
    let world = World::new().await;
    let mut records: Vec<Record> = (0..3).map(|n| points_of(1000, n, n - 3, 200)).collect();
    world.flush(&flush_of(records.clone())).await;
    compact_to(&world, NOON).await;
    // Too few for the base to be rewritten for them: they would be missing in the rollup.
    let late = points_of(1000, 3, -3, 9);
    world.flush(&flush_of(vec![late.clone()])).await;
    records.push(late);
    compact_to(&world, NOON).await;
    let buckets = rolled(&expected(&records), Resolution::OneHour);

    let keep = keeping(&["raw=1 d", "5m=1 d"]);
    let planned = try_expire(&world, &keep, Mode::DryRun).await.unwrap();
    let before = manifests(&world.bucket).await;
    assert_eq!(counted(&before), 0, "a dry run changes nothing");
    let done = expire(&world, &keep).await;
    let [(planned, done)] = &*planned.iter().zip(&done).collect::<Vec<_>>() else {
        panic!("{planned:?} {done:?}");
    };
    assert_eq!(
        (planned.shard, planned.as_of, planned.merged),
        (done.shard, done.as_of, 1)
    );
    let raw = (OrgId(1000), Resolution::Raw);
    assert_eq!(
        (done.expiring[&raw].windows, done.expiring[&raw].points),
        (2, 409)
    );
    assert_eq!(done.dropped.points, 409);

    let manifest = &manifests(&world.bucket).await[&ShardId::Dedicated(OrgId(1000))];
    assert_eq!(manifest.counts.expired, 409);
    assert_eq!(manifest.raw_segments().count(), 1);
    assert_eq!(
        manifest.lone_rollups().count(),
        2,
        "one of each window, of an hour"
    );
    assert_eq!(stored(&world, Resolution::OneHour).await, buckets);
    assert!(expire(&world, &keep).await.is_empty(), "it is done");
    // Late points of an expired window halt nothing, and neither they nor the others come back.
    world
        .flush(&flush_of(vec![points_of(1000, 4, -3, 50)]))
        .await;
    compact_to(&world, NOON).await;
    let rows = rebuilt(&world, TimeSpan::ALL, RebuildMode::Replace).await;
    assert!(
        rows.iter()
            .all(|row| row.found == Found::Same && row.window == window(-1)),
        "{rows:?}"
    );
    let manifest = &manifests(&world.bucket).await[&ShardId::Dedicated(OrgId(1000))];
    assert_eq!(manifest.counts.expired, 459);
    assert_eq!(stored(&world, Resolution::OneHour).await, buckets);

    let gone = keeping(&["raw=1 d", "5m=1 d", "1h=1 d", "1d=1 d"]);
    expire(&world, &gone).await;
    let manifest = &manifests(&world.bucket).await[&ShardId::Dedicated(OrgId(1000))];
    assert_eq!(
        (manifest.lone_rollups().count(), manifest.rollups().count()),
        (0, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_that_keeps_its_points_loses_none_by_another_that_does_not() {
    let world = World::new().await;
    let mut records: Vec<Record> = [7, 10, 7, 10]
        .into_iter()
        .zip(0..)
        .map(|(org, n)| points_of(org, n, -3 + n / 2, 40))
        .collect();
    world.flush(&flush_of(records.clone())).await;
    compact_to(&world, NOON).await;
    let before = summaries(&world).await;
    let keep = keeping(&["orgs.7.raw=1 d"]);
    let done = expire(&world, &keep).await;
    assert_eq!(
        done[0].expiring.keys().collect::<Vec<_>>(),
        [&(OrgId(7), Resolution::Raw)]
    );
    assert_eq!(done[0].dropped.segments, 0);
    assert_eq!(
        summaries(&world).await,
        before,
        "segments stay while one org in them does"
    );
    let kept = |org: OrgId, at: Window| org != OrgId(7) || at > window(-2);
    assert_same(&visible(&world).await, &only(&expected(&records), kept));

    // Of the other org late points are taken in as ever.
    let late = points_of(10, 4, -3, 30);
    world.flush(&flush_of(vec![late.clone()])).await;
    records.push(late);
    compact_to(&world, NOON).await;
    assert_same(&visible(&world).await, &only(&expected(&records), kept));
    assert_eq!(counted(&manifests(&world.bucket).await), 0);

    // Once both are expired the windows go; settings that keep more bring nothing back.
    expire(&world, &keeping(&["raw=1 d"])).await;
    assert!(expire(&world, &keeping(&["raw=forever"])).await.is_empty());
    let expired = counted(&manifests(&world.bucket).await);
    assert_eq!(expired, 4 * 40 + 30);
    assert!(visible(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn late_points_of_a_window_that_never_had_any_are_masked_and_go_with_the_next_expiry() {
    let world = World::new().await;
    world
        .flush(&flush_of(vec![
            points_of(1000, 0, -3, 20),
            points_of(1000, 1, 0, 20),
        ]))
        .await;
    compact_to(&world, NOON).await;
    let keep = keeping(&["raw=1 d"]);
    expire(&world, &keep).await;
    world
        .flush(&flush_of(vec![points_of(1000, 2, -7, 30)]))
        .await;
    compact_to(&world, NOON).await;
    assert_eq!(visible(&world).await.len(), 20);
    assert_eq!(counted(&manifests(&world.bucket).await), 20);
    let done = expire(&world, &keep).await;
    assert_eq!((done.len(), done[0].dropped.points), (1, 30));
    assert_eq!(counted(&manifests(&world.bucket).await), 50);
    assert!(expire(&world, &keep).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_expires_of_which_the_shard_may_have_more_to_read() {
    let world = World::new().await;
    world
        .flush(&flush_of(vec![points_of(1000, 0, -3, 9)]))
        .await;
    world.tell_at_end(NOON + 9 * DAY).await;
    let keep = keeping(&["raw=1 d"]);
    assert!(
        expire(&world, &keep).await.is_empty(),
        "it has read nothing"
    );
    world.compact().await;
    world.flush(&flush_of(vec![points_of(1000, 1, 3, 9)])).await;
    world.tell_at_end(NOON + 20 * DAY).await;
    let done = expire(&world, &keep).await;
    assert_eq!(
        done[0].as_of.0,
        NOON + 9 * DAY - DELAY,
        "the time of its last complete step"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_are_carried_out_before_their_points_are_left_in_rollups_alone() {
    let world = World::new().await;
    let records: Vec<Record> = (0..2)
        .map(|n| points_of([7, 10][usize::try_from(n).unwrap()], n, -3, 40))
        .collect();
    world.flush(&flush_of(records.clone())).await;
    compact_to(&world, NOON).await;
    let selector = DeleteSelector {
        org: OrgId(7),
        metric: None,
        span: TimeSpan::ALL,
    };
    world.delete(selector).await;
    expire(&world, &keeping(&["raw=1 d"])).await;
    let left = rolled(&expected(&records[1..]), Resolution::OneHour);
    assert_eq!(stored(&world, Resolution::OneHour).await, left);
    let counts: Vec<_> = manifests(&world.bucket)
        .await
        .values()
        .map(|m| (m.counts.deleted, m.counts.expired))
        .collect();
    assert!(counts.contains(&(40, 40)), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_expire_and_one_that_compacts_at_once_lose_and_double_nothing() {
    for seed in 0..6 {
        let (world, mut dice) = (World::new().await, Dice(seed));
        let records: Vec<Record> = (0..80).map(|n| random_record(&mut dice, n)).collect();
        world.flush(&flush_of(records[..50].to_vec())).await;
        compact_to(&world, NOON + DAY).await;
        world.flush(&flush_of(records[50..].to_vec())).await;
        let keep = keeping(&["raw=1 d", "orgs.10.raw=2 d", "orgs.10.5m=2 d"]);
        let settings = settings();
        let (one, two, run) = tokio::join!(
            try_expire(&world, &keep, Mode::Act),
            try_expire(&world, &keep, Mode::Act),
            world.compact_with(&settings),
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        run.unwrap();
        let mut oracle = Oracle {
            records,
            ..Oracle::default()
        };
        oracle.expire(&keep, &one, &world);
        oracle.expire(&keep, &two, &world);
        compact_to(&world, NOON + DAY).await;
        assert_same(&visible(&world).await, &oracle.visible());
        let rows = rebuilt(&world, TimeSpan::ALL, RebuildMode::ReplaceOtherPoints).await;
        assert!(!rows.is_empty());
        assert_same(&visible(&world).await, &oracle.visible());
    }
}
