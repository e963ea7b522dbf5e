//! What of a shard expires, and which segments go with it: a pure function of its manifest, the settings, the time up to
//! which it has read everything, and whose points its segments hold.
//!
//! Expiry is decided by window and org. What is expired is masked by readers from the commit on. The raw segments of a
//! window go, by that commit alone, when every org in them is expired; until then a segment stays as it is, however much
//! of it is masked, so that it, and its rollups, are still what state gives. A rollup goes when its points are gone and
//! every org in it is expired in its resolution.

use std::collections::{BTreeMap, BTreeSet};

use skein_config::retention::RetentionSettings;
use skein_shared::format::account::{OrgAccounts, OrgCounts};
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::shard_manifest::{Expiry, FirstKept, Layer, SegmentEntry, ShardManifest};
use skein_shared::ids::{Generation, OrgId};
use skein_shared::window::{Resolution, TimestampMs, Window};

use crate::delete_plan::may_hold;
use crate::error::Result;
use crate::manifest_commit::{check_conserved, keep_seals_of_live};
use crate::merge_policy::{levels, oldest_first};

/// What one org has in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Points, or buckets.
    pub points: u64,
    /// Bytes of their runs.
    pub bytes: u64,
}

/// Whose points segments hold, by the segment's key.
pub type Survey = BTreeMap<String, BTreeMap<OrgId, Held>>;

/// What expires of one org in one resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expiring {
    /// Windows.
    pub windows: u64,
    /// Points, or buckets; one that is in two overlays counts twice.
    pub points: u64,
    /// Bytes of their runs.
    pub bytes: u64,
}

/// Segments that are live no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// How many, rollups too.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Raw points in them.
    pub points: u64,
}

/// What is to be expired at `now`, up to which the shard has read everything: at least what is expired already.
pub fn wanted(manifest: &ShardManifest, settings: &RetentionSettings, now: TimestampMs) -> Expiry {
    let orgs = settings.own();
    let cut = |resolution: Resolution| {
        let own = |org: &OrgId| (*org, settings.keep_of(*org, resolution).first_kept(now));
        let cut = FirstKept {
            everyone: settings.keep(resolution).first_kept(now),
            orgs: orgs.iter().map(own).collect(),
        };
        (resolution, cut)
    };
    let to = Resolution::ALL.into_iter().map(cut).collect();
    let mut wanted = manifest.expiry.advanced(&to);
    wanted.as_of = Some(now);
    wanted
}

/// The segments of windows in which something may expire now, or came late for what had expired: whose points they hold
/// has to be known.
pub fn to_survey<'a>(manifest: &'a ShardManifest, wanted: &Expiry) -> Vec<&'a SegmentEntry> {
    let nothing = Expiry::default();
    let changes = |segment: &&SegmentEntry| {
        let (first, last) = (segment.summary.first_series, segment.summary.last_series);
        let place = (first.org..=last.org, segment.window);
        let is_late = segment.generation > manifest.expiry.changed_at;
        let before = if is_late { &nothing } else { &manifest.expiry };
        wanted.may_newly_expire(before, segment.resolution, place)
    };
    let segments = manifest.segments.iter();
    let windows: BTreeSet<Window> = segments.filter(changes).map(|s| s.window).collect();
    let segments = manifest.segments.iter();
    segments.filter(|s| windows.contains(&s.window)).collect()
}

/// What expires now, by org and resolution.
pub fn expiring(
    manifest: &ShardManifest,
    wanted: &Expiry,
    survey: &Survey,
) -> BTreeMap<(OrgId, Resolution), Expiring> {
    let mut sums: BTreeMap<(OrgId, Resolution), Expiring> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for segment in &manifest.segments {
        let (window, resolution) = (segment.window, segment.resolution);
        for (org, held) in survey.get(&segment.key).into_iter().flatten() {
            if is_new(manifest, wanted, segment, *org) {
                let sum = sums.entry((*org, resolution)).or_default();
                sum.windows += u64::from(seen.insert((*org, resolution, window)));
                sum.points += held.points;
                sum.bytes += held.bytes;
            }
        }
    }
    sums
}

/// The windows that have to be one base before raw points in them expire: what lies over the base would be missing in the
/// rollups that are left, and what is deleted would be in them.
pub fn to_make_whole(
    manifest: &ShardManifest,
    (wanted, survey): (&Expiry, &Survey),
    deletes: &[DeleteEntry],
) -> BTreeSet<Window> {
    let expires = |segment: &&SegmentEntry| {
        let orgs = survey.get(&segment.key);
        let mut orgs = orgs.into_iter().flat_map(BTreeMap::keys);
        orgs.any(|org| is_new(manifest, wanted, segment, *org))
    };
    let windows: BTreeSet<Window> = manifest
        .raw_segments()
        .filter(expires)
        .map(|segment| segment.window)
        .collect();
    let is_unfinished = |window: &Window| {
        let live = manifest.raw_segments().filter(|s| s.window == *window);
        let live = oldest_first(live);
        let is_one_base = match levels(live.iter().copied())[..] {
            [level] => level.layer == Layer::Base,
            _ => false,
        };
        let mut live = live.into_iter();
        !is_one_base || live.any(|segment| may_hold(deletes, manifest, segment, u64::MAX))
    };
    windows.into_iter().filter(is_unfinished).collect()
}

/// The manifest that follows `base` once all of `wanted` is expired, and what is live no more by it.
///
/// # Errors
/// [`Error::Unconserved`](crate::Error::Unconserved) when points would be lost.
pub fn expire(
    base: &ShardManifest,
    wanted: &Expiry,
    survey: &Survey,
) -> Result<(ShardManifest, Dropped)> {
    let generation = Generation(base.generation.0 + 1);
    let mut next = base.clone();
    next.generation = generation;
    next.expiry = wanted.clone();
    next.expiry.changed_at = generation;
    let mut dropped = Dropped::default();
    for window in emptied(base, wanted, survey) {
        next.expiry.empty(window);
        let is_of = |s: &mut SegmentEntry| s.resolution.is_raw() && s.window == window;
        for segment in next.segments.extract_if(.., is_of) {
            next.counts.expired += segment.summary.points;
            dropped.points += segment.summary.points;
            dropped.add(&segment);
        }
    }
    let lone: BTreeSet<String> = next
        .rollups()
        .filter(|rollup| next.outlives_points(rollup) && is_all_expired(wanted, rollup, survey))
        .map(|rollup| rollup.key.clone())
        .collect();
    let segments = next.segments.extract_if(.., |s| lone.contains(&s.key));
    for rollup in segments {
        dropped.add(&rollup);
    }
    keep_seals_of_live(&mut next);
    check_conserved(&next)?;
    Ok((next, dropped))
}

/// Whose points are live in `base` and no more in `next`, which [`expire`] made of it.
pub fn expired_by_org(base: &ShardManifest, next: &ShardManifest, survey: &Survey) -> OrgAccounts {
    let left: BTreeSet<&String> = next.raw_segments().map(|segment| &segment.key).collect();
    let mut orgs = OrgAccounts::default();
    let gone = base.raw_segments().filter(|s| !left.contains(&s.key));
    for (org, held) in gone.flat_map(|segment| &survey[&segment.key]) {
        let expired = OrgCounts {
            expired: held.points,
            ..OrgCounts::default()
        };
        orgs.count(*org, expired);
    }
    orgs
}

/// The windows of whose raw segments nothing is left to be kept.
fn emptied(base: &ShardManifest, wanted: &Expiry, survey: &Survey) -> BTreeSet<Window> {
    let mut windows: BTreeMap<Window, bool> = BTreeMap::new();
    for segment in base.raw_segments() {
        let is_all = windows.entry(segment.window).or_insert(true);
        *is_all &= is_all_expired(wanted, segment, survey);
    }
    let emptied = windows.into_iter().filter(|(_, is_all)| *is_all);
    emptied.map(|(window, _)| window).collect()
}

/// Whether every org of a segment is expired; of one that was not looked at nobody knows.
fn is_all_expired(wanted: &Expiry, segment: &SegmentEntry, survey: &Survey) -> bool {
    let (resolution, window) = (segment.resolution, segment.window);
    let is_expired = |org: &OrgId| wanted.is_expired(resolution, *org, window);
    let orgs = survey.get(&segment.key);
    orgs.is_some_and(|orgs| orgs.keys().all(is_expired))
}

fn is_new(manifest: &ShardManifest, wanted: &Expiry, segment: &SegmentEntry, org: OrgId) -> bool {
    let is_expired = |expiry: &Expiry| expiry.is_expired(segment.resolution, org, segment.window);
    is_expired(wanted) && !is_expired(&manifest.expiry)
}

impl Dropped {
    fn add(&mut self, segment: &SegmentEntry) {
        self.segments += 1;
        self.bytes += segment.summary.size_bytes;
    }
}
