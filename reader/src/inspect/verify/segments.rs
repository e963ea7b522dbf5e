//! Live segments: every run is decoded and counted, every byte summed up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use futures::StreamExt;
use skein_shared::bucket::Bucket;
use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::checksum;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::segment_footer::{self, HEAD_BYTES};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::shard_manifest::{Deleted, SegmentEntry, ShardManifest};
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::rollup::Rollup;
use skein_shared::segment_fetch::{FETCH_BYTES, SegmentCursor, SegmentFile};
use skein_shared::window::TimestampMs;
use skein_shared::{Error, Result};

use crate::inspect::finding::SEGMENT;
use crate::inspect::verify::deletes::newer_deletes;
use crate::inspect::verify::journal::{Fingerprint, Known, Seen};
use crate::inspect::verify::manifests::{Manifests, manifest_key, successor_without};
use crate::inspect::verify::rollups::RollupComparison;
use crate::inspect::verify::{CONCURRENT_OBJECTS, Check};

/// How often the newest manifest of a shard is read again because segments were collected that it no longer names.
const MOST_ROUNDS: usize = 8;

/// The points of each shard's live segments by org; `None` where some segment did not read back, or the shard has gone on
/// since its manifest was read, so that what was counted is of more than one generation.
pub(super) type LivePoints = BTreeMap<ShardId, Option<BTreeMap<OrgId, u64>>>;

/// Checks the segments of `manifests`. Where others have merged some of them meanwhile, and garbage collection has taken
/// these, the shard's newest manifest is checked in place of the one that was read at first. Answers those that were
/// checked in the end, and whose points they have.
pub(super) async fn check_segments(
    check: &mut Check<'_>,
    manifests: &Manifests,
    deletes: &[DeleteEntry],
) -> Result<(Manifests, LivePoints)> {
    let mut live = manifests
        .keys()
        .map(|shard| (*shard, Some(BTreeMap::new())))
        .collect();
    let mut last = manifests.clone();
    let mut due = manifests.clone();
    let mut deletes = deletes.to_vec();
    let mut sound = HashSet::new();
    for round in 1..=MOST_ROUNDS {
        due = check_round(check, (&due, &deletes), (&mut sound, &mut live)).await?;
        newer_deletes(check, &due, &mut deletes).await?;
        for (shard, next) in &due {
            if round < MOST_ROUNDS {
                check.expect_more(&next.segments);
            } else {
                let key = manifest_key(*shard, next.generation);
                let what = "segments are collected faster than they can be checked";
                check.notes.push(SEGMENT.broken(key, None, what));
            }
            last.insert(*shard, next.clone());
            live.insert(*shard, None);
        }
        if due.is_empty() {
            break;
        }
    }
    Ok((last, live))
}

/// Checks what is not known to be sound; answers the newest manifests of the shards that have gone on.
async fn check_round(
    check: &mut Check<'_>,
    (manifests, deletes): (&Manifests, &[DeleteEntry]),
    (sound, live): (&mut HashSet<Fingerprint>, &mut LivePoints),
) -> Result<Manifests> {
    let bucket = &check.bucket.clone();
    for manifest in manifests.values() {
        let raw = manifest.raw_by_key();
        for rollup in manifest.rollups() {
            if let Err(mismatch) = raw.check_rollup(rollup) {
                check.find(SEGMENT.broken(&rollup.key, None, mismatch.to_string()));
            }
        }
    }
    let due = due(manifests, deletes);
    let due: Vec<_> = due
        .filter(|due| !sound.contains(&due.fingerprint))
        .map(|due| (check.known(&due.entry.key, || due.fingerprint), due))
        .collect();
    let mut checks = futures::stream::iter(due)
        .map(|(known, due)| async move {
            let (shard, entry, fingerprint) = (due.shard, due.entry, due.fingerprint);
            let seen = seen_of(bucket, due, known).await;
            seen.map(|(known, seen)| (shard, entry, fingerprint, known, seen))
        })
        .buffered(CONCURRENT_OBJECTS);
    let mut gone_on = Manifests::new();
    while let Some(checked) = checks.next().await {
        let (shard, entry, fingerprint, known, mut seen) = checked?;
        if entry.resolution.is_raw() {
            add_points(live.entry(shard).or_default(), seen.points.as_ref());
        }
        if seen.findings.is_empty() {
            sound.insert(fingerprint);
        } else if let Some(next) = successor_without(bucket, shard, &entry.key).await? {
            seen.findings.clear();
            seen.is_passing = true;
            gone_on.insert(shard, next);
        }
        check.checked.segment(entry, seen.compared_buckets);
        check.object_done((&entry.key, entry.summary.size_bytes), &known, seen);
    }
    Ok(gone_on)
}

/// A segment that is to be checked.
struct Due<'m> {
    shard: ShardId,
    entry: &'m SegmentEntry,
    rollups: Vec<SegmentEntry>,
    /// The deletes that it says it holds no point of.
    done: Vec<DeleteEntry>,
    /// Of all of that.
    fingerprint: Fingerprint,
}

fn due<'m>(manifests: &'m Manifests, deletes: &'m [DeleteEntry]) -> impl Iterator<Item = Due<'m>> {
    manifests.values().flat_map(move |manifest| {
        let mut rollups = rollups_of(manifest);
        manifest.segments.iter().map(move |entry| {
            let rollups = rollups.remove(entry.key.as_str()).unwrap_or_default();
            let done = carried_out(deletes, manifest, entry);
            Due {
                shard: manifest.shard,
                entry,
                fingerprint: Fingerprint::of(&(entry, &rollups, &done)),
                rollups,
                done,
            }
        })
    })
}

/// What is remembered of a segment that is still there, or what its check gives.
async fn seen_of(bucket: &Bucket, due: Due<'_>, known: Known) -> Result<(Known, Seen)> {
    let (of, rollups, done) = (due.entry.clone(), due.rollups, due.done);
    let known = known
        .if_there(bucket, (&of.key, of.summary.size_bytes))
        .await?;
    if let Some(seen) = known.seen() {
        return Ok((known, seen));
    }
    let bucket = bucket.clone();
    // Decoding is CPU work: each segment has a thread of its own that waits for its bytes.
    let runtime = tokio::runtime::Handle::current();
    let checked = tokio::task::spawn_blocking(move || {
        runtime.block_on(check_segment(&bucket, &of, &rollups, &done))
    });
    let seen = checked.await.expect("checking a segment does not panic")?;
    Ok((known, seen))
}

/// Takes in those of one more segment.
fn add_points(live: &mut Option<BTreeMap<OrgId, u64>>, points: Option<&BTreeMap<u64, u64>>) {
    let Some((live, points)) = live.as_mut().zip(points) else {
        *live = None;
        return;
    };
    for (org, points) in points {
        *live.entry(OrgId(*org)).or_default() += points;
    }
}

/// The deletes that a segment says it holds no point of.
fn carried_out(
    deletes: &[DeleteEntry],
    manifest: &ShardManifest,
    entry: &SegmentEntry,
) -> Vec<DeleteEntry> {
    let applied = manifest.deletes_applied.max(entry.deletes_applied);
    let is_done = |delete: &&DeleteEntry| {
        delete.number <= applied && delete.selector.may_touch(&entry.summary)
    };
    deletes.iter().filter(is_done).cloned().collect()
}

/// The rollups of each raw segment, by its key.
fn rollups_of(manifest: &ShardManifest) -> HashMap<&str, Vec<SegmentEntry>> {
    let mut rollups: HashMap<&str, Vec<SegmentEntry>> = HashMap::new();
    for rollup in manifest.rollups() {
        if let Some(raw) = &rollup.rollup_of {
            rollups.entry(raw).or_default().push(rollup.clone());
        }
    }
    rollups
}

/// Checks one segment, and the buckets of its rollups against its points.
async fn check_segment(
    bucket: &Bucket,
    entry: &SegmentEntry,
    rollups: &[SegmentEntry],
    deleted: &[DeleteEntry],
) -> Result<Seen> {
    let (key, said) = (&entry.key, entry.summary.size_bytes);
    let Some(meta) = bucket.head(key).await? else {
        let missing = SEGMENT.broken(key, None, "the object is missing");
        return Ok(Seen {
            // It may be put back.
            is_passing: true,
            ..Seen::of_segment(vec![missing], 0)
        });
    };
    if meta.object_bytes != said {
        let is = meta.object_bytes;
        let what = format!("has {is} bytes, its manifest says {said}");
        let other = SEGMENT.broken(key, Some(is.min(said)), what);
        return Ok(Seen::of_segment(vec![other], 0));
    }
    let mut comparison = RollupComparison::open(bucket, rollups).await;
    let checked = match check_points(bucket, entry, deleted, &mut comparison).await {
        Ok(points) => check_bytes(bucket, entry).await.map(|()| points),
        Err(error) => Err(error),
    };
    match checked {
        Ok(points) => {
            comparison.finish().await;
            Ok(Seen {
                points: Some(points),
                ..comparison.seen()
            })
        }
        Err(error) => {
            let mut seen = comparison.seen();
            seen.findings.push(SEGMENT.blame(bucket, key, error).await?);
            Ok(seen)
        }
    }
}

/// Decodes every series and compares counts, digest and bounds with the manifest, and points with rollups; answers the
/// points by org.
async fn check_points(
    bucket: &Bucket,
    entry: &SegmentEntry,
    deleted: &[DeleteEntry],
    comparison: &mut RollupComparison,
) -> Result<BTreeMap<u64, u64>> {
    let file = Arc::new(SegmentFile::open(bucket, entry).await?);
    let chains = file.chains().clone();
    let mut cursor = SegmentCursor::new(file, &chains);
    let Contents {
        digest,
        points,
        raw_points,
        series,
        bounds,
        by_org,
    } = if entry.resolution.is_raw() {
        // A base does not say which of its points were written after a delete.
        let deleted = if chains.chains().is_empty() {
            &[]
        } else {
            deleted
        };
        let mask = DeleteMask::new(deleted, &chains);
        points_of(&mut cursor, &mask, comparison).await?
    } else {
        buckets_of(&mut cursor).await?
    };
    let summary = &entry.summary;
    let refuse = |reason: String| Err(Error::decode("segment", 0, reason));
    if raw_points != summary.raw_points {
        let said = summary.raw_points;
        return refuse(format!(
            "its buckets are made of {raw_points} points, its manifest says {said}"
        ));
    }
    if (points, series) != (summary.points, summary.series) {
        let (said, of) = (summary.points, summary.series);
        return refuse(format!(
            "holds {points} points of {series} series, its manifest says {said} of {of}"
        ));
    }
    if digest != summary.digest {
        return refuse("the digest of its points is not the one in its manifest".into());
    }
    let said = (summary.first_timestamp, summary.last_timestamp);
    if bounds.is_some_and(|(least, greatest)| (TimestampMs(least), TimestampMs(greatest)) != said) {
        return refuse("its manifest says other first and last timestamps".into());
    }
    Ok(by_org)
}

/// What a segment turns out to hold.
#[derive(Default)]
struct Contents {
    digest: ContentDigest,
    points: u64,
    raw_points: u64,
    series: u64,
    bounds: Option<(i64, i64)>,
    /// Of raw points.
    by_org: BTreeMap<u64, u64>,
}

impl Contents {
    fn add(&mut self, timestamps_ms: &[i64], raw_points: u64) {
        self.points += timestamps_ms.len() as u64;
        self.raw_points += raw_points;
        self.series += 1;
        if let (Some(first), Some(last)) = (timestamps_ms.first(), timestamps_ms.last()) {
            let (least, greatest) = self.bounds.unwrap_or((*first, *last));
            self.bounds = Some((least.min(*first), greatest.max(*last)));
        }
    }
}

async fn points_of(
    cursor: &mut SegmentCursor,
    mask: &DeleteMask,
    comparison: &mut RollupComparison,
) -> Result<Contents> {
    let (mut buffer, mut found) = (SeriesBuffer::default(), Contents::default());
    while let Some((key, _)) = cursor.next(&mut buffer).await? {
        let timestamps_ms = &buffer.timestamps_ms;
        found.digest.add_points(key, timestamps_ms, &buffer.values);
        found.add(timestamps_ms, timestamps_ms.len() as u64);
        *found.by_org.entry(key.org.0).or_default() += timestamps_ms.len() as u64;
        let values = &buffer.values;
        comparison.compare(key, timestamps_ms, values).await;
        if mask.drop_of_segment(key, &mut buffer, &mut Deleted::new()) > 0 {
            let reason = format!("holds deleted points of {key}");
            return Err(Error::decode("segment", 0, reason));
        }
    }
    Ok(found)
}

async fn buckets_of(cursor: &mut SegmentCursor) -> Result<Contents> {
    let (mut rollup, mut found) = (Rollup::default(), Contents::default());
    while let Some((key, _)) = cursor.next_rollup(&mut rollup).await? {
        found.digest.add_rollup(key, &rollup);
        found.add(&rollup.starts_ms, rollup.raw_points());
    }
    Ok(found)
}

/// Sums every byte up: also those that no series needs.
async fn check_bytes(bucket: &Bucket, entry: &SegmentEntry) -> Result<()> {
    let (key, object_bytes) = (&entry.key, entry.summary.size_bytes);
    let mut crc32c = 0;
    for range in steps(object_bytes) {
        let bytes = bucket.get_range(key, range.clone()).await?;
        if range.start == 0 {
            segment_footer::check_head(&bytes[..bytes.len().min(HEAD_BYTES)])?;
        }
        crc32c = checksum::combine(crc32c, checksum::crc32c(&bytes), bytes.len() as u64);
    }
    if crc32c == entry.summary.crc32c {
        return Ok(());
    }
    let said = entry.summary.crc32c;
    let reason = format!("crc32c of the object is {crc32c:08x}, its manifest says {said:08x}");
    Err(Error::decode("segment", 0, reason))
}

fn steps(object_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let step = usize::try_from(FETCH_BYTES).expect("8 MiB fit a usize");
    (0..object_bytes)
        .step_by(step)
        .map(move |start| start..object_bytes.min(start + FETCH_BYTES))
}
