//! `verify` on a bucket that others are writing to, and that was written under other settings.

use skein_reader::inspect::verify::journal::Journal;
use skein_reader::inspect::verify::{VerifyReport, verify, verify_resuming};
use skein_shared::bucket::Bucket;
use skein_shared::delete_log::{self, NewDelete};
use skein_shared::format::delete_entry::{DeleteSelector, Statement};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::LimitsEpoch;
use skein_shared::ids::{OrgId, ShardId, WriteId};
use skein_shared::manifest_log;
use skein_shared::offset::Offset;
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::inspect::pausing_proxy::{PausingProxy, pause_between};
use crate::inspect::world::{POINTS, World, chain};

async fn check(bucket: &Bucket, now: TimestampMs) -> VerifyReport {
    verify(bucket, now, &mut |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_flush_and_a_compaction_in_the_middle_of_a_check_are_no_damage() {
    let mut world = World::build().await;
    let PausingProxy {
        endpoint,
        paused,
        go_on,
    } = pause_between(&world.endpoint(), ["ledger", "manifest"]).await;
    let bucket = world.bucket_at(endpoint).await;
    let write = async {
        paused.await.unwrap();
        world.write_round(2).await;
        go_on.send(()).unwrap();
    };
    let (report, ()) = tokio::join!(check(&bucket, TimestampMs(i64::MAX)), write);
    assert_eq!(report.findings, []);
}

/// As others do who merge all segments of a shard, and collect garbage long after.
async fn merge_and_collect(world: &World) {
    for (shard, manifest) in &world.manifests {
        let mut next = manifest.clone();
        next.generation.0 += 1;
        for segment in &mut next.segments {
            let bytes = world.bucket.get(&segment.key).await.unwrap();
            let mut key: ObjectKey = segment.key.parse().unwrap();
            if let ObjectKey::Segment { attempt, .. } = &mut key {
                attempt.0 += 100;
            }
            world.put(&key, bytes).await;
            segment.key = key.to_string();
        }
        let committed = manifest_log::commit(&world.bucket, &next, WriteId::random());
        committed.await.unwrap();
        for segment in &manifest.segments {
            world.bucket.delete(&segment.key).await.unwrap();
        }
        assert!(!manifest.segments.is_empty(), "{shard}");
    }
}

#[tokio::test]
async fn segments_that_are_merged_and_collected_in_the_middle_of_a_check_are_no_damage() {
    let world = World::build().await;
    let PausingProxy {
        endpoint,
        paused,
        go_on,
    } = pause_between(&world.endpoint(), ["manifest", "deletes"]).await;
    let bucket = world.bucket_at(endpoint).await;
    let merge = async {
        paused.await.unwrap();
        merge_and_collect(&world).await;
        go_on.send(()).unwrap();
    };
    let (report, ()) = tokio::join!(check(&bucket, TimestampMs(i64::MAX)), merge);
    assert_eq!((report.findings, report.notes), (vec![], vec![]));
    let again = check(&world.bucket, TimestampMs(i64::MAX)).await;
    assert_eq!((report.points, report.digest), (again.points, again.digest));
}

#[tokio::test]
async fn a_segment_that_is_collected_in_the_middle_of_a_check_is_not_remembered_as_sound() {
    let world = World::build().await;
    let PausingProxy {
        endpoint,
        paused,
        go_on,
    } = pause_between(&world.endpoint(), ["manifest", "deletes"]).await;
    let bucket = world.bucket_at(endpoint).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("journal");
    let mut journal = Journal::open(&file, bucket.url()).unwrap();
    let merge = async {
        paused.await.unwrap();
        merge_and_collect(&world).await;
        go_on.send(()).unwrap();
    };
    let (now, mut tell) = (TimestampMs(i64::MAX), |_| {});
    let checking = verify_resuming(&bucket, now, &mut tell, &mut journal);
    let (report, ()) = tokio::join!(checking, merge);
    assert!(report.unwrap().is_sound());
    let remembered = std::fs::read_to_string(&file).unwrap();
    for (shard, manifest) in &world.manifests {
        let newest = manifest_log::newest(&world.bucket, *shard).await.unwrap();
        assert!(remembered.contains(&newest.segments[0].key), "{shard}");
        for gone in &manifest.segments {
            assert!(!remembered.contains(&gone.key), "{}", gone.key);
        }
    }
}

/// One segment makes way for a copy of it, and the manifest says that a delete is carried out that is not.
#[tokio::test]
async fn what_was_sound_before_a_delete_is_checked_again_when_it_is_carried_out() {
    let world = World::build().await;
    let PausingProxy {
        endpoint,
        paused,
        go_on,
    } = pause_between(&world.endpoint(), ["manifest", "deletes"]).await;
    let bucket = world.bucket_at(endpoint).await;
    let shard = ShardId::Shared {
        modulus: 2,
        remainder: 0,
    };
    let delete = async {
        paused.await.unwrap();
        let new = NewDelete {
            selector: DeleteSelector {
                org: OrgId(4),
                metric: None,
                span: TimeSpan::ALL,
            },
            stated: Statement::default(),
            deadline_after: Millis::seconds(1),
        };
        delete_log::append(&world.bucket, new).await.unwrap();
        let mut next = world.manifests[&shard].clone();
        next.generation.0 += 1;
        next.deletes_applied = 1;
        let gone = &mut next.segments[1];
        let bytes = world.bucket.get(&gone.key).await.unwrap();
        let mut key: ObjectKey = gone.key.parse().unwrap();
        if let ObjectKey::Segment { attempt, .. } = &mut key {
            attempt.0 += 100;
        }
        world.put(&key, bytes).await;
        world.bucket.delete(&gone.key).await.unwrap();
        gone.key = key.to_string();
        let committed = manifest_log::commit(&world.bucket, &next, WriteId::random());
        committed.await.unwrap();
        go_on.send(()).unwrap();
        next.segments.into_iter().map(|segment| segment.key)
    };
    let (report, keys) = tokio::join!(check(&bucket, TimestampMs(i64::MAX)), delete);
    for key in keys {
        let mut findings = report.findings.iter();
        let found = findings.find(|finding| finding.object == key);
        assert!(
            found.is_some_and(|it| it.what.contains("holds deleted points")),
            "{key}: {:?}",
            report.findings
        );
    }
}

#[tokio::test]
async fn damage_in_what_has_come_in_the_middle_of_a_check_is_found() {
    let world = World::build().await;
    let PausingProxy {
        endpoint,
        paused,
        go_on,
    } = pause_between(&world.endpoint(), ["manifest", "deletes"]).await;
    let bucket = world.bucket_at(endpoint).await;
    let damage = async {
        paused.await.unwrap();
        merge_and_collect(&world).await;
        let (shard, _) = world.manifests.first_key_value().unwrap();
        let newest = manifest_log::newest(&world.bucket, *shard).await.unwrap();
        let key = newest.segments[0].key.clone();
        world.bucket.delete(&key).await.unwrap();
        go_on.send(()).unwrap();
        key
    };
    let (report, key) = tokio::join!(check(&bucket, TimestampMs(i64::MAX)), damage);
    let [finding] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(finding.object, key);
}

/// Deletes the newest entry of a partition as if no shard had compacted it yet.
async fn without_newest_entry(world: &World) -> String {
    for (shard, manifest) in &world.manifests {
        let (shard, generation) = (*shard, manifest.generation);
        let key = ObjectKey::Manifest { shard, generation }.to_string();
        world.bucket.delete(&key).await.unwrap();
    }
    let (chain, from) = (chain(1), Offset(10));
    let key = ObjectKey::LedgerEntry { chain, from }.to_string();
    world.bucket.delete(&key).await.unwrap();
    key
}

#[tokio::test]
async fn a_span_that_only_its_flush_knows_of_is_a_note_at_first_and_a_finding_later() {
    let world = World::build().await;
    let key = without_newest_entry(&world).await;
    let flush = ObjectKey::Flush(world.flushes[1].flush).to_string();
    let written = world.bucket.head(&flush).await.unwrap().unwrap();
    let at = |minutes: i64| TimestampMs(written.last_modified.unwrap().0 + minutes * 60_000);

    let young = check(&world.bucket, at(59)).await;
    assert_eq!((young.findings.len(), young.notes.len()), (0, 1));
    let old = check(&world.bucket, at(61)).await;
    assert_eq!((old.findings.len(), old.notes.len()), (1, 0));
    for said in [&young.notes[0], &old.findings[0]] {
        assert_eq!(said.object, key);
        assert!(said.what.contains(&flush), "{said}");
        assert!(said.what.contains("10 records"), "{said}");
    }
}

#[tokio::test]
async fn a_span_that_another_flush_covers_is_not_missed() {
    let world = World::build().await;
    let mut late = world.flushes[0].clone();
    late.flush.counter = 99;
    let key = ObjectKey::Flush(late.flush);
    world.put(&key, late.encode(WriteId::random())).await;
    let report = check(&world.bucket, TimestampMs(i64::MAX)).await;
    assert_eq!(report.findings, []);
    assert_eq!(report.checked.flushes_without_entries, 2);
}

/// A payload of the world holds ten points. Below that limit its shards would have quarantined everything.
#[tokio::test]
async fn each_generation_is_recounted_with_the_limits_that_it_was_made_with() {
    let world = World::build().await;
    let shard = ShardId::Shared {
        modulus: 2,
        remainder: 0,
    };
    let before = &world.manifests[&shard];
    let mut next = before.clone();
    next.generation.0 += 1;
    next.earlier_limits = vec![LimitsEpoch {
        limits: before.versions.limits,
        positions: before.positions.clone(),
        fills: before.fills.clone(),
    }];
    next.versions.limits.points = u32::try_from(POINTS).unwrap() - 1;
    let committed = manifest_log::commit(&world.bucket, &next, WriteId::random());
    committed.await.unwrap();
    let report = check(&world.bucket, TimestampMs(i64::MAX)).await;
    assert_eq!(
        report.findings,
        [],
        "limits of a later generation bind no earlier record"
    );

    next.earlier_limits[0].limits = next.versions.limits;
    let generation = next.generation;
    let key = ObjectKey::Manifest { shard, generation };
    world.put(&key, next.encode(WriteId::random())).await;
    let report = check(&world.bucket, TimestampMs(i64::MAX)).await;
    assert!(
        !report.is_sound(),
        "records of a generation are held to its own limits"
    );
}
