//! What a collection of garbage takes away, and what it must leave alone.

use std::collections::BTreeSet;

use bytes::Bytes;
use skein_compactor::Error;
use skein_compactor::garbage::{GarbageReport, Mode, collect, collect_at};
use skein_compactor::manifest_commit::commit_next;
use skein_compactor::org_accounts::OrgChange;
use skein_shared::format::account::OrgAccounts;
use skein_shared::format::object_key::{Attempt, ObjectKey};
use skein_shared::format::shard_manifest::{QuarantineRef, ShardManifest};
use skein_shared::ids::{Generation, PlanId, ShardId, WriteId};
use skein_shared::manifest_log::{self, Committed};
use skein_shared::units::Millis;
use skein_shared::window::{Resolution, TimestampMs, Window};

use crate::incremental::records;
use crate::plans::{planned, run_plan, split_settings, task};
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, Record, World, flush_of};

const PIN: Millis = Millis(3_600_000);

/// At a time when every read that is under way now has ended.
pub(crate) async fn collect_later(world: &World, mode: Mode) -> GarbageReport {
    let now = world.bucket.now().await.unwrap();
    let later = TimestampMs(now.0 + 2 * PIN.0.cast_signed());
    collect_at(&world.bucket, later, PIN, mode).await.unwrap()
}

async fn segments_there(world: &World) -> BTreeSet<String> {
    there(world, "/segment/").await
}

async fn there(world: &World, kind: &str) -> BTreeSet<String> {
    let listed = world.bucket.list("", None).await.unwrap().into_iter();
    let keys = listed.map(|object| object.key);
    keys.filter(|key| key.contains(kind)).collect()
}

async fn segments_live(world: &World) -> BTreeSet<String> {
    let manifests = manifests(&world.bucket).await.into_values();
    let segments = manifests.flat_map(|manifest| manifest.segments);
    segments.map(|segment| segment.key).collect()
}

/// Several runs whose segments are merged, and the windows closed at the end.
async fn compacted(records: &[Record]) -> World {
    let world = World::new().await;
    for part in records.chunks(40) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact().await;
    }
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    world
}

/// An object that a compactor wrote for `generation` before it was killed.
async fn put_orphan(world: &World, shard: ShardId, generation: u64) -> String {
    let key = ObjectKey::Segment {
        shard,
        resolution: Resolution::Raw,
        window: Window::of(TimestampMs(NOON)),
        generation: Generation(generation),
        attempt: Attempt(7),
        number: 0,
    };
    let key = key.to_string();
    let put = world
        .bucket
        .put(&key, Bytes::from_static(b"orphan"), WriteId::random());
    put.await.unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_live_is_left_and_every_point_is_there() {
    let records = records(5, 200);
    let world = compacted(&records).await;
    let live = segments_live(&world).await;
    let before = segments_there(&world).await;
    assert!(before.len() > live.len());
    let accounts = there(&world, "/account/").await.len();

    let pinned = collect(&world.bucket, PIN, Mode::Act).await;
    assert_eq!(
        pinned.unwrap(),
        GarbageReport::default(),
        "a read may still need all"
    );
    let foretold = collect_later(&world, Mode::DryRun).await;
    assert_eq!(
        segments_there(&world).await,
        before,
        "a dry run changes nothing"
    );

    let report = collect_later(&world, Mode::Act).await;
    assert_eq!(report, foretold);
    let accounts = accounts - there(&world, "/account/").await.len();
    let segments = before.len() - live.len();
    assert_eq!(report.objects, (segments + accounts) as u64);
    assert_eq!(segments_there(&world).await, live);
    assert_eq!(segments_live(&world).await, live);
    assert_same(&live_points(&world).await, &expected(&records));
    for shard in manifest_log::shards(&world.bucket).await.unwrap() {
        let left = manifest_log::generations(&world.bucket, shard)
            .await
            .unwrap();
        assert_eq!(left.len(), 2, "the fence, and what it stands on");
    }
    let writes = world.bucket.requests().writes();
    assert_eq!(
        collect_later(&world, Mode::Act).await,
        GarbageReport::default()
    );
    assert_eq!(world.bucket.requests().writes(), writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_compactor_may_still_commit_is_left_alone() {
    let world = compacted(&records(6, 80)).await;
    let manifests = manifests(&world.bucket).await;
    let (shard, manifest) = manifests.first_key_value().unwrap();
    let newest = manifest.generation.0;
    let stalled = put_orphan(&world, *shard, newest + 1).await;
    let dead = put_orphan(&world, *shard, newest).await;
    collect_later(&world, Mode::Act).await;
    let there = segments_there(&world).await;
    assert!(there.contains(&stalled) && !there.contains(&dead));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_whose_segments_were_collected_is_never_committed() {
    let records = records(7, 200);
    let world = compacted(&records[..100]).await;
    world.flush(&flush_of(records[100..].to_vec())).await;
    let settings = split_settings();
    let (id, plan) = planned(&world, &settings).await;
    let last = plan
        .tasks
        .iter()
        .rposition(|task| task.part.of > 1)
        .unwrap();
    let shard = plan.tasks[last].shard;
    let first = last + 1 - plan.tasks[last].part.of as usize;
    for index in first..last {
        task(&world, &settings, id, index).await.unwrap();
    }
    // The first fence leaves the results alone. The second is one generation further.
    collect_later(&world, Mode::Act).await;
    let newest = manifest_log::newest(&world.bucket, shard).await.unwrap();
    put_orphan(&world, shard, newest.generation.0).await;
    let there = segments_there(&world).await;
    collect_later(&world, Mode::Act).await;
    assert!(
        segments_there(&world).await.len() < there.len() - 1,
        "results were collected"
    );

    let error = task(&world, &settings, id, last).await.unwrap_err();
    assert!(matches!(error, Error::Superseded { .. }), "{error}");
    run_plan(&world, &settings).await;
    assert_same(&live_points(&world).await, &expected(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_at_a_number_that_was_deleted_is_void() {
    let world = compacted(&records(8, 120)).await;
    let manifests = manifests(&world.bucket).await;
    let (shard, newest) = manifests.first_key_value().unwrap();
    let mut stalled = manifest_log::load(&world.bucket, *shard, Generation(1))
        .await
        .unwrap();
    collect_later(&world, Mode::Act).await;
    stalled.generation = Generation(1);
    let committed = manifest_log::commit(&world.bucket, &stalled, WriteId::random()).await;
    assert_eq!(committed.unwrap(), Committed::Lost);
    let now = manifest_log::newest(&world.bucket, *shard).await.unwrap();
    assert_eq!(now.segments, newest.segments);
}

/// The manifest that follows, with other quarantine lists.
fn with_lists(base: &ShardManifest, lists: u64) -> ShardManifest {
    let list = |number| QuarantineRef {
        key: format!("list-{number}"),
        records: 1,
        crc32c: 2,
    };
    ShardManifest {
        generation: Generation(base.generation.0 + 1),
        quarantine: (0..lists).map(list).collect(),
        ..base.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_is_kept_as_long_as_a_manifest_names_it() {
    let world = compacted(&records(9, 80)).await;
    let (shard, manifest) = manifests(&world.bucket).await.pop_first().unwrap();
    let commit = async |base, lists| {
        let next = |base: &ShardManifest| {
            let nothing = OrgChange::counted(Some(OrgAccounts::default()));
            Ok((with_lists(base, lists), nothing))
        };
        commit_next(&world.bucket, base, next).await.unwrap()
    };
    let leaves = async || {
        let listed = world.bucket.list("", None).await.unwrap().into_iter();
        listed
            .filter(|object| object.key.contains("/leaf/"))
            .count()
    };
    let named = commit(manifest, 128).await;
    let carried = commit(named, 200).await;
    for _ in 0..2 {
        collect_later(&world, Mode::Act).await;
        let newest = manifest_log::newest(&world.bucket, shard).await.unwrap();
        assert_eq!(newest.quarantine, carried.quarantine);
        assert_eq!(leaves().await, 1);
    }
    let newest = manifest_log::newest(&world.bucket, shard).await.unwrap();
    let bare = commit(newest, 127).await;
    // The first collection still keeps what the generation before the newest names.
    for _ in 0..2 {
        collect_later(&world, Mode::Act).await;
    }
    assert_eq!(leaves().await, 0);
    let newest = manifest_log::newest(&world.bucket, shard).await.unwrap();
    assert_eq!(newest.quarantine, bare.quarantine);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_whose_plan_is_gone_are_collected_and_those_of_a_plan_are_not() {
    let records = records(9, 160);
    let world = compacted(&records[..120]).await;
    world.flush(&flush_of(records[120..].to_vec())).await;
    let settings = split_settings();
    let (id, _) = planned(&world, &settings).await;
    task(&world, &settings, id, 0).await.unwrap();
    let kept = ObjectKey::Result { plan: id, task: 0 }.to_string();
    // Stored by a task that was stalled until another had done everything and removed the plan.
    let stored = world.bucket.get(&kept).await.unwrap();
    let plan = PlanId(id.0 ^ 1);
    let orphan = ObjectKey::Result { plan, task: 3 }.to_string();
    let put = world.bucket.put(&orphan, stored, WriteId::random());
    put.await.unwrap();

    let pinned = collect(&world.bucket, PIN, Mode::Act).await.unwrap();
    assert_eq!(pinned.results, 0, "its task may only just have ended");
    assert_eq!(collect_later(&world, Mode::DryRun).await.results, 1);
    assert!(world.bucket.find(&orphan).await.unwrap().is_some());
    assert_eq!(collect_later(&world, Mode::Act).await.results, 1);
    assert_eq!(world.bucket.find(&orphan).await.unwrap(), None);
    assert!(world.bucket.find(&kept).await.unwrap().is_some());
    assert_eq!(collect_later(&world, Mode::Act).await.results, 0);
}
