//! `verify` finds and locates whatever is wrong.

use bytes::Bytes;
use skein_reader::inspect::finding::Finding;
use skein_reader::inspect::verify::{Progress, VerifyReport, verify};
use skein_shared::format::flush_manifest::{FlushBody, FlushContents, FlushManifest};
use skein_shared::format::ledger_entry::LedgerEntry;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::quarantine::QuarantineList;
use skein_shared::format::shard_manifest::{QuarantineRef, ShardManifest};
use skein_shared::format::state_bound::StateBound;
use skein_shared::ids::{Generation, ShardId, WriteId};
use skein_shared::manifest_log;
use skein_shared::offset::Offset;
use skein_shared::state_bound_log;
use skein_shared::window::TimestampMs;

use crate::inspect::world::{POINTS, World, chain};

/// So late that nothing can still be under way.
const NOW: TimestampMs = TimestampMs(i64::MAX);

async fn check(world: &World) -> VerifyReport {
    verify(&world.bucket, NOW, &mut |_| {}).await.unwrap()
}

/// Puts `bytes` at `key`, checks, and puts back what was there.
async fn found_with(world: &World, key: &str, bytes: Option<Bytes>) -> Vec<Finding> {
    let sound = world.bucket.get(key).await.unwrap();
    match bytes {
        Some(bytes) => world
            .bucket
            .put(key, bytes, WriteId::random())
            .await
            .unwrap(),
        None => world.bucket.delete(key).await.unwrap(),
    }
    let report = check(world).await;
    world
        .bucket
        .put(key, sound, WriteId::random())
        .await
        .unwrap();
    report.findings
}

#[track_caller]
fn assert_located(findings: &[Finding], key: &str, how: &str) {
    let keys: Vec<&str> = findings
        .iter()
        .map(|finding| finding.object.as_str())
        .collect();
    assert!(
        keys.contains(&key),
        "{how} of `{key}` is located at {keys:?}"
    );
}

fn is_newest_manifest(world: &World, key: &ObjectKey) -> bool {
    let newest = |(shard, manifest): (&ShardId, &ShardManifest)| ObjectKey::Manifest {
        shard: *shard,
        generation: manifest.generation,
    };
    world
        .manifests
        .iter()
        .map(newest)
        .any(|newest| newest == *key)
}

#[tokio::test]
async fn a_sound_bucket_has_no_findings_and_all_of_it_was_looked_at() {
    let world = World::build().await;
    let mut last = Progress::default();
    let report = verify(&world.bucket, NOW, &mut |progress| {
        last = progress;
    })
    .await
    .unwrap();
    assert_eq!(report.findings, []);
    let checked = report.checked;
    assert_eq!((checked.chains, checked.ledger_entries), (2, 4));
    assert_eq!((checked.flushes, checked.flushes_without_entries), (3, 1));
    assert_eq!((checked.state_objects, checked.records), (8, 40));
    assert_eq!((checked.shards, checked.segments), (3, 6));
    assert_eq!(checked.quarantine_lists, 2);
    assert_eq!(report.points, 36 * POINTS as u64);
    assert_eq!((last.objects_done, last.objects_total), (14, 14));
    assert_eq!(last.bytes_done, last.bytes_total);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_found_in_its_object() {
    let world = World::build().await;
    for object in world.bucket.list("", None).await.unwrap() {
        let sound = world.bucket.get(&object.key).await.unwrap();
        let places = [0, 5, sound.len() / 3, sound.len() / 2, sound.len() - 1];
        for place in places {
            let mut flipped = sound.to_vec();
            flipped[place] ^= 0x10;
            let findings = found_with(&world, &object.key, Some(flipped.into())).await;
            assert_located(&findings, &object.key, &format!("a flip at {place}"));
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_block_is_located_at_the_block() {
    let world = World::build().await;
    let FlushBody::Written(contents) = &world.flushes[0].body else {
        panic!("the first flush was written");
    };
    let key = &contents.objects[0].key;
    let mut flipped = world.bucket.get(key).await.unwrap().to_vec();
    flipped[200] ^= 1;
    let findings = found_with(&world, key, Some(flipped.into())).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let at = findings[0].at.unwrap();
    assert!((88..=200).contains(&at), "at {at}");
}

#[tokio::test]
async fn a_truncation_is_found_in_its_object() {
    let world = World::build().await;
    for object in world.bucket.list("", None).await.unwrap() {
        let sound = world.bucket.get(&object.key).await.unwrap();
        for left in [0, 10, sound.len() / 2, sound.len() - 1] {
            let findings = found_with(&world, &object.key, Some(sound.slice(..left))).await;
            assert_located(&findings, &object.key, &format!("a cut at {left}"));
        }
    }
}

#[tokio::test]
async fn a_missing_object_is_found_by_its_key() {
    let world = World::build().await;
    for object in world.bucket.list("", None).await.unwrap() {
        let key: ObjectKey = object.key.parse().unwrap();
        let was_void = is_void(&world, &key).await;
        let findings = found_with(&world, &object.key, None).await;
        // Without its newest generation a shard is as before that commit; a void flush is not missed, and
        // neither are words about partitions or runs.
        let is_word = matches!(
            key,
            ObjectKey::Status(_) | ObjectKey::Retirement { .. } | ObjectKey::RunRecord { .. }
        );
        if is_newest_manifest(&world, &key) || was_void || is_word {
            assert!(findings.is_empty(), "{findings:?}");
        } else {
            assert_located(&findings, &object.key, "the absence");
        }
    }
}

async fn is_void(world: &World, key: &ObjectKey) -> bool {
    let ObjectKey::Flush(_) = key else {
        return false;
    };
    let bytes = world.bucket.get(&key.to_string()).await.unwrap();
    let (_, manifest) = FlushManifest::decode(&bytes).unwrap();
    matches!(manifest.body, FlushBody::Void { .. })
}

/// Rewrites the first flush manifest, intact but wrong.
async fn found_with_flush(world: &World, change: impl Fn(&mut FlushContents)) -> Vec<Finding> {
    let mut manifest = world.flushes[0].clone();
    let FlushBody::Written(contents) = &mut manifest.body else {
        panic!("the first flush was written");
    };
    change(contents);
    let key = ObjectKey::Flush(manifest.flush).to_string();
    found_with(world, &key, Some(manifest.encode(WriteId::random()))).await
}

#[tokio::test]
async fn a_wrong_count_in_a_flush_manifest_is_found() {
    let world = World::build().await;
    let FlushBody::Written(contents) = &world.flushes[0].body else {
        panic!("the first flush was written");
    };
    let object = contents.objects[0].key.clone();
    let flush = ObjectKey::Flush(world.flushes[0].flush).to_string();
    let entry = ObjectKey::LedgerEntry {
        chain: contents.spans[0].stream.chain.clone(),
        from: contents.spans[0].span.from,
    };
    let findings = found_with_flush(&world, |flush| flush.objects[0].frames += 1).await;
    assert_located(&findings, &object, "one record more");
    let findings = found_with_flush(&world, |flush| flush.objects[0].object_bytes -= 1).await;
    assert_located(&findings, &object, "one byte less");
    let findings = found_with_flush(&world, |flush| flush.objects[0].crc32c ^= 1).await;
    assert_located(&findings, &object, "another crc");
    let findings = found_with_flush(&world, |flush| flush.objects[0].digest.add_hash(1)).await;
    assert_located(&findings, &object, "another digest");
    let findings = found_with_flush(&world, |flush| flush.spans[0].frames += 1).await;
    assert_located(&findings, &flush, "one record more in a span");
    assert_located(&findings, &entry.to_string(), "one record more in a span");
    let findings = found_with_flush(&world, |flush| flush.spans[0].digest.add_hash(1)).await;
    assert_located(&findings, &flush, "another digest of a span");
}

type Change = fn(&mut ShardManifest);

#[tokio::test]
async fn a_wrong_count_in_a_shard_manifest_is_found() {
    let world = World::build().await;
    let shard = ShardId::Shared {
        modulus: 2,
        remainder: 0,
    };
    let sound = &world.manifests[&shard];
    let key = ObjectKey::Manifest {
        shard,
        generation: sound.generation,
    };
    let key = key.to_string();
    let changes: [(&str, Change); 5] = [
        ("points_in", |manifest| manifest.counts.points_in += 1),
        ("duplicates", |manifest| manifest.counts.duplicates += 1),
        ("records", |manifest| manifest.counts.records -= 1),
        ("quarantined", |manifest| {
            manifest.counts.quarantined_records += 1;
        }),
        ("a lost segment", |manifest| drop(manifest.segments.pop())),
    ];
    for (name, change) in changes {
        let mut wrong = sound.clone();
        change(&mut wrong);
        let findings = found_with(&world, &key, Some(wrong.encode(WriteId::random()))).await;
        assert_located(&findings, &key, name);
    }
    let mut wrong = sound.clone();
    wrong.segments[0].summary.points += 1;
    let findings = found_with(&world, &key, Some(wrong.encode(WriteId::random()))).await;
    assert_located(&findings, &sound.segments[0].key, "one point more");
    let mut wrong = sound.clone();
    wrong.quarantine[0].records += 1;
    let findings = found_with(&world, &key, Some(wrong.encode(WriteId::random()))).await;
    assert_located(&findings, &sound.quarantine[0].key, "one record more");
}

#[tokio::test]
async fn damage_in_a_part_of_a_manifest_is_found() {
    let world = World::build().await;
    let (shard, manifest) = world.manifests.first_key_value().unwrap();
    let mut next = manifest.clone();
    next.generation = Generation(manifest.generation.0 + 1);
    let list = |number| QuarantineRef {
        key: format!("list-{number}"),
        records: 0,
        crc32c: 2,
    };
    next.quarantine.extend((0..128).map(list));
    let id = WriteId::random();
    manifest_log::store_leaves(&world.bucket, &mut next, id)
        .await
        .unwrap();
    manifest_log::commit(&world.bucket, &next, id)
        .await
        .unwrap();
    let leaf = &next.leaves[0].key;
    let findings = check(&world).await.findings;
    assert!(findings.iter().all(|finding| finding.object != *leaf));

    let mut flipped = world.bucket.get(leaf).await.unwrap().to_vec();
    flipped[70] ^= 4;
    let findings = found_with(&world, leaf, Some(flipped.into())).await;
    assert_located(&findings, leaf, "a flipped bit");
    let findings = found_with(&world, leaf, None).await;
    assert_located(&findings, leaf, "the loss");
    let key = ObjectKey::Manifest {
        shard: *shard,
        generation: next.generation,
    };
    let other = ShardManifest::empty(*shard);
    let other = ShardManifest {
        quarantine: (200..328).map(list).collect(),
        ..other
    };
    let other = other.new_leaves()[0].encode(id);
    let findings = found_with(&world, leaf, Some(other)).await;
    assert_located(&findings, &key.to_string(), "another leaf");
}

#[tokio::test]
async fn a_quarantine_list_of_other_records_is_found() {
    let world = World::build().await;
    let mut lists = world
        .manifests
        .values()
        .flat_map(|manifest| &manifest.quarantine);
    let key = lists.next().unwrap().key.clone();
    let bytes = world.bucket.get(&key).await.unwrap();
    let (id, mut list) = QuarantineList::decode(&bytes).unwrap();
    list.records[0].position.offset = Offset(0);
    let findings = found_with(&world, &key, Some(list.encode(id))).await;
    assert_located(&findings, &key, "another record");
}

#[tokio::test]
async fn a_deleted_or_overlapping_ledger_entry_is_found() {
    let world = World::build().await;
    let key = |from: i64| {
        let (chain, from) = (chain(0), Offset(from));
        ObjectKey::LedgerEntry { chain, from }.to_string()
    };
    for from in [0, 10] {
        let findings = found_with(&world, &key(from), None).await;
        assert_located(&findings, &key(from), "the deletion");
        let count = findings.len();
        assert_eq!(count, 1, "what follows from it is no finding: {findings:?}");
    }
    let bytes = world.bucket.get(&key(10)).await.unwrap();
    let (id, mut entry) = LedgerEntry::decode(&bytes).unwrap();
    entry.span.from = Offset(7);
    world
        .bucket
        .put(&key(7), entry.encode(id), id)
        .await
        .unwrap();
    let report = check(&world).await;
    assert_located(&report.findings, &key(7), "the overlap");
}

#[tokio::test]
async fn a_bucket_that_cannot_be_read_is_an_error_not_a_verdict() {
    let world = World::build().await;
    let bucket = world.bucket.clone();
    drop(world);
    assert!(verify(&bucket, NOW, &mut |_| {}).await.is_err());
}

fn objects_of(flush: &FlushManifest) -> &FlushContents {
    match &flush.body {
        FlushBody::Written(contents) => contents,
        FlushBody::Void { reason } => panic!("{reason}"),
    }
}

#[tokio::test]
async fn state_that_is_gone_below_a_bound_is_no_finding_and_any_other_is() {
    let world = World::build().await;
    let spans = |flush: &FlushManifest| objects_of(flush).spans.clone();
    let ends = spans(&world.flushes[0]).into_iter();
    let bound = StateBound {
        number: 1,
        chains: ends.map(|span| (span.stream.chain, span.span.to)).collect(),
        ..StateBound::default()
    };
    let gone = objects_of(&world.flushes[0]).objects[0].key.clone();
    let findings = found_with(&world, &gone, None).await;
    assert_located(&findings, &gone, "absence without a bound");
    assert!(
        state_bound_log::append(&world.bucket, &bound)
            .await
            .unwrap()
    );
    assert_eq!(found_with(&world, &gone, None).await, []);
    let kept = objects_of(&world.flushes[1]).objects[0].key.clone();
    let findings = found_with(&world, &kept, None).await;
    assert_located(&findings, &kept, "absence above the bound");
    let back = StateBound {
        number: 2,
        ..StateBound::default()
    };
    assert!(state_bound_log::append(&world.bucket, &back).await.unwrap());
    let key = ObjectKey::StateBound(2).to_string();
    assert_located(
        &check(&world).await.findings,
        &key,
        "a bound that goes back",
    );
}
