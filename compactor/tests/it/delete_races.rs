//! Deletes that come while a run or a rebuild is under way, and what is counted for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use skein_compactor::rebuild::{Found, Mode, RebuildOptions, rebuild};
use skein_compactor::run::{OnProgress, RunOptions};
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Created;
use skein_shared::delete_log;
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector, EntryHash, Statement};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::Deleted;
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::offset::Offset;
use skein_shared::payload::Limits;
use skein_shared::window::{TimeSpan, TimestampMs};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::accounts::balanced;
use crate::incremental::records;
use crate::read_back::{assert_same, expected_without, live_points, manifests};
use crate::rebuilds::rebuilt;
use crate::world::{DAY, NOON, Record, World, chain, flush_of, record, settings};

fn org(org: u64) -> DeleteSelector {
    DeleteSelector {
        org: OrgId(org),
        metric: None,
        span: TimeSpan::ALL,
    }
}

/// Does `act` once, when the first block has been read, and lets the reader wait for it.
pub(crate) fn meanwhile(
    act: impl FnOnce() -> LocalBoxFuture<'static, ()> + Send + 'static,
) -> OnProgress {
    let (act, runtime) = (Mutex::new(Some(act)), Handle::current());
    Arc::new(move |progress| {
        if progress.points == 0 {
            return;
        }
        let act = act.lock().unwrap().take();
        if let Some(act) = act {
            runtime.block_on(act());
        }
    })
}

/// Bases, and late points over some of them.
async fn with_late_points(seed: u64) -> World {
    let (world, records) = (World::new().await, records(seed, 200));
    for part in [&records[..190], &records[190..]] {
        world.flush(&flush_of(part.to_vec())).await;
        world.tell_at_end(NOON + 3 * DAY).await;
        world.compact().await;
    }
    world
}

/// Points that each delete has taken, over all shards.
async fn taken(world: &World) -> Deleted {
    let mut taken = Deleted::new();
    for manifest in manifests(&world.bucket).await.into_values() {
        let by_delete: u64 = manifest.deleted.values().sum();
        assert_eq!(by_delete, manifest.counts.deleted);
        for (delete, points) in manifest.deleted {
            *taken.entry(delete).or_default() += points;
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_plans_again_where_another_has_carried_out_a_delete_that_it_did_not_know() {
    let world = Arc::new(World::new().await);
    let records = records(3, 200);
    world.flush(&flush_of(records[..100].to_vec())).await;
    world.compact().await;
    world.flush(&flush_of(records[100..].to_vec())).await;
    let other = Arc::clone(&world);
    let act = move || {
        let done = async move {
            other.delete(org(7)).await;
            other.compact().await;
        };
        done.boxed_local()
    };
    let settings = settings();
    let run = world.compact_telling(&settings, meanwhile(act));
    let report = run.await.unwrap();
    assert!(report.superseded > 0);
    let deletes = delete_log::load(&world.bucket).await.unwrap().entries;
    let expected = expected_without(&records, &deletes);
    assert_same(&live_points(&world).await, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_plans_again_where_another_has_carried_out_a_delete_that_it_did_not_know() {
    let world = Arc::new(with_late_points(5).await);
    let other = Arc::clone(&world);
    // Of nothing that there is: every window is as it was.
    let nothing = DeleteSelector {
        span: TimeSpan {
            from: TimestampMs(NOON + 300 * DAY),
            to: TimestampMs(NOON + 301 * DAY),
        },
        ..org(7)
    };
    let act = move || {
        let done = async move {
            other.delete(nothing).await;
            other.compact().await;
        };
        done.boxed_local()
    };
    let options = RunOptions {
        limits: Limits::default(),
        timelines: Timelines::new_owns_everything(),
    };
    let what = RebuildOptions {
        shards: BTreeSet::new(),
        span: TimeSpan::ALL,
        mode: Mode::ReplaceOtherPoints,
    };
    let controls = (CancellationToken::new(), meanwhile(act));
    let rows = rebuild(&settings(), &world.bucket, options, &what, controls).await;
    let rows = rows.unwrap();
    let mut changed = rows.iter().filter(|row| row.found != Found::Same);
    assert!(changed.all(|row| row.is_replaced), "{rows:?}");
    let windows: BTreeSet<_> = rows.iter().map(|row| (row.shard, row.window)).collect();
    assert_eq!(windows.len(), rows.len(), "each is told once");
    let again = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    assert!(again.iter().all(|row| row.found == Found::Same));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_counts_for_each_delete_what_a_compaction_counts() {
    let (compacted, remade) = (with_late_points(5).await, with_late_points(5).await);
    for world in [&compacted, &remade] {
        world.delete(org(7)).await;
        let day = TimeSpan {
            from: TimestampMs(NOON),
            to: TimestampMs(NOON + DAY / 2),
        };
        for org in [org(7), org(8)] {
            world.delete(DeleteSelector { span: day, ..org }).await;
        }
    }
    compacted.compact().await;
    let by_compaction = taken(&compacted).await;
    assert!(by_compaction[&1] > 0 && by_compaction[&3] > 0);
    rebuilt(&remade, TimeSpan::ALL, Mode::Replace).await;
    assert_eq!(taken(&remade).await, by_compaction);
    remade.compact().await;
    assert_eq!(taken(&remade).await, by_compaction);
    for number in 1..=3 {
        let receipt = delete_log::receipt(&remade.bucket, number).await.unwrap();
        let shards = receipt.unwrap().shards;
        let points: u64 = shards.iter().map(|shard| shard.points).sum();
        let counted = by_compaction.get(&number).copied();
        assert_eq!(points, counted.unwrap_or(0), "delete {number}");
    }
}

/// A base of eight records, and a delete of the first five by an earlier build, which read the positions first: then more
/// became durable, and was sealed, before the delete was there.
async fn with_an_early_delete() -> (World, DeleteEntry, Vec<Record>) {
    let world = World::new().await;
    let of = |offset: i64| record((0, offset, NOON + offset), (7, 1), &[(NOON + offset, 1.0)]);
    let records: Vec<_> = (0..8).map(of).collect();
    world.flush(&flush_of(records.clone())).await;
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let delete = DeleteEntry {
        number: 1,
        selector: org(7),
        positions: Some(BTreeMap::from([(chain(0), Offset(5))])),
        stated: Statement::default(),
        at: TimestampMs(0),
        deadline: TimestampMs(0),
        previous: EntryHash::default(),
    };
    let (key, id) = (ObjectKey::Delete(1).to_string(), WriteId::random());
    let created = world.bucket.create(&key, delete.encode(id), id).await;
    assert_eq!(created.unwrap(), Created::Ours);
    (world, delete, records)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_carries_out_a_delete_that_the_base_cannot_tell_apart() {
    let (world, delete, records) = with_an_early_delete().await;
    rebuilt(&world, TimeSpan::ALL, Mode::Replace).await;
    let expected = expected_without(&records, &[delete]);
    assert_eq!(expected.len(), 3);
    assert_same(&live_points(&world).await, &expected);
    assert_eq!(taken(&world).await, Deleted::from([(1, 5)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_a_delete_took_too_many_of_are_counted_back_by_a_rebuild() {
    let (world, delete, records) = with_an_early_delete().await;
    world.compact().await;
    assert_eq!(taken(&world).await, Deleted::from([(1, 8)]));
    let of_org = async || balanced(&world).await.orgs[&OrgId(7)].deleted;
    assert_eq!(of_org().await, 8);

    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Replace).await;
    assert!(rows.iter().all(|row| !row.is_replaced), "only when told to");
    rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    let expected = expected_without(&records, &[delete]);
    assert_eq!(expected.len(), 3);
    assert_same(&live_points(&world).await, &expected);
    assert_eq!(taken(&world).await, Deleted::from([(1, 5)]));
    assert_eq!(of_org().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_made_beside_a_delete_holds_nothing_that_a_rebuild_would_tell_apart() {
    let world = World::new().await;
    let records = records(8, 200);
    world.flush(&flush_of(records[..80].to_vec())).await;
    world.compact().await;
    // In force, and its maker has not kept the positions when more becomes durable.
    let delete = DeleteEntry {
        number: 1,
        selector: org(7),
        positions: None,
        stated: Statement::default(),
        at: TimestampMs(0),
        deadline: TimestampMs(0),
        previous: EntryHash::default(),
    };
    let (key, id) = (ObjectKey::Delete(1).to_string(), WriteId::random());
    let created = world.bucket.create(&key, delete.encode(id), id).await;
    assert_eq!(created.unwrap(), Created::Ours);
    world.flush(&flush_of(records[80..150].to_vec())).await;
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    world.flush(&flush_of(records[150..].to_vec())).await;
    world.compact().await;
    let deletes = delete_log::load(&world.bucket).await.unwrap().entries;
    assert!(
        deletes[0].positions.is_some(),
        "the compactor has kept them"
    );
    let expected = expected_without(&records, &deletes);
    assert!(expected.keys().any(|(series, _)| series.org == OrgId(7)));
    assert_same(&live_points(&world).await, &expected);
    rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    assert_same(&live_points(&world).await, &expected);
}
