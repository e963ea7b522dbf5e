//! Where the points of a window's live segments are that what was made anew does not have, and the other way round.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::format::account::{OrgAccounts, OrgCounts};
use skein_shared::format::compact_result::Delta;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::shard_manifest::{Deleted, ShardManifest};
use skein_shared::ids::OrgId;
use skein_shared::window::Window;

use crate::error::{Error, Result};

/// Of one window, by org.
pub(super) struct WindowAccount {
    window: Window,
    /// Whether the window's points have expired.
    is_emptied: bool,
    shares: Vec<Share>,
}

/// Points before, and in what was made anew; by org, or of all orgs where nobody can tell whose they are.
pub(super) enum Compared {
    ByOrg([BTreeMap<OrgId, u64>; 2]),
    Together([u64; 2]),
}

/// Points of live segments that are to be there no longer.
#[derive(Default)]
pub(super) struct Struck {
    /// Deletes have taken them.
    pub(super) deleted: Deleted,
    /// They are another pipeline's now, by org.
    pub(super) not_owned: BTreeMap<OrgId, u64>,
}

/// The points of one org; or of all, where they are not known apart.
struct Share {
    org: Option<OrgId>,
    /// Deletes have taken them.
    deleted: Deleted,
    /// They are another pipeline's now.
    not_owned: u64,
    /// They were twice in live segments; or, where the window's points have expired, they are of an expired org.
    gone: u64,
    /// They had been counted as gone, and are there again.
    returned: u64,
}

impl WindowAccount {
    pub(super) fn of(
        (window, manifest): (Window, &ShardManifest),
        compared: &Compared,
        struck: &Struck,
        deletes: &[DeleteEntry],
    ) -> Self {
        let taken = &struck.deleted;
        let shares = match compared {
            Compared::Together(points) => {
                let not_owned = struck.not_owned.values().sum();
                vec![Share::of(None, *points, (taken.clone(), not_owned))]
            }
            Compared::ByOrg([before, after]) => {
                let orgs: BTreeSet<&OrgId> = before.keys().chain(after.keys()).collect();
                let points =
                    |of: &BTreeMap<OrgId, u64>, org: &OrgId| of.get(org).copied().unwrap_or(0);
                let share = |org: &OrgId| {
                    let not_owned = struck.not_owned.get(org).copied().unwrap_or(0);
                    let points = [points(before, org), points(after, org)];
                    Share::of(
                        Some(*org),
                        points,
                        (of_org(taken, deletes, *org), not_owned),
                    )
                };
                orgs.into_iter().map(share).collect()
            }
        };
        Self {
            window,
            is_emptied: manifest.expiry.is_emptied(window),
            shares,
        }
    }

    /// Counts what is gone.
    pub(super) fn enter(&self, delta: &mut Delta) {
        for share in &self.shares {
            let deleted = share.deleted.values().sum();
            // Where they come together nobody has counted them apart.
            let (duplicates, expired) = if self.is_emptied {
                (0, share.gone)
            } else {
                (share.gone, 0)
            };
            let counts = OrgCounts {
                duplicates,
                not_owned: share.not_owned,
                deleted,
                expired,
                ..OrgCounts::default()
            };
            delta.counts.duplicates += duplicates;
            delta.counts.not_owned += share.not_owned;
            delta.counts.deleted += deleted;
            delta.counts.expired += expired;
            share.count(&mut delta.orgs, counts);
            for (delete, points) in share.deleted.iter().filter(|(_, points)| **points > 0) {
                *delta.deletes.deleted.entry(*delete).or_default() += points;
            }
        }
    }

    /// Points that are there again are no longer counted as gone: as not owned, as far as `not_owned` says that their org
    /// has any, as deleted, where deletes bear on them and have taken so many, else as duplicates. Answers whose they were;
    /// `None` when that is not known.
    ///
    /// # Errors
    /// [`Error::Unconserved`] when not as many had gone.
    pub(super) fn give_back(
        &self,
        (deletes, not_owned): (&[DeleteEntry], &mut BTreeMap<OrgId, u64>),
        manifest: &mut ShardManifest,
    ) -> Result<Option<OrgAccounts>> {
        let mut given_back = Some(OrgAccounts::default());
        for share in &self.shares {
            let bears = |delete: &&DeleteEntry| {
                let selector = &delete.selector;
                let is_its = share.org.is_none_or(|org| org == selector.org);
                is_its && selector.span.overlaps(self.window.span())
            };
            let bearing = deletes.iter().rev().filter(bears);
            let owned = share.own(not_owned, manifest);
            let returned = share.returned - owned;
            let undeleted = undelete(returned, bearing, manifest);
            let left = returned - undeleted;
            let duplicates = manifest.counts.duplicates.checked_sub(left);
            manifest.counts.duplicates = duplicates.ok_or(Error::Unconserved {
                shard: manifest.shard,
                expected: manifest.live_points(),
                live: manifest.live_points() + share.returned,
            })?;
            let counts = OrgCounts {
                not_owned: owned,
                deleted: undeleted,
                duplicates: left,
                ..OrgCounts::default()
            };
            share.count(&mut given_back, counts);
        }
        Ok(given_back)
    }
}

impl Share {
    /// A base does not tell which of its points lie below a delete of an earlier build, and what was made anew does: of
    /// those that were taken out of the base some are there after all.
    fn of(
        org: Option<OrgId>,
        [before, after]: [u64; 2],
        (mut deleted, not_owned): (Deleted, u64),
    ) -> Self {
        let there = after + deleted.values().sum::<u64>();
        let mut returned = there.saturating_sub(before);
        for taken in deleted.values_mut().rev() {
            let points = returned.min(*taken);
            *taken -= points;
            returned -= points;
        }
        let gone = before.saturating_sub(there);
        let not_owned = gone.min(not_owned);
        Self {
            org,
            deleted,
            not_owned,
            gone: gone - not_owned,
            returned,
        }
    }

    /// Takes up to as many points as are there again back from those that were not owned; answers how many.
    fn own(&self, not_owned: &mut BTreeMap<OrgId, u64>, manifest: &mut ShardManifest) -> u64 {
        let Some(of_org) = self.org.and_then(|org| not_owned.get_mut(&org)) else {
            return 0;
        };
        let counts = &mut manifest.counts;
        let owned = self.returned.min(*of_org).min(counts.not_owned);
        *of_org -= owned;
        counts.not_owned -= owned;
        owned
    }

    fn count(&self, orgs: &mut Option<OrgAccounts>, counts: OrgCounts) {
        match (self.org, orgs.as_mut()) {
            (Some(org), Some(orgs)) => orgs.count(org, counts),
            (None, Some(_)) if counts != OrgCounts::default() => *orgs = None,
            (_, _) => {}
        }
    }
}

/// Takes up to `points` back from what `deletes` have taken; answers how many.
fn undelete<'d>(
    points: u64,
    deletes: impl Iterator<Item = &'d DeleteEntry>,
    manifest: &mut ShardManifest,
) -> u64 {
    let mut left = points;
    for delete in deletes {
        if let Some(taken) = manifest.deleted.get_mut(&delete.number) {
            let back = left.min(*taken);
            *taken -= back;
            manifest.counts.deleted -= back;
            left -= back;
        }
    }
    points - left
}

/// What of `taken` is of one org: a delete is.
fn of_org(taken: &Deleted, deletes: &[DeleteEntry], org: OrgId) -> Deleted {
    let of_org = deletes.iter().filter(|delete| delete.selector.org == org);
    let of_org = of_org.filter_map(|delete| taken.get_key_value(&delete.number));
    of_org.map(|(number, points)| (*number, *points)).collect()
}
