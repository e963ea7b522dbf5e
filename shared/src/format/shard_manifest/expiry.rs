//! What of a shard's points and buckets has expired, by org and resolution.
//!
//! A window is expired for an org when it lies before the org's *first kept* window of that resolution, which only moves
//! forward. Readers pass over what is expired from the commit on that says so; segments go when all of their orgs are.
//! A window whose raw segments went is *emptied*: points of expired orgs that come for it later are dropped, and a
//! rebuild does not bring any back. Its rollups may stay.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use prost::Message;

use crate::ids::{Generation, OrgId};
use crate::window::{Resolution, TimestampMs, Window};

/// What has expired. Nothing of it ever comes back, whatever settings say later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expiry {
    cuts: BTreeMap<Resolution, FirstKept>,
    emptied: BTreeSet<Window>,
    /// The generation that changed it last.
    pub changed_at: Generation,
    /// The time that it was decided by: up to it the shard had read everything.
    pub as_of: Option<TimestampMs>,
}

/// The first windows that are kept in one resolution; `None` where all are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirstKept {
    /// Of every org that is not below.
    pub everyone: Option<Window>,
    /// Of single orgs.
    pub orgs: BTreeMap<OrgId, Option<Window>>,
}

impl FirstKept {
    /// The first window that is kept of `org`.
    pub fn of(&self, org: OrgId) -> Option<Window> {
        *self.orgs.get(&org).unwrap_or(&self.everyone)
    }

    /// Both together, each org as far as the one or the other is.
    #[must_use]
    fn furthest(&self, other: &Self) -> Self {
        let everyone = self.everyone.max(other.everyone);
        let orgs = self.orgs.keys().chain(other.orgs.keys());
        let orgs = orgs.map(|org| (*org, self.of(*org).max(other.of(*org))));
        Self {
            everyone,
            orgs: orgs.filter(|(_, first)| *first != everyone).collect(),
        }
    }
}

impl Expiry {
    /// Whether all of `org` in `window` is expired in `resolution`.
    pub fn is_expired(&self, resolution: Resolution, org: OrgId, window: Window) -> bool {
        let first = self.cuts.get(&resolution).and_then(|cut| cut.of(org));
        first.is_some_and(|first| window < first)
    }

    /// The first windows that are kept, by resolution.
    pub fn first_kept(&self) -> impl Iterator<Item = (Resolution, &FirstKept)> {
        self.cuts.iter().map(|(resolution, cut)| (*resolution, cut))
    }

    /// The emptied windows, ascending.
    pub fn emptied(&self) -> impl Iterator<Item = Window> {
        self.emptied.iter().copied()
    }

    /// Whether raw segments of `window` went because all that they held was expired.
    pub fn is_emptied(&self, window: Window) -> bool {
        self.emptied.contains(&window)
    }

    /// Whether points of `org` that come for `window` are dropped.
    pub fn drops(&self, org: OrgId, window: Window) -> bool {
        self.is_emptied(window) && self.is_expired(Resolution::Raw, org, window)
    }

    /// Moves forward, never back.
    #[must_use]
    pub fn advanced(&self, to: &BTreeMap<Resolution, FirstKept>) -> Self {
        let mut next = self.clone();
        for (resolution, to) in to {
            let before = self.cuts.get(resolution).cloned().unwrap_or_default();
            let cut = before.furthest(to);
            if cut != FirstKept::default() {
                next.cuts.insert(*resolution, cut);
            }
        }
        next
    }

    /// Notes that the raw segments of `window` are gone.
    pub fn empty(&mut self, window: Window) {
        self.emptied.insert(window);
    }

    /// Whether the same is expired, whenever that was decided.
    pub fn same_cuts(&self, other: &Self) -> bool {
        self.cuts == other.cuts
    }

    /// Whether `window` may be expired here and not `before`, of some org of `orgs`. Errs only towards yes.
    pub fn may_newly_expire(
        &self,
        before: &Self,
        resolution: Resolution,
        (orgs, window): (RangeInclusive<OrgId>, Window),
    ) -> bool {
        let is_new = |org: OrgId| {
            self.is_expired(resolution, org, window) && !before.is_expired(resolution, org, window)
        };
        let cut = |expiry: &Self| expiry.cuts.get(&resolution).cloned().unwrap_or_default();
        let (now, then) = (cut(self), cut(before));
        let lies_before = |first: Option<Window>| first.is_some_and(|first| window < first);
        let mut own = now.orgs.range(orgs.clone()).chain(then.orgs.range(orgs));
        lies_before(now.everyone) && !lies_before(then.everyone) || own.any(|(org, _)| is_new(*org))
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExpiryBody {
    #[prost(message, repeated, tag = "1")]
    cuts: Vec<CutBody>,
    #[prost(sint64, repeated, tag = "2")]
    emptied: Vec<i64>,
    #[prost(uint64, tag = "3")]
    changed_at: u64,
    #[prost(sint64, optional, tag = "4")]
    as_of_ms: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct CutBody {
    #[prost(string, tag = "1")]
    resolution: String,
    #[prost(sint64, optional, tag = "2")]
    everyone: Option<i64>,
    #[prost(message, repeated, tag = "3")]
    orgs: Vec<OrgBody>,
}

#[derive(Clone, PartialEq, Message)]
struct OrgBody {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(sint64, optional, tag = "2")]
    first_kept: Option<i64>,
}

impl ExpiryBody {
    /// Nothing of what has expired nothing.
    pub(super) fn of(expiry: &Expiry) -> Option<Self> {
        let body = Self {
            cuts: expiry.cuts.iter().map(CutBody::of).collect(),
            emptied: expiry.emptied.iter().map(|w| w.number()).collect(),
            changed_at: expiry.changed_at.0,
            as_of_ms: expiry.as_of.map(|time| time.0),
        };
        (body != Self::default()).then_some(body)
    }

    pub(super) fn read(self) -> Result<Expiry, String> {
        let cuts = self.cuts.into_iter().map(CutBody::read);
        let emptied = self.emptied.into_iter();
        Ok(Expiry {
            cuts: cuts.collect::<Result<_, _>>()?,
            emptied: emptied.map(Window::from_number).collect(),
            changed_at: Generation(self.changed_at),
            as_of: self.as_of_ms.map(TimestampMs),
        })
    }
}

impl CutBody {
    fn of((resolution, cut): (&Resolution, &FirstKept)) -> Self {
        let org = |(org, first): (&OrgId, &Option<Window>)| OrgBody {
            org: org.0,
            first_kept: first.map(Window::number),
        };
        Self {
            resolution: resolution.to_string(),
            everyone: cut.everyone.map(Window::number),
            orgs: cut.orgs.iter().map(org).collect(),
        }
    }

    fn read(self) -> Result<(Resolution, FirstKept), String> {
        let first = |body: OrgBody| (OrgId(body.org), body.first_kept.map(Window::from_number));
        let cut = FirstKept {
            everyone: self.everyone.map(Window::from_number),
            orgs: self.orgs.into_iter().map(first).collect(),
        };
        Ok((self.resolution.parse()?, cut))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn first_kept()(
            everyone in proptest::option::of(-5_i64..5),
            orgs in proptest::collection::btree_map(0_u64..4, proptest::option::of(-5_i64..5), 0..4),
        ) -> FirstKept {
            let window = |number: Option<i64>| number.map(Window::from_number);
            let orgs = orgs.into_iter().map(|(org, first)| (OrgId(org), window(first)));
            FirstKept { everyone: window(everyone), orgs: orgs.collect() }
        }
    }

    prop_compose! {
        pub(crate) fn expiry()(
            raw in first_kept(),
            hours in first_kept(),
            emptied in proptest::collection::btree_set(-9_i64..9, 0..5),
            changed_at in any::<u64>(),
            as_of in any::<Option<i64>>(),
        ) -> Expiry {
            let cuts = BTreeMap::from([(Resolution::Raw, raw), (Resolution::OneHour, hours)]);
            Expiry {
                emptied: emptied.into_iter().map(Window::from_number).collect(),
                changed_at: Generation(changed_at),
                as_of: as_of.map(TimestampMs),
                ..Expiry::default().advanced(&cuts)
            }
        }
    }

    proptest! {
        #[test]
        fn what_has_expired_stays_so_and_what_is_to_expire_does(
            steps in proptest::collection::vec(first_kept(), 1..5),
        ) {
            let mut now = Expiry::default();
            for step in steps {
                let to = BTreeMap::from([(Resolution::Raw, step.clone())]);
                let next = now.advanced(&to);
                for (org, window) in (0..5).flat_map(|org| (-6..6).map(move |w| (org, w))) {
                    let (org, window) = (OrgId(org), Window::from_number(window));
                    let is_wanted = step.of(org).is_some_and(|first| window < first);
                    let was = now.is_expired(Resolution::Raw, org, window);
                    let is = next.is_expired(Resolution::Raw, org, window);
                    prop_assert_eq!(is, was || is_wanted);
                    let may = next.may_newly_expire(&now, Resolution::Raw, (org..=org, window));
                    prop_assert!(may || is == was);
                }
                prop_assert!(next.same_cuts(&next.advanced(&to)));
                now = next;
            }
        }
    }

    #[test]
    fn a_window_that_was_not_emptied_takes_late_points_in() {
        let window = Window::from_number(3);
        let cut = FirstKept {
            everyone: Some(Window::from_number(4)),
            orgs: BTreeMap::from([(OrgId(2), None)]),
        };
        let mut expiry = Expiry::default().advanced(&BTreeMap::from([(Resolution::Raw, cut)]));
        assert!(!expiry.drops(OrgId(1), window));
        expiry.empty(window);
        assert!(expiry.drops(OrgId(1), window));
        assert!(!expiry.drops(OrgId(2), window), "it keeps its points");
    }
}
