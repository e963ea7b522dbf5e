//! Checks a whole bucket: every object is there, whole and what the others say of it; every chain is
//! contiguous; every point is accounted for.
//!
//! Finds damage of every kind and says where it is. What an object cannot know of itself is compared with
//! its neighbours: ledger entry with flush manifest, flush manifest with state objects, these with the
//! counts of the shard manifests, and those with the segments.

mod chains;
mod intake;
mod metadata;
mod fills;
mod manifests;
mod damages;
mod deletes;
mod unclaimed;
mod flushes;
mod truth;
mod recount;
pub mod journal;
mod state_objects;
mod rollups;
mod segments;
mod conservation;
mod accounts;

use futures::future::LocalBoxFuture;
use serde::Serialize;
use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::window::TimestampMs;

use crate::inspect::finding::Finding;
use journal::{Fingerprint, Journal, Known, Seen};
use truth::Truth;
use unclaimed::UnclaimedSpan;

/// Objects that are read at the same time. Each holds at most two stretches of 8 MiB, or of one block
/// where that is longer, so a check takes about 100 MiB plus some 200 bytes for each ledger entry.
const CONCURRENT_OBJECTS: usize = 4;

/// What a check found and how much it looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
    /// What may be wrong, or only be under way: look again later.
    pub notes: Vec<Finding>,
    /// What is damaged and was accepted as lost.
    pub accepted: Vec<Finding>,
    /// What was looked at.
    pub checked: Checked,
    /// Points in the live segments; overlays may hold a point twice until they are merged.
    pub points: u64,
    /// Digest of these points.
    pub digest: String,
    /// What of this was looked at by an earlier check, and not read again.
    pub checked_before: CheckedBefore,
}

/// Objects that an earlier check has looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CheckedBefore {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// When the first of them was looked at, in milliseconds since 1970.
    pub first_at_ms: Option<i64>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Checked {
    /// Chains of the ledger.
    pub chains: u64,
    /// Ledger entries.
    pub ledger_entries: u64,
    /// Fills of lost spans.
    pub fills: u64,
    /// Flush manifests.
    pub flushes: u64,
    /// Flushes of which no ledger entry knows: void, or not yet in the ledger.
    pub flushes_without_entries: u64,
    /// State objects of flushes that the ledger names.
    pub state_objects: u64,
    /// Their bytes.
    pub state_bytes: u64,
    /// Records that count.
    pub records: u64,
    /// Frames that no ledger entry names.
    pub void_frames: u64,
    /// Shards that were compacted.
    pub shards: u64,
    /// Live segments of raw points.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Live rollups.
    pub rollups: u64,
    /// Their bytes.
    pub rollup_bytes: u64,
    /// Their buckets that were made again of raw points and compared.
    pub compared_buckets: u64,
    /// Lists of quarantined records.
    pub quarantine_lists: u64,
    /// Orgs, of each shard that has them, whose account was compared with their points.
    pub accounted_orgs: u64,
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Progress {
    /// State objects and segments that were read.
    pub objects_done: u64,
    /// How many there are.
    pub objects_total: u64,
    /// Their bytes.
    pub bytes_done: u64,
    /// How many there are.
    pub bytes_total: u64,
    /// Findings so far.
    pub findings: u64,
    /// Of `bytes_done`, those that an earlier check has read.
    pub bytes_before: u64,
}

/// Checks the whole bucket, also one that is being written to. `now` tells what may still be under way from
/// what is not; `progress` is called after each object. A check that takes longer than garbage collection spares what a
/// read may hold on to finds segments gone, and goes on with the shard's newest manifest.
///
/// The order of reading matters: manifests first, so that the ledger reaches at least as far as any of them;
/// then the flushes, since each is written before the first entry that names it; the shard map last, so that
/// it is at least as new as any flush that was made with it.
///
/// # Errors
/// What the bucket says when it cannot be read. What is wrong *in* it is a finding.
pub fn verify<'a>(
    bucket: &'a Bucket,
    now: TimestampMs,
    progress: &'a mut (dyn FnMut(Progress) + Send),
) -> LocalBoxFuture<'a, Result<VerifyReport>> {
    Box::pin(run(Check::new(bucket.clone(), now, progress)))
}

/// As [`verify`], but state objects and segments that `journal` remembers, and of which nothing else has changed, are not
/// read again: they are only asked for, and what was found in them is reported again. What is checked is added to the journal, object by object.
///
/// # Errors
/// As [`verify`].
pub fn verify_resuming<'a>(
    bucket: &'a Bucket,
    now: TimestampMs,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    journal: &'a mut Journal,
) -> LocalBoxFuture<'a, Result<VerifyReport>> {
    let mut check = Check::new(bucket.clone(), now, progress);
    check.journal = Some(journal);
    Box::pin(run(check))
}

async fn run(mut check: Check<'_>) -> Result<VerifyReport> {
    let check = &mut check;
    let (manifests, histories) = manifests::check_manifests(check).await?;
    let mut ledger = chains::check_chains(check).await?;
    fills::check_fills(check, &mut ledger).await?;
    metadata::check_sources(check, &ledger).await?;
    metadata::check_completeness(check).await?;
    metadata::check_run_records(check).await?;
    manifests::check_positions(check, &manifests, &mut ledger);
    let flushes = flushes::check_flushes(check, &ledger).await?;
    let made_with = flushes.iter().map(|flush| &flush.contents.made_with);
    let newest_map = made_with.map(|versions| versions.shard_map_version).max();
    let shard_map = metadata::check_shard_map(check, newest_map).await?;
    let truth = Truth::new(&ledger, histories, shard_map);
    check.expect(&flushes, &manifests);
    let bound = metadata::check_state_bounds(check).await?;
    let gone = state_objects::Gone::new(bound);
    let (recounts, gone) = state_objects::check_objects(check, truth, (&flushes, gone)).await?;
    damages::set_accepted_aside(check, &manifests);
    damages::check_damages(check, &manifests);
    let deletes = deletes::check_deletes(check, &manifests).await?;
    let (last, live) = segments::check_segments(check, &manifests, &deletes).await?;
    // Else the counts differ for a reason that is reported already, or state is rightly gone.
    if check.input_is_sound() && gone.objects == 0 {
        conservation::check_recounts(check, &manifests, &recounts);
    }
    conservation::check_counts(check, &last);
    accounts::check_accounts(check, &last, &live).await?;
    unclaimed::check_unclaimed(check, &ledger, check.now).await?;
    Ok(check.report(&last))
}

/// What a check has seen so far.
struct Check<'p> {
    bucket: Bucket,
    now: TimestampMs,
    findings: Vec<Finding>,
    notes: Vec<Finding>,
    accepted: Vec<Finding>,
    /// Spans of flushes that no ledger entry of the flush covers.
    unclaimed: Vec<UnclaimedSpan>,
    checked: Checked,
    checked_before: CheckedBefore,
    progress: Progress,
    report_progress: &'p mut (dyn FnMut(Progress) + Send),
    journal: Option<&'p mut Journal>,
}

impl<'p> Check<'p> {
    fn new(
        bucket: Bucket,
        now: TimestampMs,
        report_progress: &'p mut (dyn FnMut(Progress) + Send),
    ) -> Self {
        Self {
            bucket,
            now,
            findings: Vec::new(),
            notes: Vec::new(),
            accepted: Vec::new(),
            unclaimed: Vec::new(),
            checked: Checked::default(),
            checked_before: CheckedBefore::default(),
            progress: Progress::default(),
            report_progress,
            journal: None,
        }
    }

    fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Whether nothing is wrong with what the compactor reads: ledger, flushes, state, shard map.
    fn input_is_sound(&self) -> bool {
        let is_output = |finding: &Finding| {
            matches!(
                finding.object.parse(),
                Ok(ObjectKey::Manifest { .. }
                    | ObjectKey::Segment { .. }
                    | ObjectKey::Quarantine { .. }
                    | ObjectKey::Seal { .. }
                    | ObjectKey::Leaf { .. }
                    | ObjectKey::Account { .. }
                    | ObjectKey::RunRecord { .. })
            )
        };
        self.findings.iter().all(is_output)
    }

    fn expect(&mut self, flushes: &[flushes::LiveFlush], manifests: &manifests::Manifests) {
        let objects = flushes.iter().flat_map(|flush| &flush.contents.objects);
        let segments = manifests.values().flat_map(|manifest| &manifest.segments);
        let sizes = objects.map(|object| object.object_bytes);
        let sizes = sizes.chain(segments.map(|segment| segment.summary.size_bytes));
        for object_bytes in sizes {
            self.progress.objects_total += 1;
            self.progress.bytes_total += object_bytes;
        }
    }

    /// Segments that were not known of when the check began.
    fn expect_more(&mut self, segments: &[SegmentEntry]) {
        for segment in segments {
            self.progress.objects_total += 1;
            self.progress.bytes_total += segment.summary.size_bytes;
        }
    }

    /// What the journal remembers of an object, if there is one; `fingerprint` is asked for only then.
    fn known(&self, key: &str, fingerprint: impl FnOnce() -> Fingerprint) -> Known {
        let journal = self.journal.as_ref();
        journal.map_or_else(Known::default, |it| it.known(key, fingerprint()))
    }

    fn object_done(&mut self, (key, object_bytes): (&str, u64), known: &Known, seen: Seen) {
        if let Some((_, at)) = &known.recalled {
            let before = &mut self.checked_before;
            before.objects += 1;
            before.object_bytes += object_bytes;
            let first = before.first_at_ms.unwrap_or(at.0);
            before.first_at_ms = Some(first.min(at.0));
        } else if let (Some(journal), Some(fingerprint)) = (&mut self.journal, known.fingerprint)
            && !seen.is_passing
        {
            journal.note((key, fingerprint), &seen, self.now);
        }
        self.findings.extend(seen.findings);
        self.progress.objects_done += 1;
        self.progress.bytes_done += object_bytes;
        self.progress.bytes_before = self.checked_before.object_bytes;
        self.progress.findings = self.findings.len() as u64;
        (self.report_progress)(self.progress);
    }

    fn report(&mut self, manifests: &manifests::Manifests) -> VerifyReport {
        let mut digest = skein_shared::format::digest::ContentDigest::EMPTY;
        for manifest in manifests.values() {
            digest.add(manifest.live_digest());
        }
        VerifyReport {
            findings: std::mem::take(&mut self.findings),
            notes: std::mem::take(&mut self.notes),
            accepted: std::mem::take(&mut self.accepted),
            checked: self.checked,
            checked_before: self.checked_before,
            points: manifests.values().map(ShardManifest::live_points).sum(),
            digest: digest.to_string(),
        }
    }
}

impl Checked {
    /// A segment or rollup was looked at.
    fn segment(&mut self, entry: &SegmentEntry, compared_buckets: u64) {
        let (objects, bytes) = if entry.resolution.is_raw() {
            (&mut self.segments, &mut self.segment_bytes)
        } else {
            (&mut self.rollups, &mut self.rollup_bytes)
        };
        *objects += 1;
        *bytes += entry.summary.size_bytes;
        self.compared_buckets += compared_buckets;
    }
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}
