//! Makes a step true: the shard's next manifest, by create-if-absent.
//!
//! A commit states the windows whose segments it replaces and the positions that it advances. When another
//! compactor was first, it is issued again at the next number as long as none of those has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::Advance;
use skein_shared::format::compact_result::Delta;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::{
    Layer, LimitsEpoch, ManifestVersions, SealRef, SegmentEntry, ShardManifest,
};
use skein_shared::ids::{Generation, WriteId};
use skein_shared::manifest_log::{self, Committed};
use skein_shared::offset::Offset;
use skein_shared::window::Window;

use crate::error::{Error, Result};
use crate::org_accounts::{Carried, OrgChange, carry_on};

/// Commits `delta` on top of `base`, or of what was committed since.
///
/// # Errors
/// [`Error::Superseded`] when what was committed since touches the same chains or windows: plan again from
/// the newest manifest. [`Error::Unconserved`] when points would be lost. The bucket's; of kind `Transient`
/// it leaves open whether the commit stands, and the next plan sees it.
pub async fn commit(bucket: &Bucket, base: ShardManifest, delta: &Delta) -> Result<ShardManifest> {
    let next = |base: &ShardManifest| {
        let orgs = OrgChange::counted(delta.orgs.clone());
        Ok((apply(base, delta)?, orgs))
    };
    commit_next(bucket, base, next).await
}

/// Commits what `next` makes of `base`, or of what was committed since, with the account of its orgs: it answers what is to
/// become of that, too.
///
/// # Errors
/// What `next` says, and the bucket's, as [`commit`].
pub async fn commit_next(
    bucket: &Bucket,
    base: ShardManifest,
    next: impl Fn(&ShardManifest) -> Result<(ShardManifest, OrgChange)>,
) -> Result<ShardManifest> {
    let mut base = base;
    loop {
        let (mut next, orgs) = next(&base)?;
        match carry_on(bucket, (&base, &next), &orgs).await? {
            Carried::On(account) => next.account = account,
            Carried::Overtaken(newest) => {
                base = *newest;
                continue;
            }
        }
        let id = WriteId::random();
        manifest_log::store_leaves(bucket, &mut next, id).await?;
        match manifest_log::commit(bucket, &next, id).await? {
            Committed::Ours => return Ok(next),
            Committed::Lost => {
                base = manifest_log::newest(bucket, next.shard).await?;
                if base.generation < next.generation {
                    let reason =
                        "the store says that the generation is taken, and does not list it";
                    return Err(superseded(&base, reason));
                }
            }
        }
    }
}

/// The manifest that follows `base` once `delta` is true.
///
/// # Errors
/// As [`commit`], without the bucket's.
pub fn apply(base: &ShardManifest, delta: &Delta) -> Result<ShardManifest> {
    check_unchanged(base, delta)?;
    let generation = Generation(base.generation.0 + 1);
    let mut next = base.clone();
    next.generation = generation;
    next.versions = ManifestVersions {
        timeline: base.versions.timeline.max(delta.versions.timeline),
        ..delta.versions
    };
    let is_new_epoch = base.versions.limits != delta.versions.limits;
    if is_new_epoch && base.generation > Generation(0) {
        let epoch = LimitsEpoch {
            limits: base.versions.limits,
            positions: base.positions.clone(),
            fills: base.fills.clone(),
        };
        next.earlier_limits.insert(0, epoch);
    }
    for (chain, advance) in &delta.advances {
        next.positions.insert(chain.clone(), advance.to);
    }
    for (hole, advance) in &delta.fill_advances {
        next.fills.insert(hole.clone(), advance.to);
    }
    let replaced: BTreeSet<&String> = delta.replaced.values().flatten().collect();
    // A rollup goes with the segment that it was computed from.
    let is_replaced = |segment: &SegmentEntry| {
        let of = segment.rollup_of.as_ref().unwrap_or(&segment.key);
        replaced.contains(of)
    };
    next.segments.retain(|segment| !is_replaced(segment));
    let added = delta.added.iter().cloned();
    next.segments.extend(added.map(|segment| SegmentEntry {
        generation,
        ..segment
    }));
    // Stable: segments of one generation stay in the order in which they were written.
    next.segments
        .sort_by_key(|segment| (segment.window, segment.generation));
    next.quarantine.extend(delta.quarantine.clone());
    let seal = delta.seal.iter().cloned();
    next.seals
        .extend(seal.map(|seal| SealRef { generation, ..seal }));
    keep_seals_of_live(&mut next);
    next.damages.extend(delta.damages.clone());
    next.counts.add(delta.counts);
    next.complete_to = base.complete_to.max(delta.complete_to);
    next.deletes_applied = deletes_applied(base, delta);
    for (delete, points) in &delta.deletes.deleted {
        *next.deleted.entry(*delete).or_default() += points;
    }
    check_conserved(&next)?;
    Ok(next)
}

/// Leaves out the seals of windows that have no live segments of raw points.
pub fn keep_seals_of_live(next: &mut ShardManifest) {
    let live: BTreeSet<Window> = next.raw_segments().map(|segment| segment.window).collect();
    next.seals.retain_mut(|seal| {
        seal.windows.retain(|window| live.contains(window));
        !seal.windows.is_empty()
    });
}

/// Up to which delete no live segment holds any point: as far as the delta says, unless a segment has come since it was
/// made that knows of fewer deletes.
fn deletes_applied(base: &ShardManifest, delta: &Delta) -> u64 {
    let deletes = &delta.deletes;
    let since = base
        .raw_segments()
        .filter(|s| s.generation > deletes.made_on);
    let known = since.map(|segment| segment.deletes_applied).min();
    let applied = deletes.applied.min(known.unwrap_or(u64::MAX));
    base.deletes_applied.max(applied)
}

fn check_unchanged(base: &ShardManifest, delta: &Delta) -> Result<()> {
    // A collector of garbage may have deleted what was written for a generation before this one.
    let segments = delta.added.iter().map(|segment| segment.generation);
    let lists = delta.quarantine.iter().map(|list| &list.key);
    let seals = delta.seal.iter().map(|seal| &seal.key);
    let lists = lists.chain(seals).filter_map(|key| written_for(key));
    if segments
        .chain(lists)
        .any(|made_for| made_for < base.void_before)
    {
        let reason = "a collection of garbage has declared its segments void";
        return Err(superseded(base, reason));
    }
    // What is said to be gone must not come back.
    if delta.deletes.in_force < base.deletes_applied {
        let reason = "it was made without deletes whose points are gone";
        return Err(superseded(base, reason));
    }
    // What it has left out may be ours by the timelines that the shard goes by.
    if delta.versions.timeline < base.versions.timeline && delta.counts.not_owned > 0 {
        let reason = "it left points out by older timelines than the shard goes by";
        return Err(superseded(base, reason));
    }
    // Else points of it would have been dropped.
    let is_emptied = |segment: &SegmentEntry| base.expiry.is_emptied(segment.window);
    let has_changed = base.expiry.changed_at > delta.deletes.made_on;
    if has_changed && delta.added.iter().any(is_emptied) {
        let reason = "a window that it has points for has expired";
        return Err(superseded(base, reason));
    }
    for (chain, advance) in &delta.advances {
        let position = base.positions.get(chain).copied();
        check_position(base, chain, position, advance)?;
    }
    for (hole, advance) in &delta.fill_advances {
        let position = base.fills.get(hole).copied();
        check_position(base, hole, position, advance)?;
    }
    for (window, keys) in &delta.replaced {
        // What was added beside them since does no harm: orders decide, not the place among the segments.
        let of_window = base.raw_segments().filter(|s| s.window == *window);
        let live: BTreeMap<_, _> = of_window.map(|segment| (&segment.key, segment)).collect();
        let Some(merged) = keys
            .iter()
            .map(|key| live.get(key))
            .collect::<Option<Vec<_>>>()
        else {
            let reason = format!("window {window} has lost a segment that was merged");
            return Err(superseded(base, reason));
        };
        // Of what was written after a delete, a segment made without that delete would no longer tell.
        let in_force = delta.deletes.in_force;
        if merged
            .iter()
            .any(|segment| segment.deletes_applied > in_force)
        {
            let reason = format!("window {window} has a segment that was made with more deletes");
            return Err(superseded(base, reason));
        }
    }
    check_only_base(base, delta)
}

/// A window has one base: two would not tell which of them was written later.
fn check_only_base(base: &ShardManifest, delta: &Delta) -> Result<()> {
    let windows = delta.seal.iter().flat_map(|seal| &seal.windows);
    for window in windows {
        let replaced = delta.replaced.get(window);
        let stays = |segment: &&SegmentEntry| {
            let is_replaced = replaced.is_some_and(|keys| keys.contains(&segment.key));
            segment.window == *window && segment.layer == Layer::Base && !is_replaced
        };
        if base.raw_segments().any(|segment| stays(&segment)) {
            let reason = format!("window {window} has got another base");
            return Err(superseded(base, reason));
        }
    }
    Ok(())
}

fn written_for(key: &str) -> Option<Generation> {
    if let ObjectKey::Quarantine { generation, .. } | ObjectKey::Seal { generation, .. } =
        key.parse().ok()?
    {
        return Some(generation);
    }
    None
}

fn check_position(
    base: &ShardManifest,
    track: &dyn Display,
    position: Option<Offset>,
    advance: &Advance,
) -> Result<()> {
    if position == advance.from {
        return Ok(());
    }
    let [now, then] = [position, advance.from].map(Option::unwrap_or_default);
    let reason = format!("{track} stands at {now}, the step began at {then}");
    Err(superseded(base, reason))
}

/// Whether every point is accounted for, and every rollup fits.
///
/// # Errors
/// [`Error::Unconserved`] and [`Error::RollupDiffers`].
pub fn check_conserved(next: &ShardManifest) -> Result<()> {
    let raw = next.raw_by_key();
    for rollup in next.rollups() {
        raw.check_rollup(rollup)
            .map_err(|reason| Error::RollupDiffers {
                shard: next.shard,
                rollup: rollup.key.clone(),
                reason: reason.to_string(),
            })?;
    }
    let (expected, live) = (next.counts.expected_points(), next.live_points());
    if expected == Some(live) {
        return Ok(());
    }
    Err(Error::Unconserved {
        shard: next.shard,
        expected: expected.unwrap_or(0),
        live,
    })
}

fn superseded(found: &ShardManifest, reason: impl Into<String>) -> Error {
    Error::Superseded {
        shard: found.shard,
        generation: found.generation,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests;
