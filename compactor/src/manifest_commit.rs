//! Makes a step true: the shard's next manifest, by create-if-absent.
//!
//! A commit states the windows whose segments it replaces and the positions that it advances. When another
//! compactor was first, it is issued again at the next number as long as none of those has changed.

use std::collections::BTreeSet;
use std::fmt::Display;

use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::Advance;
use skein_shared::format::compact_result::Delta;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::{LimitsEpoch, SealRef, SegmentEntry, ShardManifest};
use skein_shared::ids::{Generation, WriteId};
use skein_shared::manifest_log::{self, Committed};
use skein_shared::offset::Offset;
use skein_shared::window::Window;

use crate::error::{Error, Result};

/// Commits `delta` on top of `base`, or of what was committed since.
///
/// # Errors
/// [`Error::Superseded`] when what was committed since touches the same chains or windows: plan again from
/// the newest manifest. [`Error::Unconserved`] when points would be lost. The bucket's; of kind `Transient`
/// it leaves open whether the commit stands, and the next plan sees it.
pub async fn commit(bucket: &Bucket, base: ShardManifest, delta: &Delta) -> Result<ShardManifest> {
    commit_next(bucket, base, |base| apply(base, delta)).await
}

/// Commits what `next` makes of `base`, or of what was committed since.
///
/// # Errors
/// What `next` says, and the bucket's, as [`commit`].
pub async fn commit_next(
    bucket: &Bucket,
    base: ShardManifest,
    next: impl Fn(&ShardManifest) -> Result<ShardManifest>,
) -> Result<ShardManifest> {
    let mut base = base;
    loop {
        let next = next(&base)?;
        match manifest_log::commit(bucket, &next, WriteId::random()).await? {
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
    next.versions = delta.versions;
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
    let live: BTreeSet<Window> = next.raw_segments().map(|segment| segment.window).collect();
    next.seals.retain_mut(|seal| {
        seal.windows.retain(|window| live.contains(window));
        !seal.windows.is_empty()
    });
    next.damages.extend(delta.damages.clone());
    next.counts.add(delta.counts);
    next.deletes_applied = deletes_applied(base, delta);
    for (delete, points) in &delta.deletes.deleted {
        *next.deleted.entry(*delete).or_default() += points;
    }
    check_conserved(&next)?;
    Ok(next)
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
        let live: BTreeSet<_> = of_window.map(|segment| &segment.key).collect();
        if !keys.iter().all(|key| live.contains(key)) {
            let reason = format!("window {window} has lost a segment that was merged");
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

fn check_conserved(next: &ShardManifest) -> Result<()> {
    for rollup in next.rollups() {
        next.check_rollup(rollup)
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use skein_shared::format::compact_result::DeltaDeletes;
    use skein_shared::format::shard_manifest::{ConservationCounts, ManifestVersions};
    use skein_shared::ids::{Chain, Incarnation, PartitionId, ShardId, SourceName, TopicName};

    fn chain(partition: u32) -> Chain {
        Chain {
            source: SourceName::new("s").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        }
    }

    fn advance(partition: u32, to: i64) -> Delta {
        let advance = Advance {
            from: None,
            to: Offset(to),
        };
        Delta {
            advances: BTreeMap::from([(chain(partition), advance)]),
            fill_advances: BTreeMap::new(),
            replaced: BTreeMap::new(),
            added: Vec::new(),
            quarantine: Vec::new(),
            seal: None,
            counts: ConservationCounts::default(),
            versions: ManifestVersions::default(),
            damages: Vec::new(),
            deletes: DeltaDeletes::default(),
        }
    }

    fn first() -> ShardManifest {
        ShardManifest::empty(ShardId::Dedicated(skein_shared::ids::OrgId(7)))
    }

    #[test]
    fn a_delta_that_touches_other_chains_is_issued_again_at_the_next_number() {
        let theirs = apply(&first(), &advance(1, 10)).unwrap();
        let ours = apply(&theirs, &advance(2, 5)).unwrap();
        assert_eq!(ours.generation, Generation(2));
        assert_eq!(ours.position(&chain(1)), Offset(10));
        assert_eq!(ours.position(&chain(2)), Offset(5));
    }

    #[test]
    fn a_delta_over_input_that_another_has_committed_is_superseded() {
        let theirs = apply(&first(), &advance(1, 10)).unwrap();
        let error = apply(&theirs, &advance(1, 12)).unwrap_err();
        assert!(matches!(error, Error::Superseded { .. }), "{error}");
        assert_eq!(error.kind(), skein_shared::ErrorKind::Fenced);
    }

    #[test]
    fn a_merge_of_a_window_that_has_changed_is_superseded() {
        let mut delta = advance(1, 10);
        delta
            .replaced
            .insert(Window::from_number(3), vec!["gone".into()]);
        assert!(matches!(
            apply(&first(), &delta),
            Err(Error::Superseded { .. })
        ));
    }

    #[test]
    fn a_delta_that_knows_nothing_of_a_delete_that_is_done_is_superseded() {
        let mut theirs = advance(1, 10);
        theirs.deletes.in_force = 3;
        theirs.deletes.applied = 2;
        let base = apply(&first(), &theirs).unwrap();
        assert_eq!(base.deletes_applied, 2);
        let mut ours = advance(2, 5);
        ours.deletes.in_force = 1;
        let error = apply(&base, &ours).unwrap_err();
        assert!(matches!(error, Error::Superseded { .. }), "{error}");
        ours.deletes.in_force = 2;
        assert_eq!(apply(&base, &ours).unwrap().deletes_applied, 2);
    }

    #[test]
    fn a_delta_that_loses_a_point_is_refused() {
        let mut delta = advance(1, 10);
        delta.counts.points_in = 3;
        delta.counts.duplicates = 2;
        let error = apply(&first(), &delta).unwrap_err();
        assert!(matches!(error, Error::Unconserved { .. }), "{error}");
    }
}
