//! Damaged or missing state costs what it held and nothing else: its shard goes on and says what is missing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use skein_compactor::Error;
use skein_compactor::report::Progress;
use skein_config::compactor::CompactorSettings;
use skein_local::embedded_bucket::{Mood, Refusal};
use skein_shared::ErrorKind;
use skein_shared::format::damage::DamageState;
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::format::quarantine::QuarantineList;
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::format::state_object::StateFooter;
use skein_shared::ids::{OrgId, ShardId, WriteId};
use skein_shared::offset::{Offset, Span};
use skein_shared::state_fetch;
use skein_shared::units::ByteCount;
use skein_shared::window::TimestampMs;
use tokio::runtime::Handle;

use crate::plans::{planned, run_plan, split_settings, task};
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, Flush, NOON, Record, World, chain, flush_of, record, settings};

pub(crate) const DEDICATED: ShardId = ShardId::Dedicated(OrgId(1000));

/// Records of a shard in a block of the tests' flushes.
const BLOCK_RECORDS: usize = 7;

/// Records of one org, each a millisecond and an offset behind the one before.
pub(crate) fn records_of(org: u64, partition: u32, count: i64) -> Vec<Record> {
    (0..count)
        .map(|i| record((partition, i, NOON + i), (org, 1), &[(NOON + i, i as f64)]))
        .collect()
}

/// The records of org 7, and of org 1000, which has a shard of its own.
pub(crate) async fn world_with_two_shards() -> (World, Vec<Record>, Vec<Record>) {
    let world = World::new().await;
    let (others, dedicated) = (records_of(7, 0, 30), records_of(1000, 1, 30));
    world
        .flush(&flush_of([others.clone(), dedicated.clone()].concat()))
        .await;
    (world, others, dedicated)
}

pub(crate) async fn state_object_of(world: &World, shard: ShardId) -> String {
    let objects = world.bucket.list("", None).await.unwrap();
    let mut keys = objects.into_iter().map(|object| object.key);
    keys.find(|key| matches!(key.parse(), Ok(ObjectKey::State { shard: s, .. }) if s == shard))
        .unwrap()
}

/// Flips a bit, and answers the object as it was.
pub(crate) async fn flip(world: &World, key: &str, at: usize) -> Bytes {
    let bytes = world.bucket.get(key).await.unwrap();
    let mut damaged = bytes.to_vec();
    damaged[at] ^= 4;
    put(world, key, damaged.into()).await;
    bytes
}

pub(crate) async fn put(world: &World, key: &str, bytes: Bytes) {
    let put = world.bucket.put(key, bytes, WriteId::random());
    put.await.unwrap();
}

pub(crate) async fn footer_of(world: &World, key: &str) -> StateFooter {
    let tail = state_fetch::read_footer(&world.bucket, key).await.unwrap();
    tail.footer
}

/// A byte in the middle of a block of an object.
pub(crate) async fn middle_of_block(world: &World, key: &str, number: usize) -> usize {
    let block = &footer_of(world, key).await.blocks[number];
    usize::try_from(block.at + block.bytes / 2).unwrap()
}

pub(crate) async fn manifest_of(world: &World, shard: ShardId) -> ShardManifest {
    manifests(&world.bucket).await.remove(&shard).unwrap()
}

/// The place of a byte: its block, or the whole object; and the records that are lost with it.
fn lost_with(footer: &StateFooter, at: u64, records: &[Record]) -> (Range<u64>, Range<usize>) {
    let blocks = footer.blocks.iter().enumerate();
    let mut places = blocks.map(|(i, block)| (i, block.at..block.at + block.bytes));
    match places.find(|(_, place)| place.contains(&at)) {
        Some((i, place)) => {
            let first = i * BLOCK_RECORDS;
            (place, first..records.len().min(first + BLOCK_RECORDS))
        }
        None => (0..u64::MAX, 0..records.len()),
    }
}

/// Asserts that a shard has gone past everything and says that exactly these records are missing.
async fn assert_missing(world: &World, key: &str, place: Range<u64>, missing: Range<usize>) {
    let manifest = manifest_of(world, DEDICATED).await;
    assert_eq!(manifest.position(&chain(1)), Offset(30));
    let [damage] = &manifest.damages[..] else {
        panic!("{:?}", manifest.damages);
    };
    assert_eq!(
        (damage.object.as_str(), &damage.state),
        (key, &DamageState::Undecided)
    );
    assert_eq!(damage.at, place.start);
    if place.end < u64::MAX {
        assert_eq!(damage.at + damage.bytes, place.end);
    }
    let frames = missing.len() as u64;
    assert_eq!(
        (damage.frames, manifest.counts.damaged_frames),
        (frames, frames)
    );
    assert_eq!(manifest.counts.records, 30 - frames);
    assert!(damage.times.contains(TimestampMs(NOON)));

    let bytes = world.bucket.get(&damage.list).await.unwrap();
    let (_, quarantine) = QuarantineList::decode(&bytes).unwrap();
    let listed = &quarantine.damages[0];
    assert_eq!(listed.id(DEDICATED), damage.id);
    let span = Span::new(
        Offset(i64::try_from(missing.start).unwrap()),
        Offset(i64::try_from(missing.end).unwrap()),
    );
    let mut lost = listed.lost.iter();
    let lost = lost.find(|lost| lost.stream.chain == chain(1)).unwrap();
    assert_eq!(lost.span, span);
}

/// All but a range.
fn without(records: &[Record], missing: Range<usize>) -> Vec<Record> {
    [&records[..missing.start], &records[missing.end..]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_costs_its_block_and_nothing_else() {
    // Objects that are fetched whole, and block by block.
    for read_bytes in [8 << 20, 100] {
        let settings = CompactorSettings {
            read_bytes: ByteCount(read_bytes),
            ..settings()
        };
        for tenth in 0..=10 {
            let (world, others, dedicated) = world_with_two_shards().await;
            let key = state_object_of(&world, DEDICATED).await;
            let footer = footer_of(&world, &key).await;
            let length = world.bucket.get(&key).await.unwrap().len();
            let at = (length - 1) * tenth / 10;
            flip(&world, &key, at).await;

            world.compact_with(&settings).await.unwrap();
            let (place, missing) = lost_with(&footer, at as u64, &dedicated);
            let kept = without(&dedicated, missing.clone());
            let left = [others.clone(), kept].concat();
            assert_same(&live_points(&world).await, &expected(&left));
            assert_missing(&world, &key, place, missing).await;

            let before = manifests(&world.bucket).await;
            let again = world.compact_with(&settings).await.unwrap();
            assert_eq!((again.steps.generations, again.undecided_damages), (0, 1));
            assert_eq!(manifests(&world.bucket).await, before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_state_object_costs_what_it_held_and_nothing_else() {
    let (world, others, dedicated) = world_with_two_shards().await;
    let key = state_object_of(&world, DEDICATED).await;
    world.bucket.delete(&key).await.unwrap();
    world.compact().await;
    assert_same(&live_points(&world).await, &expected(&others));
    assert_missing(&world, &key, 0..u64::MAX, 0..dedicated.len()).await;

    // What comes later is read as ever.
    let more: Vec<Record> = records_of(1000, 1, 40).split_off(30);
    world.flush(&flush_of(more.clone())).await;
    world.compact().await;
    assert_same(
        &live_points(&world).await,
        &expected(others.iter().chain(&more)),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_holds_fewer_frames_than_its_footer_says_gives_none_of_them() {
    let world = World::new().await;
    let records = records_of(1000, 1, 30);
    let flush = Flush {
        miscounted_block: Some(1),
        ..flush_of(records.clone())
    };
    world.flush(&flush).await;
    world.compact().await;
    let kept = without(&records, 7..14);
    assert_same(&live_points(&world).await, &expected(&kept));
    let manifest = manifest_of(&world, DEDICATED).await;
    assert_eq!(manifest.counts.records, 23);
    assert_eq!(manifest.counts.points_in, 23);
    assert_eq!(manifest.undecided().count(), 1);
}

/// Does something in the middle of a run, once the first points have been read.
fn once_reading<F, D>(what: F) -> Arc<dyn Fn(skein_compactor::report::Progress) + Send + Sync>
where
    F: Fn() -> D + Send + Sync + 'static,
    D: Future<Output = ()> + Send + 'static,
{
    let (runtime, is_done) = (Handle::current(), AtomicBool::new(false));
    Arc::new(move |progress| {
        if progress.points > 0 && !is_done.swap(true, Ordering::SeqCst) {
            let (runtime, doing) = (runtime.clone(), what());
            // A thread of its own: this may be one that must not wait.
            let thread = std::thread::spawn(move || runtime.block_on(doing));
            thread.join().unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_the_way_is_fetched_again_and_is_none() {
    let world = World::new().await;
    let records = records_of(1000, 1, 30);
    world.flush(&flush_of(records.clone())).await;
    let key = state_object_of(&world, DEDICATED).await;
    let at = middle_of_block(&world, &key, 1).await;
    let sound = flip(&world, &key, at).await;
    // Its first block was fetched together with the damaged one.
    let bucket = world.bucket.clone();
    let mend = once_reading(move || {
        let (bucket, key, sound) = (bucket.clone(), key.clone(), sound.clone());
        async move {
            bucket.put(&key, sound, WriteId::random()).await.unwrap();
        }
    });
    world.compact_telling(&settings(), mend).await.unwrap();
    assert_same(&live_points(&world).await, &expected(&records));
    assert_eq!(manifest_of(&world, DEDICATED).await.damages, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_cannot_be_fetched_for_now_is_no_damage() {
    check_is_no_damage(Mood::Refuses(Refusal::AccessDenied)).await;
    let serves_one_in = u64::MAX;
    check_is_no_damage(Mood::Throttles { serves_one_in }).await;
}

/// A damaged block is fetched again while the store is in this mood.
async fn check_is_no_damage(mood: Mood) {
    let mut world = World::new().await;
    world.bucket = world.bucket.single_attempts();
    let world = Arc::new(world);
    let records = records_of(1000, 1, 30);
    world.flush(&flush_of(records.clone())).await;
    let key = state_object_of(&world, DEDICATED).await;
    let at = middle_of_block(&world, &key, 1).await;
    let sound = flip(&world, &key, at).await;
    let server = Arc::clone(&world);
    let spoil = once_reading(move || {
        let server = Arc::clone(&server);
        async move { server.server.set_mood(mood) }
    });
    let failed = world.compact_telling(&settings(), spoil).await;
    world.server.set_mood(Mood::Serves);
    let error = failed.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!manifests(&world.bucket).await.contains_key(&DEDICATED));

    put(&world, &key, sound).await;
    world.compact().await;
    assert_same(&live_points(&world).await, &expected(&records));
    assert_eq!(manifest_of(&world, DEDICATED).await.damages, []);
}

/// Records of several series of org 1000.
fn records_of_series() -> Vec<Record> {
    let record = |i: i64| {
        let series = (1000, 1 + i.unsigned_abs() % 9);
        record((1, i, NOON + i), series, &[(NOON + i, 1.0)])
    };
    (0..90).map(record).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_planned_shard_list_a_damage_once() {
    let world = World::new().await;
    let records = records_of_series();
    world.flush(&flush_of(records[..45].to_vec())).await;
    // The block that a sample would be taken of.
    let key = state_object_of(&world, DEDICATED).await;
    let at = middle_of_block(&world, &key, 3).await;
    flip(&world, &key, at).await;
    world.flush(&flush_of(records[45..].to_vec())).await;

    let plan = run_plan(&world, &split_settings()).await;
    assert!(plan.tasks.iter().any(|task| task.part.of > 1));
    let manifest = manifest_of(&world, DEDICATED).await;
    assert_eq!(manifest.damages.len(), 1);
    assert_eq!(manifest.counts.damaged_frames, 7);
    assert_eq!(manifest.counts.records, 83);
    let kept = without(&records, 21..28);
    assert_same(&live_points(&world).await, &expected(&kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_met_different_damages_are_made_again() {
    let world = World::new().await;
    let records = records_of_series();
    world.flush(&flush_of(records.clone())).await;
    let key = state_object_of(&world, DEDICATED).await;
    let at = middle_of_block(&world, &key, 2).await;
    let sound = flip(&world, &key, at).await;
    let (id, plan) = planned(&world, &split_settings()).await;
    assert!(plan.tasks[0].part.of > 1);
    task(&world, &split_settings(), id, 0).await.unwrap();
    put(&world, &key, sound).await;
    let mut refused = Vec::new();
    for index in 1..plan.tasks.len() {
        refused.extend(task(&world, &split_settings(), id, index).await.err());
    }
    assert!(
        matches!(refused[..], [Error::Superseded { .. }]),
        "{refused:?}"
    );
    assert!(!manifests(&world.bucket).await.contains_key(&DEDICATED));

    run_plan(&world, &split_settings()).await;
    assert_same(&live_points(&world).await, &expected(&records));
    assert_eq!(manifest_of(&world, DEDICATED).await.damages, []);
}

/// The live segment of a shard.
async fn live_segment(world: &World, shard: ShardId) -> SegmentEntry {
    let manifest = manifest_of(world, shard).await;
    manifest.raw_segments().next().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_failures_the_worst_decides_though_it_is_not_the_first() {
    let (world, _, _) = world_with_two_shards().await;
    world.compact().await;
    let damaged = live_segment(&world, DEDICATED).await.key;
    flip(&world, &damaged, 100).await;
    // It is read when its window is closed. Of state only the other shard reads any, and it comes first.
    world
        .flush(&flush_of(records_of(7, 0, 60).split_off(30)))
        .await;
    world.tell_at_end(NOON + 3 * DAY).await;
    let has_panicked = AtomicBool::new(false);
    let panic_once = move |progress: Progress| {
        let is_first = progress.points > 0 && !has_panicked.swap(true, Ordering::SeqCst);
        assert!(!is_first, "planted");
    };

    let settings = settings();
    let run = world.compact_telling(&settings, Arc::new(panic_once));
    let error = run.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(&damaged), "{error}");
    assert!(matches!(error, Error::Shards { failed: 2, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_one_shards_task_ends_no_other_shard() {
    let (world, others, dedicated) = world_with_two_shards().await;
    let has_panicked = AtomicBool::new(false);
    let panic_once = move |_| {
        let is_first = !has_panicked.swap(true, Ordering::SeqCst);
        assert!(!is_first, "planted");
    };
    let settings = settings();
    let run = world.compact_telling(&settings, Arc::new(panic_once));
    let error = run.await.unwrap_err();
    assert!(matches!(error, Error::Shards { failed: 1, .. }), "{error}");
    assert!(error.to_string().contains("planted"), "{error}");
    world.compact().await;
    let all = [others, dedicated].concat();
    assert_same(&live_points(&world).await, &expected(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_flush_manifest_fails_the_run_by_name() {
    let (world, _, _) = world_with_two_shards().await;
    let flushes = world.bucket.list(Prefix::FLUSHES, None).await.unwrap();
    world.bucket.delete(&flushes[0].key).await.unwrap();
    let error = world
        .compact_with(&settings())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&flushes[0].key), "{error}");
}
