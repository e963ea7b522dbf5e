//! `skein compact rebuild`: segments of windows made anew from state, in place of the live ones.
//!
//! Everything that the shard's manifest has taken in is read again, the points of the chosen closed windows are written as
//! one segment each, and one commit puts them in the place of all that was live there. A window whose new segment has
//! the bytes of its live one is left as it is: that is what a rebuild of sound segments must give (SK-10). Where the
//! manifest says the same but the live object is not what it says, the new one takes its place.
//!
//! Damaged state that the shard has gone past was never taken in: it is left out, mended or not, until its release has
//! brought it in. State that was sound when it was compacted and is damaged now is not rebuilt from.

mod comparison;
mod org_points;
mod window_account;
mod replacement;
mod state_check;
mod coverage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use skein_config::compactor::CompactorSettings;
use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::{Part, Step};
use skein_shared::format::compact_result::Delta;
use skein_shared::format::damage::{Damage, DamageRef};
use skein_shared::format::shard_manifest::{Layer, ShardManifest};
use skein_shared::ids::{Generation, ShardId};
use skein_shared::offset::Offset;
use skein_shared::payload::Limits;
use skein_shared::window::{TimeSpan, TimestampMs, Window};
use tokio_util::sync::CancellationToken;

use crate::delete_plan::may_hold;
use crate::error::{Error, Result};
use crate::metrics;
use crate::plan::{ChainInput, PlanInput, next_step};
use crate::plan_input::{self, Reach};
use crate::quarantine_list;
use crate::report::{OnProgress, ProgressCounter};
use crate::run::{RunOptions, rules_of};
use crate::seal_history::SealHistory;
use crate::task;
use crate::task_context::{TaskContext, TaskMemory};

use comparison::{compare, is_sound};
use coverage::covered;
use replacement::commit;
use state_check::{check_state, whole_from};

/// How often a shard is planned that others get ahead of.
const MOST_PLANS: usize = 4;

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
    /// What is damaged, or has the same points in other segments, is replaced.
    Replace,
    /// So is what has other points: after a bug, where overlays hold a point twice, or where a timeline has changed.
    ReplaceOtherPoints,
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
    /// Whether a delete has not been carried out on the live segments: then other points are what is to be.
    pub waits_for_deletes: bool,
    /// Whether what was made anew is live now.
    pub is_replaced: bool,
}

/// How live segments compare with what was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Byte by byte the same.
    Same,
    /// An object, of the segment or of a rollup, is missing or is not what the manifest says.
    Damaged,
    /// The same points in other segments: overlays that had not been merged, or another encoder.
    OtherBytes,
    /// Other points: some are missing, too many, or twice in overlays.
    OtherPoints,
}

/// Rebuilds, or compares. Each shard is committed by itself: what is done stays done when it is interrupted. A shard in which
/// others have carried out a delete meanwhile, or sealed a window, is planned again.
///
/// # Errors
/// [`Error::StateGone`] when state was deleted that a window may need; [`Error::NotRebuildable`] when a shard's records
/// were compacted under other limits than now, or the ledger no longer reaches as far; [`Error::StateDamaged`] when state that was taken in is damaged or no longer there; what reading and
/// writing give.
pub fn rebuild<'a>(
    settings: &'a CompactorSettings,
    bucket: &'a Bucket,
    options: RunOptions,
    what: &'a RebuildOptions,
    (cancel, progress): (CancellationToken, OnProgress),
) -> LocalBoxFuture<'a, Result<Vec<WindowRow>>> {
    Box::pin(async move {
        let mut chosen = what.clone();
        let mut rows = Vec::new();
        for plan in 1..=MOST_PLANS {
            let controls = (cancel.clone(), Arc::clone(&progress));
            let once = Box::pin(rebuild_once(settings, bucket, &options, &chosen, controls));
            let (done, overtaken) = once.await?;
            rows.extend(done);
            chosen.shards = overtaken.keys().copied().collect();
            match overtaken.into_values().next() {
                None => break,
                Some(error) if plan == MOST_PLANS => return Err(error),
                Some(_) => {}
            }
        }
        rows.sort_by_key(|row| (row.shard, row.window));
        Ok(rows)
    })
}

/// As [`rebuild`], and answers the shards in which others got ahead, each with what it met.
async fn rebuild_once(
    settings: &CompactorSettings,
    bucket: &Bucket,
    options: &RunOptions,
    what: &RebuildOptions,
    (cancel, progress): (CancellationToken, OnProgress),
) -> Result<(Vec<WindowRow>, BTreeMap<ShardId, Error>)> {
    let (mut rows, mut overtaken) = (Vec::new(), BTreeMap::new());
    let loaded = plan_input::load(bucket, settings, Reach::Everything).await?;
    let Some((input, manifests)) = loaded else {
        return Ok((rows, overtaken));
    };
    let rules = rules_of(settings, options, &input);
    let is_chosen = |shard: &ShardId| what.shards.is_empty() || what.shards.contains(shard);
    let mut work = Vec::new();
    for (_, manifest) in manifests.into_iter().filter(|(shard, _)| is_chosen(shard)) {
        check_state(&manifest, &input, (what.span, &rules.limits))?;
        if let Some(step) = step_of(&manifest, &input, &rules.limits)? {
            work.push((manifest, step));
        }
    }
    let whole_from = whole_from(&input, &rules.limits);
    let bytes = work.iter().map(|(_, step)| step.object_bytes()).sum();
    let timelines = options.timelines.clone();
    let mut context = TaskContext::new(
        (settings, TaskMemory::of_one(settings)),
        bucket,
        (&rules, timelines, input.deletes.entries.clone()),
        input.shard_map.clone(),
        (
            cancel.clone(),
            ProgressCounter::new(progress, work.len(), bytes),
        ),
    )?;
    context.span = what.span;
    for (manifest, _) in &work {
        let missing = left_out(bucket, manifest).await?;
        context.left_out.insert(manifest.shard, missing);
    }
    let context = Arc::new(context);
    for (manifest, step) in work {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match rebuild_shard(&context, &manifest, step, (what, whole_from)).await {
            Ok(done) => rows.extend(done),
            Err(error @ Error::Superseded { .. }) => {
                metrics::commit_superseded(manifest.shard, &error);
                overtaken.insert(manifest.shard, error);
            }
            Err(error) => return Err(error),
        }
        context.progress.shard_done();
    }
    Ok((rows, overtaken))
}

/// Everything that the manifest has taken in, as one step; `None` when that is nothing.
///
/// # Errors
/// [`Error::NotRebuildable`] when limits differ or the ledger no longer reaches as far: less would come out.
fn step_of(manifest: &ShardManifest, input: &PlanInput, limits: &Limits) -> Result<Option<Step>> {
    let refuse = |reason: &str| Error::NotRebuildable {
        shard: manifest.shard,
        reason: reason.to_owned(),
    };
    let is_new = manifest.generation == Generation(0);
    if !is_new && (!manifest.earlier_limits.is_empty() || manifest.versions.limits != *limits) {
        return Err(refuse(
            "its records were held to other [limits] than those of today",
        ));
    }
    let mut taken_in = PlanInput {
        chains: BTreeMap::new(),
        fills: BTreeMap::new(),
        ..input.clone()
    };
    // Segments made from nothing hold nothing to be taken out.
    taken_in.deletes.due = 0;
    for (chain, ledger) in &input.chains {
        let to = manifest.positions.get(chain).copied();
        let until = ledger.until(to.unwrap_or(ledger.start));
        let until = until.kept_from(input.bound.of_chain(chain));
        taken_in.chains.insert(chain.clone(), until);
    }
    for (hole, fills) in &input.fills {
        let to = manifest.fills.get(hole).copied();
        let until = fills.until(to.unwrap_or(fills.start));
        let until = until.kept_from(input.bound.of_hole(hole));
        taken_in.fills.insert(hole.clone(), until);
    }
    let nothing = ShardManifest::empty(manifest.shard);
    let step = next_step(manifest.shard, &nothing, &taken_in, u64::MAX)?.unwrap_or_default();
    if !reaches(&step, manifest, input) {
        return Err(refuse(
            "the ledger no longer holds all that the manifest has taken in",
        ));
    }
    Ok((!step.is_empty()).then(|| Step {
        complete_to: closed_to(manifest),
        ..step
    }))
}

/// Whether a step from nothing, or from where state is kept, ends exactly where the manifest stands.
fn reaches(step: &Step, manifest: &ShardManifest, input: &PlanInput) -> bool {
    let chains = step
        .advances
        .iter()
        .map(|(chain, advance)| (chain, &advance.to));
    let fills = step
        .fill_advances
        .iter()
        .map(|(hole, advance)| (hole, &advance.to));
    let bound = &input.bound;
    let positions = manifest.positions.iter();
    let positions = positions.filter(|(chain, to)| bound.of_chain(chain) < Some(**to));
    let filled = manifest.fills.iter();
    let filled = filled.filter(|(hole, to)| bound.of_hole(hole) < Some(**to));
    chains.eq(positions) && fills.eq(filled)
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
    (what, whole_from): (&RebuildOptions, TimestampMs),
) -> Result<Vec<WindowRow>> {
    let bare = ShardManifest {
        segments: Vec::new(),
        ..manifest.clone()
    };
    let seals = SealHistory::load(&context.bucket, manifest).await?;
    let (mut delta, report) = task::make(context, &bare, (Part::WHOLE, step), seals).await?;
    if let Some(damage) = delta.damages.first() {
        let refusal = Error::StateDamaged {
            shard: manifest.shard,
            object: damage.object.clone(),
            reason: format!("{} bytes at {} do not read back", damage.bytes, damage.at),
        };
        task::discard(&context.bucket, &delta).await?;
        return Err(refusal);
    }
    // Its records were listed when they were compacted.
    quarantine_list::discard(&context.bucket, &delta.quarantine).await?;
    delta.quarantine.clear();
    // Of the windows that are left as they are nothing is known.
    delta.deletes.applied = 0;
    delta.deletes.deleted.clear();
    let mut rows = compare(manifest, &delta.added, what.span);
    for row in &mut rows {
        let deletes = &context.writer.deletes;
        let mut live = manifest.raw_segments().filter(|s| s.window == row.window);
        row.waits_for_deletes = live.any(|s| may_hold(deletes, manifest, s, u64::MAX));
    }
    for row in &mut rows {
        if row.found == Found::Same && !is_sound(&context.bucket, manifest, row.window).await? {
            row.found = Found::Damaged;
        }
        row.is_replaced = match (what.mode, row.found) {
            (Mode::Compare, _) | (_, Found::Same) => false,
            (Mode::Replace, Found::OtherPoints) => row.waits_for_deletes,
            (Mode::Replace | Mode::ReplaceOtherPoints, _) => true,
        };
    }
    let from = what.span.from.max(whole_from);
    let span = TimeSpan { from, ..what.span };
    let covered = covered(manifest, &rows, (span, &report));
    leave_out(&context.bucket, &mut delta, &rows).await?;
    for row in rows.iter().filter(|row| row.is_replaced) {
        delta
            .replaced
            .insert(row.window, keys_in(manifest, row.window));
    }
    let left = commit(context, manifest, (delta, &covered), &rows).await?;
    for row in &mut rows {
        row.is_replaced &= left.contains(&row.window);
    }
    Ok(rows)
}

/// Takes out of `delta`, and deletes, what is of windows that are left as they are: nobody has seen it.
async fn leave_out(bucket: &Bucket, delta: &mut Delta, rows: &[WindowRow]) -> Result<()> {
    let goes_in = |window: Window| {
        let row = rows.iter().find(|row| row.window == window);
        row.is_some_and(|row| row.is_replaced)
    };
    for segment in delta
        .added
        .extract_if(.., |segment| !goes_in(segment.window))
    {
        bucket.delete(&segment.key).await?;
    }
    if let Some(seal) = &mut delta.seal {
        seal.windows.retain(|window| goes_in(*window));
    }
    if let Some(unused) = delta.seal.take_if(|seal| seal.windows.is_empty()) {
        bucket.delete(&unused.key).await?;
    }
    Ok(())
}

/// What the shard has gone past without taking it in.
async fn left_out(bucket: &Bucket, manifest: &ShardManifest) -> Result<Vec<Damage>> {
    let damages = quarantine_list::damages(bucket, manifest, DamageRef::is_missing).await?;
    if !damages.is_empty() {
        metrics::damages_left_out(manifest.shard, damages.len());
    }
    Ok(damages.into_values().collect())
}

fn keys_in(manifest: &ShardManifest, window: Window) -> Vec<String> {
    let live = manifest.raw_segments().filter(|s| s.window == window);
    live.map(|segment| segment.key.clone()).collect()
}

impl ChainInput {
    /// The entries whose state is certainly kept.
    fn kept_from(self, bound: Option<Offset>) -> Self {
        let start = bound.map_or(self.start, |bound| bound.max(self.start));
        let entries = self.entries.into_iter();
        Self {
            start,
            entries: entries.filter(|e| e.span.from >= start).collect(),
        }
    }

    /// The entries before `end`.
    fn until(&self, end: Offset) -> Self {
        let entries = self.entries.iter().take_while(|entry| entry.span.to <= end);
        Self {
            start: self.start,
            entries: entries.cloned().collect(),
        }
    }
}
