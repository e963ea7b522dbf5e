//! Deleted points are gone from segments, and stay gone whatever is merged or made anew; all others are there.

use std::collections::BTreeMap;

use skein_compactor::rebuild::{Found, Mode};
use skein_config::compactor::CompactorSettings;
use skein_shared::bucket::Created;
use skein_shared::delete_log;
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector, EntryHash};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{MetricId, OrgId, ShardId, WriteId};
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::incremental::{Dice, records, summaries};
use crate::plans::{plan, split_settings, task};
use crate::read_back::{Points, assert_same, expected, expected_without, live_points, manifests};
use crate::rebuilds::rebuilt;
use crate::world::{DAY, NOON, Record, World, flush_of, record, settings};

fn org(org: u64) -> DeleteSelector {
    DeleteSelector {
        org: OrgId(org),
        metric: None,
        span: TimeSpan::ALL,
    }
}

fn span(from: i64, to: i64) -> TimeSpan {
    TimeSpan {
        from: TimestampMs(from),
        to: TimestampMs(to),
    }
}

/// Of an org or a metric, of all time or whole windows.
fn whole_windows(dice: &mut Dice) -> DeleteSelector {
    let metric = dice.pick(&[None, Some(0), Some(1)]).map(MetricId);
    let window = NOON + DAY * dice.pick(&[-1, 0, 1]);
    DeleteSelector {
        org: OrgId(dice.pick(&[7, 8, 1000])),
        metric,
        span: dice.pick(&[TimeSpan::ALL, span(window, window + DAY)]),
    }
}

/// The same, or a span that cuts windows.
fn any_span(dice: &mut Dice) -> DeleteSelector {
    let from = NOON - DAY + i64::from(dice.roll(30)) * DAY / 10;
    let cut = span(from, from + i64::from(1 + dice.roll(8)) * DAY / 7);
    let whole = whole_windows(dice);
    DeleteSelector {
        span: dice.pick(&[whole.span, cut, cut]),
        ..whole
    }
}

/// Flushes, runs, deletes and closings in any order, and one run at the end.
async fn history(
    seed: u64,
    records: &[Record],
    selector: fn(&mut Dice) -> DeleteSelector,
) -> (World, Vec<DeleteEntry>) {
    let (world, mut dice, mut deletes) = (World::new().await, Dice(seed), Vec::new());
    for part in records.chunks(20) {
        world.flush(&flush_of(part.to_vec())).await;
        if dice.roll(3) == 0 {
            world.tell_at_end(NOON + 3 * DAY).await;
        }
        if dice.roll(3) > 0 {
            let delete_after = dice.pick(&[Millis(0), Millis::seconds(3600)]);
            let patient = CompactorSettings {
                delete_after,
                ..settings()
            };
            world.compact_with(&patient).await.unwrap();
        }
        if dice.roll(3) == 0 {
            deletes.push(world.delete(selector(&mut dice)).await);
        }
    }
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    (world, deletes)
}

/// Plans, and runs every task of the plan, if there is any.
async fn run_planned(world: &World, settings: &CompactorSettings) {
    let Some((id, plan)) = plan(world, settings).await.plan else {
        return;
    };
    for index in 0..plan.tasks.len() {
        task(world, settings, id, index).await.unwrap();
    }
}

fn taken(manifests: &BTreeMap<ShardId, ShardManifest>) -> u64 {
    manifests.values().map(|m| m.counts.deleted).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_history_the_points_are_those_that_no_delete_takes() {
    for seed in 1..9 {
        let records = records(seed, 160);
        let (world, deletes) = history(seed, &records, any_span).await;
        let expected = expected_without(&records, &deletes);
        assert_same(&live_points(&world).await, &expected);
        let manifests = manifests(&world.bucket).await;
        for manifest in manifests.values() {
            let by_delete: u64 = manifest.deleted.values().sum();
            assert_eq!(by_delete, manifest.counts.deleted);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_made_anew_have_the_bytes_of_those_that_deletes_were_carried_out_on() {
    let (mut gone, mut compared) = (0, 0);
    for seed in 20..28 {
        let records = records(seed, 160);
        let (world, deletes) = history(seed, &records, whole_windows).await;
        let expected = expected_without(&records, &deletes);
        assert_same(&live_points(&world).await, &expected);
        gone += taken(&manifests(&world.bucket).await);
        // Late points lie over bases: merged, they are one segment a window in both.
        let rows = rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
        let mut merged = rows.iter().filter(|row| row.segments == 1);
        compared += merged.clone().count();
        assert!(
            merged.all(|row| row.found == Found::Same),
            "seed {seed}: {rows:?}"
        );
        let incremental = summaries(&world).await;

        let anew = World::new().await;
        for part in records.chunks(33) {
            anew.flush(&flush_of(part.to_vec())).await;
        }
        for delete in &deletes {
            put(&anew, delete).await;
        }
        anew.tell_at_end(NOON + 3 * DAY).await;
        anew.compact().await;
        assert_same(&live_points(&anew).await, &expected);
        assert_eq!(summaries(&anew).await, incremental, "seed {seed}");
    }
    assert!(gone > 100 && compared > 20, "{gone} {compared}");
}

/// Puts a delete of another bucket, with its positions, at its place.
async fn put(world: &World, delete: &DeleteEntry) {
    let id = WriteId::random();
    let log = delete_log::load(&world.bucket).await.unwrap();
    let before = ObjectKey::Delete(log.newest()).to_string();
    let previous = match world.bucket.find(&before).await.unwrap() {
        Some(bytes) => EntryHash::of(&bytes),
        None => EntryHash::default(),
    };
    let delete = DeleteEntry {
        previous,
        ..delete.clone()
    };
    let key = ObjectKey::Delete(delete.number).to_string();
    let created = world.bucket.create(&key, delete.encode(id), id).await;
    assert_eq!(created.unwrap(), Created::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_write_does_not_come_back_and_a_newer_one_stays() {
    let world = World::new().await;
    let point = |value| [(NOON + 5, value)];
    let winner = record((0, 1, NOON + 200), (7, 1), &point(2.0));
    let older = record((0, 0, NOON + 100), (7, 1), &point(1.0));
    world
        .flush(&flush_of(vec![older.clone(), winner.clone()]))
        .await;
    world.compact().await;
    let deletes = [world.delete(org(7)).await];
    world.compact().await;
    assert_eq!(live_points(&world).await, Points::new());
    // Its record is older than either by its timestamp, and stands behind the delete.
    let later = record((0, 2, NOON + 50), (7, 1), &point(3.0));
    world.flush(&flush_of(vec![later.clone()])).await;
    world.compact().await;
    let live = live_points(&world).await;
    assert_same(&live, &expected([&later]));
    assert_same(
        &live,
        &expected_without([&older, &winner, &later], &deletes),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_winner_hides_no_write_that_stays() {
    let world = World::new().await;
    let deleted = record((0, 0, NOON + 200), (7, 1), &[(NOON + 5, 2.0)]);
    world.flush(&flush_of(vec![deleted.clone()])).await;
    world.delete(org(7)).await;
    // Older by its own timestamp: without the delete it would lose.
    let later = record((0, 1, NOON + 50), (7, 1), &[(NOON + 5, 3.0)]);
    world.flush(&flush_of(vec![later.clone()])).await;
    let counts = world.compact().await.steps.counts;
    assert_eq!((counts.deleted, counts.duplicates), (1, 0));
    assert_same(&live_points(&world).await, &expected([&later]));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_below_a_delete_that_are_compacted_after_it_never_become_points() {
    let world = World::new().await;
    let records = records(3, 100);
    world.flush(&flush_of(records.clone())).await;
    let deletes = [world.delete(org(7)).await];
    let report = world.compact().await;
    assert!(report.steps.counts.deleted > 0);
    let expected = expected_without(&records, &deletes);
    assert_same(&live_points(&world).await, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_input_carries_deletes_out_once_and_keeps_receipts() {
    let world = World::new().await;
    let records = records(4, 150);
    world.flush(&flush_of(records.clone())).await;
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let before = manifests(&world.bucket).await;
    let deletes = [world.delete(org(8)).await, world.delete(org(1000)).await];
    let patient = CompactorSettings {
        delete_after: Millis::seconds(3600),
        ..settings()
    };
    world.compact_with(&patient).await.unwrap();
    assert_eq!(
        manifests(&world.bucket).await,
        before,
        "they wait for others"
    );
    assert_eq!(delete_log::receipt(&world.bucket, 1).await.unwrap(), None);

    world.compact().await;
    let expected = expected_without(&records, &deletes);
    assert_same(&live_points(&world).await, &expected);
    let done = manifests(&world.bucket).await;
    for (number, org) in [(1, 8), (2, 1000)] {
        let receipt = delete_log::receipt(&world.bucket, number).await.unwrap();
        let receipt = receipt.unwrap();
        let shards = world.map.shards_of(OrgId(org));
        assert!(receipt.shards.iter().map(|shard| shard.shard).eq(shards));
        for shard in receipt.shards {
            let manifest = &done[&shard.shard];
            assert_eq!(shard.generation, manifest.generation);
            assert_eq!(shard.points, manifest.deleted[&number]);
            assert!(shard.points > 0);
        }
    }
    let writes = world.bucket.requests().writes();
    world.compact().await;
    assert_eq!(
        world.bucket.requests().writes(),
        writes,
        "nothing is left to do"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_plan_carry_deletes_out_as_a_run_does() {
    let records = records(5, 200);
    for settings in [settings(), split_settings()] {
        let world = World::new().await;
        world.flush(&flush_of(records[..120].to_vec())).await;
        world.tell_at_end(NOON + 3 * DAY).await;
        world.compact().await;
        let deletes = [world.delete(org(7)).await];
        run_planned(&world, &settings).await;
        world.flush(&flush_of(records[120..].to_vec())).await;
        run_planned(&world, &settings).await;
        let expected = expected_without(&records, &deletes);
        assert_same(&live_points(&world).await, &expected);
        run_planned(&world, &settings).await;
        let receipt = delete_log::receipt(&world.bucket, 1).await.unwrap();
        assert!(receipt.is_some_and(|receipt| receipt.shards[0].points > 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_carries_out_deletes_that_wait() {
    let world = World::new().await;
    let records = records(6, 150);
    world.flush(&flush_of(records.clone())).await;
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let deletes = [world.delete(org(7)).await];
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    let differ = rows.iter().filter(|row| row.found == Found::OtherPoints);
    assert!(differ.clone().count() > 0 && differ.clone().all(|row| row.waits_for_deletes));
    rebuilt(&world, TimeSpan::ALL, Mode::Replace).await;
    let expected = expected_without(&records, &deletes);
    assert_same(&live_points(&world).await, &expected);
    assert!(taken(&manifests(&world.bucket).await) > 0);
    world.compact().await;
    let again = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    assert!(
        again.iter().all(|row| row.found == Found::Same),
        "{again:?}"
    );
}
