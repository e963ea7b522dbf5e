//! `ls`, `cat`, `explain` and `verify` over a bucket with rollups.

use std::path::Path;
use std::sync::Arc;

use skein_reader::inspect::finding::Finding;
use skein_reader::inspect::verify::journal::Journal;
use skein_reader::inspect::verify::{VerifyReport, verify, verify_resuming};
use skein_reader::inspect::{cat::cat, explain::explain, ls::ls};
use skein_shared::format::object_key::{Attempt, ObjectKey};
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_footer::SegmentIdentity;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::SegmentWriter;
use skein_shared::format::shard_manifest::{Layer, SegmentEntry, ShardManifest};
use skein_shared::ids::{Generation, SeriesKey, WriteId};
use skein_shared::manifest_log;
use skein_shared::rollup::Rollup;
use skein_shared::segment_fetch::{SegmentCursor, SegmentFile};
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::{Resolution, TimestampMs};

use crate::inspect::world::{POINTS, World};

const ROLLUPS: [Resolution; 2] = [Resolution::FiveMinutes, Resolution::OneHour];

/// Stands in for what the compactor does, or does wrong, with a series' rollup before it is written.
type Change = fn(SeriesKey, &mut Rollup);

fn as_it_is(_: SeriesKey, _: &mut Rollup) {}

impl World {
    /// Writes rollups beside every segment, in one more generation of each shard.
    async fn add_rollups(&mut self, change: Change) {
        for mut manifest in self.manifests.values().cloned().collect::<Vec<_>>() {
            manifest.generation = Generation(manifest.generation.0 + 1);
            let raw: Vec<SegmentEntry> = manifest.raw_segments().cloned().collect();
            let wanted = (0..).zip(&raw);
            let wanted = wanted.flat_map(|(number, raw)| ROLLUPS.map(|it| (raw, it, number)));
            for of in wanted {
                let rollup = self.write_rollup(&manifest, of, change).await;
                manifest.segments.push(rollup);
            }
            manifest
                .segments
                .sort_by_key(|entry| (entry.window, entry.generation));
            manifest_log::commit(&self.bucket, &manifest, WriteId::random())
                .await
                .unwrap();
            self.manifests.insert(manifest.shard, manifest);
        }
    }

    async fn write_rollup(
        &self,
        manifest: &ShardManifest,
        (raw, resolution, number): (&SegmentEntry, Resolution, u32),
        change: Change,
    ) -> SegmentEntry {
        let (shard, window) = (manifest.shard, raw.window);
        let identity = SegmentIdentity {
            shard,
            window,
            resolution,
        };
        let mut writer = SegmentWriter::new(identity, ChainTable::default(), Profile::default());
        let file = Arc::new(SegmentFile::open(&self.bucket, raw).await.unwrap());
        let chains = file.chains().clone();
        let mut cursor = SegmentCursor::new(file, &chains);
        let mut points = SeriesBuffer::default();
        while let Some((key, _)) = cursor.next(&mut points).await.unwrap() {
            let (mut finest, mut rollup) = (Rollup::default(), Rollup::default());
            finest.roll(&points.timestamps_ms, &points.values);
            finest.coarsen(resolution, &mut rollup);
            change(key, &mut rollup);
            writer.push_rollup(key, &rollup, None);
        }
        let finished = writer.finish().unwrap();
        let key = ObjectKey::Segment {
            shard,
            resolution,
            window,
            generation: manifest.generation,
            attempt: Attempt(1),
            number,
        };
        self.put(&key, finished.rest.to_vec().into()).await;
        SegmentEntry {
            key: key.to_string(),
            window,
            resolution,
            layer: Layer::Base,
            rollup_of: Some(raw.key.clone()),
            generation: manifest.generation,
            write_id: WriteId::random(),
            summary: finished.summary,
            deletes_applied: 0,
            filter: OwnershipFilter::Owned,
        }
    }

    fn rollups(&self) -> impl Iterator<Item = &SegmentEntry> {
        self.manifests.values().flat_map(ShardManifest::rollups)
    }
}

async fn check(world: &World) -> VerifyReport {
    let now = TimestampMs(i64::MAX);
    verify(&world.bucket, now, &mut |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_listing_sums_the_bytes_of_rollups_apart_from_those_of_points() {
    let mut world = World::build().await;
    let before = ls(&world.bucket).await.unwrap();
    world.add_rollups(as_it_is).await;
    let after = ls(&world.bucket).await.unwrap();
    let bytes: u64 = world
        .rollups()
        .map(|rollup| rollup.summary.size_bytes)
        .sum();
    assert_eq!(world.rollups().count(), 12);
    assert_eq!(
        after.shards.iter().map(|row| row.rollup_bytes).sum::<u64>(),
        bytes
    );
    assert_eq!(
        after
            .windows
            .iter()
            .map(|row| row.rollup_bytes)
            .sum::<u64>(),
        bytes
    );
    assert_eq!(after.segments.len(), before.segments.len() + 12);
    for (before, after) in before.shards.iter().zip(&after.shards) {
        assert_eq!(before.rollup_bytes, 0);
        assert_eq!(before.segment_bytes, after.segment_bytes);
        assert_eq!(
            (before.segments, before.points),
            (after.segments, after.points)
        );
    }
}

#[tokio::test]
async fn rollups_are_shown_and_every_byte_of_them_has_a_use() {
    let mut world = World::build().await;
    world.add_rollups(as_it_is).await;
    for entry in world.rollups() {
        let shown = cat(&world.bucket, &entry.key, 1).await.unwrap();
        assert_eq!(shown["resolution"], entry.resolution.name());
        assert_eq!(shown["points"], entry.summary.points);
        assert_eq!(shown["raw_points"], entry.summary.raw_points);
        let explained = explain(&world.bucket, &entry.key, 2).await.unwrap();
        let bytes: u64 = explained.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(bytes, entry.summary.size_bytes);
        assert_eq!(explained.points, entry.summary.points);
    }
    let manifest = world.manifests.values().next().unwrap();
    let key = ObjectKey::Manifest {
        shard: manifest.shard,
        generation: manifest.generation,
    };
    let shown = cat(&world.bucket, &key.to_string(), 1).await.unwrap();
    let text = shown.to_string();
    assert!(
        text.contains(&manifest.rollups().next().unwrap().key),
        "{text}"
    );
}

#[tokio::test]
async fn sound_rollups_are_compared_bucket_by_bucket_without_a_finding() {
    let mut world = World::build().await;
    world.add_rollups(as_it_is).await;
    let report = check(&world).await;
    assert_eq!(report.findings, []);
    let buckets: u64 = world.rollups().map(|rollup| rollup.summary.points).sum();
    let bytes: u64 = world
        .rollups()
        .map(|rollup| rollup.summary.size_bytes)
        .sum();
    let checked = report.checked;
    assert_eq!((checked.segments, checked.rollups), (6, 12));
    assert_eq!(
        (checked.compared_buckets, checked.rollup_bytes),
        (buckets, bytes)
    );
    assert_eq!(report.points, 36 * POINTS as u64);
}

#[tokio::test]
async fn a_flipped_bit_of_a_rollup_is_found_in_it_alone() {
    let mut world = World::build().await;
    world.add_rollups(as_it_is).await;
    let keys: Vec<String> = world.rollups().map(|rollup| rollup.key.clone()).collect();
    for key in &keys[..4] {
        let sound = world.bucket.get(key).await.unwrap();
        for place in [0, 20, sound.len() / 2, sound.len() - 1] {
            let mut flipped = sound.to_vec();
            flipped[place] ^= 0x10;
            let put = |bytes| world.bucket.put(key, bytes, WriteId::random());
            put(flipped.into()).await.unwrap();
            let findings = check(&world).await.findings;
            let objects: Vec<&String> = findings.iter().map(|it| &it.object).collect();
            assert_eq!(objects, [key], "a flip at {place}");
            put(sound.clone()).await.unwrap();
        }
    }
}

fn other_greatest(_: SeriesKey, rollup: &mut Rollup) {
    rollup.max[0] = 7.25;
}

fn other_begin(_: SeriesKey, rollup: &mut Rollup) {
    let width = rollup.resolution().bucket_width().unwrap();
    rollup.starts_ms[0] -= width.0.cast_signed();
}

fn two_as_one(_: SeriesKey, rollup: &mut Rollup) {
    if let Some(last) = rollup.len().checked_sub(2) {
        let joined = rollup.bucket(last).join(&rollup.bucket(last + 1));
        rollup.truncate(last);
        rollup.push(&joined);
    }
}

/// The object is whole, and its counts and digest are those of its manifest: only the points tell.
#[tokio::test]
async fn a_bucket_that_its_points_do_not_make_is_named() {
    let changes: [(Change, &str); 3] = [
        (
            other_greatest,
            "is not that of its points: max 7.25 and not 1.5; of org ",
        ),
        (other_begin, "the points' next one begins at"),
        (two_as_one, "is not that of its points: count "),
    ];
    for (change, words) in changes {
        let mut world = World::build().await;
        world.add_rollups(change).await;
        let findings = check(&world).await.findings;
        assert!(!findings.is_empty(), "{words}");
        let rollups: Vec<&String> = world.rollups().map(|rollup| &rollup.key).collect();
        for finding in &findings {
            assert!(rollups.contains(&&finding.object), "{finding}");
            assert!(finding.what.contains(words), "{finding}");
        }
    }
}

async fn resume(world: &World, file: &Path) -> Vec<Finding> {
    let mut journal = Journal::open(file, world.bucket.url()).unwrap();
    let now = TimestampMs(i64::MAX);
    let report = verify_resuming(&world.bucket, now, &mut |_| {}, &mut journal).await;
    report.unwrap().findings
}

/// The rollup is wrong, and could not be read at first.
#[tokio::test]
async fn points_that_were_not_compared_with_a_rollup_to_its_end_are_read_again() {
    let mut world = World::build().await;
    world.add_rollups(other_greatest).await;
    let key = world.rollups().next().unwrap().key.clone();
    let sound = world.bucket.get(&key).await.unwrap();
    for place in [20, sound.len() - 1] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("journal");
        let mut flipped = sound.to_vec();
        flipped[place] ^= 0x10;
        for (bytes, is_named) in [(flipped.into(), false), (sound.clone(), true)] {
            let put = world.bucket.put(&key, bytes, WriteId::random());
            put.await.unwrap();
            let findings = resume(&world, &file).await;
            let mut named = findings.iter().filter(|it| it.object == key);
            let named = named.any(|it| it.what.contains("is not that of its points"));
            assert_eq!(named, is_named, "{place}: {findings:?}");
        }
    }
}
