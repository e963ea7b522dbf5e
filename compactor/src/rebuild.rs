//! `skein compact rebuild`: segments of windows made anew from state, in place of the live ones.
//!
//! Everything that the shard's manifest has taken in is read again, the points of the chosen windows are written as one
//! segment each, and one commit puts them in the place of all that was live there. A window whose new segment has
//! the bytes of its live one is left as it is: that is what a rebuild of sound segments must give (SK-10). The
//! live segments are not read, so that damaged ones are repaired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use skein_config::compactor::CompactorSettings;
use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::{Part, Step};
use skein_shared::format::compact_result::Delta;
use skein_shared::format::shard_manifest::{
    ConservationCounts, Layer, SegmentEntry, ShardManifest,
};
use skein_shared::ids::ShardId;
use skein_shared::offset::Offset;
use skein_shared::window::{TimeSpan, TimestampMs, Window};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::manifest_commit;
use crate::plan::{ChainInput, PlanInput, next_step};
use crate::plan_input::{self, Reach};
use crate::report::{OnProgress, ProgressCounter};
use crate::run::{RunOptions, rules_of};
use crate::task;
use crate::task_context::{TaskContext, TaskMemory};

/// What to rebuild.
#[derive(Debug, Clone)]
pub struct RebuildOptions {
    /// Which shards; all when there are none.
    pub shards: BTreeSet<ShardId>,
    /// The windows that touch it.
    pub span: TimeSpan,
    /// Whether anything is committed.
    pub mode: Mode,
}

/// Whether anything is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What differs takes the place of what is live.
    Replace,
    /// The live segments are only compared with what a rebuild gives.
    Compare,
}

/// What became of one window of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRow {
    /// Whose.
    pub shard: ShardId,
    /// Which.
    pub window: Window,
    /// Live segments before.
    pub segments: usize,
    /// Points in them; a point in two of them counts twice.
    pub points_before: u64,
    /// Points in what was made anew.
    pub points_after: u64,
    /// How the two compare.
    pub found: Found,
}

/// How live segments compare with what was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Byte by byte the same.
    Same,
    /// The same points in other segments: overlays that had not been merged, or another encoder.
    OtherBytes,
    /// Other points.
    OtherPoints,
}

/// Rebuilds, or compares. Each shard is committed by itself: what is done stays done when it is interrupted.
///
/// # Errors
/// [`Error::NotRebuildable`] when a shard's records were compacted under other limits than now; not found when state
/// is no longer there; [`Error::Superseded`] when a compactor has merged the same windows meanwhile; what reading and
/// writing give.
pub fn rebuild<'a>(
    settings: &'a CompactorSettings,
    bucket: &'a Bucket,
    options: RunOptions,
    what: &'a RebuildOptions,
    (cancel, progress): (CancellationToken, OnProgress),
) -> LocalBoxFuture<'a, Result<Vec<WindowRow>>> {
    Box::pin(async move {
        let delay = settings.watermark_delay;
        let loaded = plan_input::load(bucket, delay, Reach::Everything).await?;
        let Some((input, manifests)) = loaded else {
            return Ok(Vec::new());
        };
        let is_chosen = |shard: &ShardId| what.shards.is_empty() || what.shards.contains(shard);
        let mut work = Vec::new();
        for (_, manifest) in manifests.into_iter().filter(|(shard, _)| is_chosen(shard)) {
            if let Some(step) = step_of(&manifest, &input)? {
                work.push((manifest, step));
            }
        }
        let bytes = work.iter().map(|(_, step)| step.object_bytes()).sum();
        let rules = rules_of(settings, &options, &input);
        let mut context = TaskContext::new(
            (settings, TaskMemory::of_one(settings)),
            bucket,
            (&rules, options.timelines),
            input.shard_map.clone(),
            (
                cancel.clone(),
                ProgressCounter::new(progress, work.len(), bytes),
            ),
        )?;
        context.span = what.span;
        let context = Arc::new(context);
        let mut rows = Vec::new();
        for (manifest, step) in work {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            rows.extend(rebuild_shard(&context, &manifest, step, what).await?);
            context.progress.shard_done();
        }
        Ok(rows)
    })
}

/// Everything that the manifest has taken in, as one step; `None` when that is nothing.
fn step_of(manifest: &ShardManifest, input: &PlanInput) -> Result<Option<Step>> {
    if !manifest.earlier_limits.is_empty() {
        return Err(Error::NotRebuildable {
            shard: manifest.shard,
        });
    }
    let mut taken_in = PlanInput {
        chains: BTreeMap::new(),
        fills: BTreeMap::new(),
        ..input.clone()
    };
    for (chain, ledger) in &input.chains {
        let to = manifest.positions.get(chain).copied();
        let until = ledger.until(to.unwrap_or(ledger.start));
        taken_in.chains.insert(chain.clone(), until);
    }
    for (hole, fills) in &input.fills {
        let to = manifest.fills.get(hole).copied();
        let until = fills.until(to.unwrap_or(fills.start));
        taken_in.fills.insert(hole.clone(), until);
    }
    let nothing = ShardManifest::empty(manifest.shard);
    let step = next_step(manifest.shard, &nothing, &taken_in, u64::MAX)?;
    Ok(step.map(|step| Step {
        complete_to: input.watermark.max(closed_to(manifest)),
        ..step
    }))
}

/// The end of the last window that has a base: a window that was closed is not opened again.
fn closed_to(manifest: &ShardManifest) -> Option<TimestampMs> {
    let bases = manifest.raw_segments().filter(|s| s.layer == Layer::Base);
    bases.map(|segment| segment.window.span().to).max()
}

async fn rebuild_shard(
    context: &Arc<TaskContext>,
    manifest: &ShardManifest,
    step: Step,
    what: &RebuildOptions,
) -> Result<Vec<WindowRow>> {
    let bare = ShardManifest {
        segments: Vec::new(),
        ..manifest.clone()
    };
    let (mut delta, _) = task::make(context, &bare, Part::WHOLE, step).await?;
    let rows = compare(manifest, &delta.added, what.span);
    let is_kept = |window: &Window| {
        let row = rows.iter().find(|row| row.window == *window);
        row.is_some_and(|row| row.found != Found::Same) && what.mode == Mode::Replace
    };
    // Nobody has seen what is not committed.
    for segment in delta
        .added
        .extract_if(.., |segment| !is_kept(&segment.window))
    {
        context.bucket.delete(&segment.key).await?;
    }
    let replaced = rows.iter().filter(|row| is_kept(&row.window));
    delta.replaced = replaced
        .map(|row| (row.window, keys_in(manifest, row.window)))
        .collect();
    if !delta.replaced.is_empty() {
        commit(context, manifest, delta, &rows).await?;
    }
    Ok(rows)
}

/// Puts what was rebuilt in the place of what was live.
async fn commit(
    context: &Arc<TaskContext>,
    manifest: &ShardManifest,
    mut delta: Delta,
    rows: &[WindowRow],
) -> Result<()> {
    delta.advances.clear();
    delta.fill_advances.clear();
    // Listed since the records were compacted.
    delta.quarantine.clear();
    delta.counts = ConservationCounts::default();
    for row in rows
        .iter()
        .filter(|row| delta.replaced.contains_key(&row.window))
    {
        let merged = row.points_before.checked_sub(row.points_after);
        delta.counts.duplicates += merged.ok_or(Error::Unconserved {
            shard: row.shard,
            expected: row.points_before,
            live: row.points_after,
        })?;
    }
    manifest_commit::commit(&context.bucket, manifest.clone(), &delta).await?;
    Ok(())
}

fn keys_in(manifest: &ShardManifest, window: Window) -> Vec<String> {
    let live = manifest.raw_segments().filter(|s| s.window == window);
    live.map(|segment| segment.key.clone()).collect()
}

/// Every window that has live segments or new ones.
fn compare(manifest: &ShardManifest, added: &[SegmentEntry], span: TimeSpan) -> Vec<WindowRow> {
    let new: Vec<&SegmentEntry> = added.iter().filter(|s| s.resolution.is_raw()).collect();
    let in_span = |window: &Window| window.span().overlaps(span);
    let windows = manifest.raw_segments().chain(new.iter().copied());
    let windows: BTreeSet<Window> = windows.map(|s| s.window).filter(in_span).collect();
    let row = |window: Window| {
        let live = manifest.raw_segments().filter(|s| s.window == window);
        let live: Vec<&SegmentEntry> = live.collect();
        let new: Vec<&&SegmentEntry> = new.iter().filter(|s| s.window == window).collect();
        let points_before = live.iter().map(|s| s.summary.points).sum();
        let points_after = new.iter().map(|s| s.summary.points).sum();
        let found = match (live.as_slice(), new.as_slice()) {
            ([live], [new]) if live.summary == new.summary => Found::Same,
            ([live], [new]) if live.summary.digest == new.summary.digest => Found::OtherBytes,
            ([_, _, ..], _) if points_after <= points_before => Found::OtherBytes,
            _ => Found::OtherPoints,
        };
        WindowRow {
            shard: manifest.shard,
            window,
            segments: live.len(),
            points_before,
            points_after,
            found,
        }
    };
    windows.into_iter().map(row).collect()
}

impl ChainInput {
    /// The entries before `end`.
    fn until(&self, end: Offset) -> Self {
        let entries = self.entries.iter().take_while(|entry| entry.span.to <= end);
        Self {
            start: self.start,
            entries: entries.cloned().collect(),
        }
    }
}
