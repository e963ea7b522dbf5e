//! Commits of a shard's manifests.

use futures::future::join_all;
use skein_shared::Error;
use skein_shared::bucket::{Bucket, Operation};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::{QuarantineRef, ShardManifest};
use skein_shared::ids::{Generation, OrgId, ShardId, WriteId};
use skein_shared::manifest_log::{self, Committed};

use super::stores::open_embedded;

const SHARD: ShardId = ShardId::Dedicated(OrgId(1_000));

fn manifest(generation: u64) -> ShardManifest {
    let mut manifest = ShardManifest::empty(SHARD);
    manifest.generation = Generation(generation);
    manifest.counts.records = generation * 10;
    manifest
}

#[tokio::test]
async fn the_newest_manifest_is_found_with_one_listing() {
    let (_server, bucket) = open_embedded().await;
    let none = manifest_log::newest(&bucket, SHARD).await.unwrap();
    assert_eq!(none, ShardManifest::empty(SHARD));
    for generation in 1..=12 {
        let manifest = manifest(generation);
        let committed = manifest_log::commit(&bucket, &manifest, WriteId::random()).await;
        assert_eq!(committed.unwrap(), Committed::Ours);
    }
    let lists_before = bucket.requests().of(Operation::List);
    let newest = manifest_log::newest(&bucket, SHARD).await.unwrap();
    assert_eq!(newest, manifest(12));
    assert_eq!(bucket.requests().of(Operation::List), lists_before + 1);
    let generations = manifest_log::generations(&bucket, SHARD).await.unwrap();
    assert!(generations.into_iter().eq((1..=12).rev().map(Generation)));
    let third = manifest_log::load(&bucket, SHARD, Generation(3))
        .await
        .unwrap();
    assert_eq!(third, manifest(3));
    assert_eq!(manifest_log::shards(&bucket).await.unwrap(), [SHARD]);
}

/// Commits `manifest` as a compactor does.
async fn with_leaves(bucket: &Bucket, mut manifest: ShardManifest, id: WriteId) -> ShardManifest {
    manifest_log::store_leaves(bucket, &mut manifest, id)
        .await
        .unwrap();
    let committed = manifest_log::commit(bucket, &manifest, id).await;
    assert_eq!(committed.unwrap(), Committed::Ours);
    manifest
}

#[tokio::test]
async fn what_no_longer_changes_is_stored_once_and_read_back() {
    let (_server, bucket) = open_embedded().await;
    let list = |number| QuarantineRef {
        key: format!("list-{number}"),
        records: 1,
        crc32c: 2,
    };
    let mut stored = manifest(1);
    stored.quarantine = (0..300).map(list).collect();
    for generation in 1..=3 {
        stored.generation = Generation(generation);
        let id = WriteId::random();
        let puts_before = bucket.requests().of(Operation::Put);
        let first = with_leaves(&bucket, stored.clone(), id).await;
        // As after an answer that was lost.
        let again = with_leaves(&bucket, stored, id).await;
        assert_eq!(first, again);
        stored = again;
        let puts = bucket.requests().of(Operation::Put) - puts_before;
        let leaves = if generation == 1 { 2 } else { 0 };
        assert_eq!(puts, 2 * leaves, "a leaf is written when it is new");
        let read = manifest_log::newest(&bucket, SHARD).await.unwrap();
        assert_eq!(read, stored);
        assert_eq!(read.leaves.len(), 2);
    }
}

#[tokio::test]
async fn of_racing_commits_of_one_generation_exactly_one_stands() {
    let (_server, bucket) = open_embedded().await;
    let racing = (0..8).map(|n| {
        let mut manifest = manifest(1);
        manifest.counts.records = n;
        let bucket = bucket.clone();
        async move {
            manifest_log::commit(&bucket, &manifest, WriteId::random())
                .await
                .unwrap()
        }
    });
    let outcomes = join_all(racing).await;
    let winner = outcomes
        .iter()
        .position(|outcome| *outcome == Committed::Ours)
        .unwrap();
    let winners = outcomes
        .iter()
        .filter(|outcome| **outcome == Committed::Ours);
    assert_eq!(winners.count(), 1);
    let stored = manifest_log::newest(&bucket, SHARD).await.unwrap();
    assert_eq!(stored.counts.records, winner as u64);
}

#[tokio::test]
async fn a_manifest_under_another_manifests_key_is_corrupt() {
    let (_server, bucket) = open_embedded().await;
    let generation = Generation(5);
    let key = ObjectKey::Manifest {
        shard: SHARD,
        generation,
    }
    .to_string();
    let id = WriteId::random();
    bucket.put(&key, manifest(4).encode(id), id).await.unwrap();
    let error = manifest_log::newest(&bucket, SHARD).await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    assert!(error.to_string().contains(&key), "{error}");
}

#[tokio::test]
async fn a_stray_object_among_manifests_is_named() {
    let (_server, bucket) = open_embedded().await;
    let id = WriteId::random();
    bucket
        .put("manifest/org-1000/0-stray", "x".into(), id)
        .await
        .unwrap();
    let error = manifest_log::newest(&bucket, SHARD).await.unwrap_err();
    assert!(error.to_string().contains("0-stray"), "{error}");
    bucket
        .put("manifest/no-shard/0", "x".into(), id)
        .await
        .unwrap();
    let error = manifest_log::shards(&bucket).await.unwrap_err();
    assert!(error.to_string().contains("no-shard"), "{error}");
}
