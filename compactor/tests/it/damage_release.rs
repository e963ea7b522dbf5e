//! What becomes of a damage: its place is restored and read again, or its records are given up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use skein_compactor::Error;
use skein_compactor::damage_release::{Mode, ReleaseOptions, Released, Verdict, find, release};
use skein_compactor::rebuild::{self, Found, RebuildOptions, WindowRow, rebuild};
use skein_compactor::report::OnProgress;
use skein_compactor::run::RunOptions;
use skein_config::compactor::CompactorSettings;
use skein_config::cutover::timelines::Timelines;
use skein_shared::ErrorKind;
use skein_shared::bucket::Bucket;
use skein_shared::format::damage::{DamageId, DamageRef, DamageState};
use skein_shared::format::digest::ContentDigest;
use skein_shared::payload::Limits;
use skein_shared::window::TimeSpan;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::damage::{
    DEDICATED, flip, manifest_of, middle_of_block, put, records_of, state_object_of,
    world_with_two_shards,
};
use crate::incremental::summaries;
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, Record, World, flush_of, settings};

fn options(verdict: Verdict, mode: Mode) -> ReleaseOptions {
    ReleaseOptions {
        verdict,
        mode,
        actor: "ann".into(),
        reason: "OPS-7".into(),
        timelines: Timelines::new_owns_everything(),
    }
}

async fn released(
    bucket: &Bucket,
    id: DamageId,
    options: ReleaseOptions,
    progress: OnProgress,
) -> skein_compactor::Result<Released> {
    let controls = (CancellationToken::new(), progress);
    release(&settings(), bucket, &options, (DEDICATED, id), controls).await
}

async fn retried(world: &World, id: DamageId) -> skein_compactor::Result<Released> {
    let retry = options(Verdict::Retry, Mode::Commit);
    released(&world.bucket, id, retry, Arc::new(|_| ())).await
}

async fn accepted(world: &World, id: DamageId) -> skein_compactor::Result<Released> {
    let accept = options(Verdict::AcceptLoss, Mode::Commit);
    released(&world.bucket, id, accept, Arc::new(|_| ())).await
}

async fn damages(world: &World) -> Vec<DamageRef> {
    manifest_of(world, DEDICATED).await.damages
}

async fn keys(world: &World) -> BTreeSet<String> {
    let listed = world.bucket.list("", None).await.unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

/// A world whose second block of org 1000 is damaged and compacted past.
struct Damaged {
    world: World,
    key: String,
    sound: bytes::Bytes,
    all: Vec<Record>,
    kept: Vec<Record>,
    id: DamageId,
}

impl Damaged {
    async fn new() -> Self {
        let (world, others, dedicated) = world_with_two_shards().await;
        let key = state_object_of(&world, DEDICATED).await;
        let at = middle_of_block(&world, &key, 1).await;
        let sound = flip(&world, &key, at).await;
        world.compact().await;
        let kept = [&others[..], &dedicated[..7], &dedicated[14..]].concat();
        let id = damages(&world).await[0].id;
        Self {
            world,
            key,
            sound,
            all: [others, dedicated].concat(),
            kept,
            id,
        }
    }

    async fn mend(&self) {
        put(&self.world, &self.key, self.sound.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_block_comes_back_bit_for_bit_with_one_commit() {
    let damaged = Damaged::new().await;
    let world = &damaged.world;
    let (before, there) = (manifest_of(world, DEDICATED).await, keys(world).await);
    let still = retried(world, damaged.id).await.unwrap();
    let Released::StillDamaged { error } = still else {
        panic!("{still:?}");
    };
    assert!(
        error.contains(&damaged.key) && error.contains("crc32c"),
        "{error}"
    );
    assert_eq!(manifest_of(world, DEDICATED).await, before);
    assert_eq!(keys(world).await, there, "nothing of the try is left");

    damaged.mend().await;
    let dry = options(Verdict::Retry, Mode::DryRun);
    let tried = released(&world.bucket, damaged.id, dry, Arc::new(|_| ())).await;
    let restored = Released::Restored {
        records: 7,
        points: 7,
    };
    assert_eq!(tried.unwrap(), restored);
    assert_eq!(keys(world).await, there, "a dry run leaves nothing");

    assert_eq!(retried(world, damaged.id).await.unwrap(), restored);
    let after = manifest_of(world, DEDICATED).await;
    assert_eq!(after.generation.0, before.generation.0 + 1);
    assert_eq!(after.positions, before.positions);
    assert_eq!((after.counts.records, after.counts.damaged_frames), (30, 0));
    assert_eq!(after.undecided().count(), 0);
    let DamageState::Released(decision) = &after.damages[0].state else {
        panic!("{:?}", after.damages);
    };
    assert_eq!(
        (decision.actor.as_str(), decision.reason.as_str()),
        ("ann", "OPS-7")
    );
    assert_same(&live_points(world).await, &expected(&damaged.all));

    let again = retried(world, damaged.id).await.unwrap();
    assert_eq!(again, Released::Before(decision.clone()));
    let given_up = accepted(world, damaged.id).await.unwrap_err();
    assert!(matches!(given_up, Error::Decided { .. }), "{given_up}");
    assert_eq!(given_up.kind(), ErrorKind::Fenced);
    assert_eq!(manifest_of(world, DEDICATED).await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_that_is_put_back_comes_back_whole() {
    let (world, others, dedicated) = world_with_two_shards().await;
    let key = state_object_of(&world, DEDICATED).await;
    let sound = world.bucket.get(&key).await.unwrap();
    world.bucket.delete(&key).await.unwrap();
    world.compact().await;
    let id = damages(&world).await[0].id;
    put(&world, &key, sound).await;
    retried(&world, id).await.unwrap();
    let all = [others, dedicated].concat();
    assert_same(&live_points(&world).await, &expected(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_loss_is_written_down_once_and_taken_back_by_a_restored_block() {
    let damaged = Damaged::new().await;
    let world = &damaged.world;
    let generation = manifest_of(world, DEDICATED).await.generation.0;
    assert_eq!(
        accepted(world, damaged.id).await.unwrap(),
        Released::Accepted
    );
    let after = manifest_of(world, DEDICATED).await;
    assert_eq!(after.generation.0, generation + 1);
    assert_eq!(
        (after.undecided().count(), after.counts.damaged_frames),
        (0, 7)
    );
    let DamageState::Accepted(decision) = &after.damages[0].state else {
        panic!("{:?}", after.damages);
    };
    assert_eq!(decision.actor, "ann");
    assert!(decision.time.0 > 0, "by the bucket's clock");
    let again = accepted(world, damaged.id).await.unwrap();
    assert_eq!(again, Released::Before(decision.clone()));
    assert_eq!(manifest_of(world, DEDICATED).await, after);
    assert_same(&live_points(world).await, &expected(&damaged.kept));

    damaged.mend().await;
    retried(world, damaged.id).await.unwrap();
    assert_same(&live_points(world).await, &expected(&damaged.all));
    assert_eq!(manifest_of(world, DEDICATED).await.counts.damaged_frames, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_releases_at_once_the_first_counts_and_the_other_is_told() {
    for verdict in [Verdict::AcceptLoss, Verdict::Retry] {
        let damaged = Damaged::new().await;
        damaged.mend().await;
        let (world, id) = (&damaged.world, damaged.id);
        // The other decides while this one reads the block.
        let (bucket, runtime) = (world.bucket.clone(), Handle::current());
        let first = Arc::new(Mutex::new(None));
        let told = Arc::clone(&first);
        let other = move || {
            let other = options(verdict, Mode::Commit);
            runtime.block_on(released(&bucket, id, other, Arc::new(|_| ())))
        };
        let meanwhile = move |_| {
            told.lock().unwrap().get_or_insert_with(&other);
        };
        let there = keys(world).await;
        let retry = options(Verdict::Retry, Mode::Commit);
        let second = released(&world.bucket, id, retry, Arc::new(meanwhile)).await;
        let first = first.lock().unwrap().take().unwrap();
        assert!(first.is_ok(), "{first:?}");
        let error = second.unwrap_err();
        assert!(matches!(error, Error::Decided { .. }), "{error}");
        assert!(error.to_string().contains("by ann"), "{error}");

        let manifest = manifest_of(world, DEDICATED).await;
        let now = match verdict {
            Verdict::AcceptLoss => ("accepted", &damaged.kept),
            Verdict::Retry => ("released", &damaged.all),
        };
        assert_eq!(manifest.damages[0].state.name(), now.0);
        assert_same(&live_points(world).await, &expected(now.1));
        let named = manifest.segments.iter().map(|segment| &segment.key);
        let named: BTreeSet<&String> = named.collect();
        let left: Vec<String> = keys(world).await.difference(&there).cloned().collect();
        // An account of a number that was lost is left to the collector.
        let is_kept = |key: &str| key.starts_with("manifest/") || key.contains("/account/");
        let stray = |key: &&String| !is_kept(key) && !named.contains(key);
        assert_eq!(left.iter().find(stray), None, "the loser cleans up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_commits_meanwhile_does_not_hinder_a_release() {
    let damaged = Damaged::new().await;
    damaged.mend().await;
    let world = Arc::new(damaged.world);
    let more: Vec<Record> = records_of(1000, 1, 40).split_off(30);
    world.flush(&flush_of(more.clone())).await;
    // Both merge the one overlay that there is.
    let settings = CompactorSettings {
        max_overlays: 1,
        ..settings()
    };
    let (runtime, compacting) = (Handle::current(), Arc::clone(&world));
    let other = settings.clone();
    let meanwhile: OnProgress = Arc::new(move |_| {
        runtime.block_on(compacting.compact_with(&other)).unwrap();
    });
    let retry = options(Verdict::Retry, Mode::Commit);
    let damage = (DEDICATED, damaged.id);
    let controls = (CancellationToken::new(), meanwhile);
    let done = release(&settings, &world.bucket, &retry, damage, controls).await;
    done.unwrap();
    assert_eq!(manifest_of(&world, DEDICATED).await.segments.len(), 1);
    let all = [damaged.all, more].concat();
    assert_same(&live_points(&world).await, &expected(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn damages_are_found_by_what_they_are() {
    let damaged = Damaged::new().await;
    let bucket = &damaged.world.bucket;
    let found = find(bucket, |_, damage| damage.id == damaged.id);
    assert_eq!(found.await.unwrap().len(), 1);
    let undecided = find(bucket, |shard, damage| {
        shard == DEDICATED && damage.is_undecided()
    });
    assert_eq!(undecided.await.unwrap().len(), 1);
    let nothing = retried(&damaged.world, DamageId(1)).await.unwrap_err();
    assert!(matches!(nothing, Error::NoSuchDamage { .. }), "{nothing}");
}

async fn try_rebuild(
    world: &World,
    mode: rebuild::Mode,
) -> skein_compactor::Result<Vec<WindowRow>> {
    let run = RunOptions {
        limits: Limits::default(),
        timelines: Timelines::new_owns_everything(),
    };
    let what = RebuildOptions {
        shards: BTreeSet::new(),
        span: TimeSpan::ALL,
        mode,
    };
    let controls = (CancellationToken::new(), Arc::new(|_| ()) as _);
    rebuild(&settings(), &world.bucket, run, &what, controls).await
}

async fn digests(world: &World) -> Vec<ContentDigest> {
    let summaries = summaries(world).await;
    summaries.values().map(|summary| summary.digest).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_the_same_bytes_until_a_release_has_brought_the_points_in() {
    let damaged = Damaged::new().await;
    let world = &damaged.world;
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let before = manifests(&world.bucket).await;
    let there = keys(world).await;
    let is_same =
        |rows: &[WindowRow]| rows.len() == 2 && rows.iter().all(|row| row.found == Found::Same);
    let over_damage = try_rebuild(world, rebuild::Mode::Replace).await.unwrap();
    assert!(is_same(&over_damage), "{over_damage:?}");
    damaged.mend().await;
    let mended = try_rebuild(world, rebuild::Mode::ReplaceOtherPoints);
    let mended = mended.await.unwrap();
    assert!(
        is_same(&mended),
        "what was never taken in is left out: {mended:?}"
    );
    assert_eq!(manifests(&world.bucket).await, before);
    assert_eq!(keys(world).await, there);

    retried(world, damaged.id).await.unwrap();
    let rows = try_rebuild(world, rebuild::Mode::ReplaceOtherPoints);
    let rows = rows.await.unwrap();
    let points = |row: &WindowRow| row.points_after;
    assert_eq!(rows.iter().map(points).collect::<Vec<_>>(), [30, 30]);
    assert_same(&live_points(world).await, &expected(&damaged.all));

    // Byte by byte what the next rebuild gives, and the points that a world has that never was damaged. Not its bytes: what
    // was released was written after the window was closed, and that holds for its metadata too.
    let again = try_rebuild(world, rebuild::Mode::Compare).await.unwrap();
    assert!(is_same(&again), "{again:?}");
    let (sound, _, _) = world_with_two_shards().await;
    sound.tell_at_end(NOON + 3 * DAY).await;
    sound.compact().await;
    assert_eq!(digests(world).await, digests(&sound).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_was_taken_in_and_is_damaged_now_is_not_rebuilt_from() {
    let (world, others, dedicated) = world_with_two_shards().await;
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let key = state_object_of(&world, DEDICATED).await;
    let at = middle_of_block(&world, &key, 1).await;
    flip(&world, &key, at).await;
    let before = manifests(&world.bucket).await;
    let there = keys(&world).await;
    let refused = try_rebuild(&world, rebuild::Mode::ReplaceOtherPoints).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::StateDamaged { .. }), "{error}");
    assert!(error.to_string().contains(&key), "{error}");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(manifests(&world.bucket).await, before);
    assert_eq!(keys(&world).await, there, "nothing of the rebuild is left");
    let all = [others, dedicated].concat();
    assert_same(&live_points(&world).await, &expected(&all));
}
