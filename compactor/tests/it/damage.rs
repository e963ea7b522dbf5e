//! Damaged or missing input fails its shard by name, and no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use skein_compactor::Error;
use skein_shared::ErrorKind;
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::ids::{OrgId, ShardId, WriteId};

use crate::read_back::{assert_same, expected, live_points};
use crate::world::{NOON, Record, World, flush_of, record, settings};

async fn world_with_two_shards() -> (World, Vec<Record>, Vec<Record>) {
    let world = World::new().await;
    let of = |org: u64, partition: u32| -> Vec<Record> {
        (0..30)
            .map(|i| record((partition, i, NOON), (org, 1), &[(NOON + i, i as f64)]))
            .collect()
    };
    let (others, dedicated) = (of(7, 0), of(1000, 1));
    world
        .flush(&flush_of([others.clone(), dedicated.clone()].concat()))
        .await;
    (world, others, dedicated)
}

async fn state_object_of(world: &World, shard: ShardId) -> String {
    let objects = world.bucket.list("", None).await.unwrap();
    let mut keys = objects.into_iter().map(|object| object.key);
    keys.find(|key| matches!(key.parse(), Ok(ObjectKey::State { shard: s, .. }) if s == shard))
        .unwrap()
}

async fn assert_fails_alone(world: &World, key: &str, others: &[Record]) -> ErrorKind {
    let error = world.compact_with(&settings()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(key), "{text}");
    assert!(matches!(error, Error::Shards { failed: 1, .. }), "{text}");
    assert_same(&live_points(world).await, &expected(others));
    error.kind()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_in_a_state_object_fails_its_shard_by_name() {
    let shard = ShardId::Dedicated(OrgId(1000));
    let (world, others, dedicated) = world_with_two_shards().await;
    let key = state_object_of(&world, shard).await;
    let bytes = world.bucket.get(&key).await.unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 11) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 4;
        let put = world
            .bucket
            .put(&key, Bytes::from(damaged), WriteId::random());
        put.await.unwrap();
        let kind = assert_fails_alone(&world, &key, &others).await;
        assert_eq!(kind, ErrorKind::Corrupt, "byte {at}");
    }
    world
        .bucket
        .put(&key, bytes, WriteId::random())
        .await
        .unwrap();
    world.compact().await;
    let all = [others, dedicated].concat();
    assert_same(&live_points(&world).await, &expected(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_state_object_fails_its_shard_by_name() {
    let (world, others, _) = world_with_two_shards().await;
    let key = state_object_of(&world, ShardId::Dedicated(OrgId(1000))).await;
    world.bucket.delete(&key).await.unwrap();
    let kind = assert_fails_alone(&world, &key, &others).await;
    assert_eq!(kind, ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_failures_the_worst_decides_though_it_is_not_the_first() {
    let (world, _, _) = world_with_two_shards().await;
    let shared = ShardId::Shared {
        modulus: 3,
        remainder: 1,
    };
    let missing = state_object_of(&world, shared).await;
    world.bucket.delete(&missing).await.unwrap();
    let damaged = state_object_of(&world, ShardId::Dedicated(OrgId(1000))).await;
    let mut bytes = world.bucket.get(&damaged).await.unwrap().to_vec();
    bytes[100] ^= 4;
    let put = world
        .bucket
        .put(&damaged, Bytes::from(bytes), WriteId::random());
    put.await.unwrap();

    let error = world.compact_with(&settings()).await.unwrap_err();
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
