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
mod state_objects;
mod rollups;
mod segments;
mod conservation;

use futures::future::LocalBoxFuture;
use serde::Serialize;
use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::window::TimestampMs;

use crate::inspect::finding::Finding;
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
    Box::pin(async move {
        let mut check = Check::new(bucket.clone(), progress);
        let (manifests, histories) = manifests::check_manifests(&mut check).await?;
        let mut ledger = chains::check_chains(&mut check).await?;
        fills::check_fills(&mut check, &mut ledger).await?;
        metadata::check_sources(&mut check, &ledger).await?;
        metadata::check_completeness(&mut check).await?;
        manifests::check_positions(&mut check, &manifests, &mut ledger);
        let flushes = flushes::check_flushes(&mut check, &ledger).await?;
        let made_with = flushes.iter().map(|flush| &flush.contents.made_with);
        let newest_map = made_with.map(|versions| versions.shard_map_version).max();
        let shard_map = metadata::check_shard_map(&mut check, newest_map).await?;
        let truth = Truth::new(&ledger, histories, shard_map);
        check.expect(&flushes, &manifests);
        let recounts = state_objects::check_objects(&mut check, truth, &flushes).await?;
        damages::set_accepted_aside(&mut check, &manifests);
        damages::check_damages(&mut check, &manifests);
        let deletes = deletes::check_deletes(&mut check, &manifests).await?;
        let last = segments::check_segments(&mut check, &manifests, &deletes).await?;
        // Else the counts differ for a reason that is reported already.
        if check.input_is_sound() {
            conservation::check_recounts(&mut check, &manifests, &recounts);
        }
        conservation::check_counts(&mut check, &last);
        unclaimed::check_unclaimed(&mut check, &ledger, now).await?;
        Ok(check.report(&last))
    })
}

/// What a check has seen so far.
struct Check<'p> {
    bucket: Bucket,
    findings: Vec<Finding>,
    notes: Vec<Finding>,
    accepted: Vec<Finding>,
    /// Spans of flushes that no ledger entry of the flush covers.
    unclaimed: Vec<UnclaimedSpan>,
    checked: Checked,
    progress: Progress,
    report_progress: &'p mut (dyn FnMut(Progress) + Send),
}

impl<'p> Check<'p> {
    fn new(bucket: Bucket, report_progress: &'p mut (dyn FnMut(Progress) + Send)) -> Self {
        Self {
            bucket,
            findings: Vec::new(),
            notes: Vec::new(),
            accepted: Vec::new(),
            unclaimed: Vec::new(),
            checked: Checked::default(),
            progress: Progress::default(),
            report_progress,
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
                    | ObjectKey::Leaf { .. })
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

    fn object_done(&mut self, object_bytes: u64, findings: Vec<Finding>) {
        self.findings.extend(findings);
        self.progress.objects_done += 1;
        self.progress.bytes_done += object_bytes;
        self.progress.findings = self.findings.len() as u64;
        (self.report_progress)(self.progress);
    }

    fn report(self, manifests: &manifests::Manifests) -> VerifyReport {
        let mut digest = skein_shared::format::digest::ContentDigest::EMPTY;
        for manifest in manifests.values() {
            digest.add(manifest.live_digest());
        }
        VerifyReport {
            findings: self.findings,
            notes: self.notes,
            accepted: self.accepted,
            checked: self.checked,
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
