//! Which orgs are next: a percentage proposes, by a hash of the org, and never moves one that has edges of its own.

use std::collections::BTreeMap;

use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_version::{CutoverVersion, Evidence};
use skein_shared::format::delete_entry::EntryHash;
use skein_shared::ids::OrgId;
use skein_shared::window::TimestampMs;

use crate::cutover::gate;

/// The kind of evidence that says by which cohort an org came in.
pub const COHORT: &str = "cohort";

/// A share of all orgs: those whose rank is low enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohort {
    /// Of a hundred.
    pub percent: u8,
    /// Another one ranks the orgs in another order.
    pub salt: String,
}

/// What is known of one org.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// Points of its that were read.
    pub points: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Where its cutover stands; `None` without one.
    pub state: Option<CutoverState>,
    /// The salt of the cohort that it came in by, if it did and is not switched.
    pub came_by: Option<String>,
}

/// What a cohort makes of all orgs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proposal {
    /// Those of the cohort that have no edges, the lowest rank first: a cutover of them can begin.
    pub create: Vec<OrgId>,
    /// Those that came by this cohort, are in it no more, and are not switched, the last added first.
    pub cancel: Vec<OrgId>,
}

/// How much of everything stands where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Orgs.
    pub orgs: u64,
    /// Their points.
    pub points: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Cohort {
    /// Where an org stands in the order; a lower rank comes in sooner.
    pub fn rank(&self, org: OrgId) -> u64 {
        let text = format!("{}\n{}", self.salt, org.0);
        let high = EntryHash::of(text.as_bytes()).0 >> 64;
        u64::try_from(high).unwrap_or(u64::MAX)
    }

    /// Whether an org is in it.
    pub fn contains(&self, org: OrgId) -> bool {
        let hundredth = (u128::from(self.rank(org)) * 100) >> 64;
        hundredth < u128::from(self.percent)
    }

    /// What it makes of all orgs.
    pub fn propose(&self, orgs: &BTreeMap<OrgId, Member>) -> Proposal {
        let has_no_edges =
            |member: &Member| member.state.is_none_or(|state| state == CutoverState::Off);
        let mut proposal = Proposal::default();
        for (org, member) in orgs {
            let is_in = self.contains(*org);
            let is_ours = member.came_by.as_ref() == Some(&self.salt);
            if is_in && has_no_edges(member) {
                proposal.create.push(*org);
            } else if !is_in && is_ours && member.state.is_some_and(can_leave) {
                proposal.cancel.push(*org);
            }
        }
        proposal.create.sort_by_key(|org| self.rank(*org));
        proposal
            .cancel
            .sort_by_key(|org| std::cmp::Reverse(self.rank(*org)));
        proposal
    }

    /// Evidence that an org came in by it.
    pub fn evidence(&self, at: TimestampMs) -> Evidence {
        gate::stated(COHORT, self.salt.clone(), at)
    }
}

/// The salt of the cohort that an org came in by, in the newest `create` of its versions.
pub fn came_by<'a>(history: impl DoubleEndedIterator<Item = &'a CutoverVersion>) -> Option<String> {
    let mut newest_first = history.rev();
    let created = newest_first.find(|version| version.change.verb == "create")?;
    let evidence = created.evidence.iter().find(|it| it.kind == COHORT);
    evidence.map(|it| it.text.clone())
}

/// Whether readers of an org have never been sent anywhere.
fn can_leave(state: CutoverState) -> bool {
    match state {
        CutoverState::Starting | CutoverState::Shadow | CutoverState::Canary => true,
        CutoverState::Off
        | CutoverState::Scheduled
        | CutoverState::Armed
        | CutoverState::Switched
        | CutoverState::Contracting
        | CutoverState::Sealed
        | CutoverState::Done
        | CutoverState::Reversing
        | CutoverState::Reversed => false,
    }
}

/// How much stands in each state, orgs without a cutover as `off`; and all of it.
pub fn burn_down(orgs: &BTreeMap<OrgId, Member>) -> (BTreeMap<CutoverState, Share>, Share) {
    let mut states: BTreeMap<CutoverState, Share> = BTreeMap::new();
    let mut all = Share::default();
    for member in orgs.values() {
        let state = member.state.unwrap_or(CutoverState::Off);
        for share in [states.entry(state).or_default(), &mut all] {
            share.orgs += 1;
            share.points = share.points.saturating_add(member.points);
            share.bytes = share.bytes.saturating_add(member.bytes);
        }
    }
    (states, all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cohort(percent: u8, salt: &str) -> Cohort {
        Cohort {
            percent,
            salt: salt.to_owned(),
        }
    }

    fn orgs(count: u64) -> BTreeMap<OrgId, Member> {
        (0..count)
            .map(|org| (OrgId(org), Member::default()))
            .collect()
    }

    #[test]
    fn a_percentage_takes_about_so_many_and_a_hundred_takes_all() {
        let orgs = orgs(10_000);
        let taken = |percent| cohort(percent, "a").propose(&orgs).create.len();
        assert_eq!((taken(0), taken(100)), (0, 10_000));
        assert!((450..550).contains(&taken(5)), "{}", taken(5));
        assert!((4800..5200).contains(&taken(50)), "{}", taken(50));
    }

    #[test]
    fn an_org_with_edges_is_never_moved_by_another_salt() {
        for state in CutoverState::ALL {
            let mut orgs = orgs(100);
            for member in orgs.values_mut() {
                member.state = Some(state);
                member.came_by = Some("a".to_owned());
            }
            let other = cohort(0, "b").propose(&orgs);
            assert_eq!(other, Proposal::default(), "{state}");
            let own = cohort(0, "a").propose(&orgs).cancel.len();
            assert_eq!(own, if can_leave(state) { 100 } else { 0 }, "{state}");
        }
    }

    #[test]
    fn what_stands_where_is_counted_in_orgs_points_and_bytes() {
        let member = |state, points| Member {
            points,
            bytes: points * 2,
            state,
            came_by: None,
        };
        let orgs = [
            (OrgId(1), member(None, 10)),
            (OrgId(2), member(Some(CutoverState::Switched), 30)),
        ];
        let (states, all) = burn_down(&orgs.into());
        assert_eq!((all.orgs, all.points, all.bytes), (2, 40, 80));
        assert_eq!(states[&CutoverState::Switched].points, 30);
        assert_eq!(states[&CutoverState::Off].orgs, 1);
    }

    proptest! {
        #[test]
        fn raising_adds_and_lowering_takes_the_last_added_out(
            salt in "[a-z]{1,4}", (low, high) in (0_u8..=100, 0_u8..=100),
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let mut orgs = orgs(200);
            let few = cohort(low, &salt).propose(&orgs).create;
            let many = cohort(high, &salt).propose(&orgs).create;
            prop_assert_eq!(&many[..few.len()], &few[..]);
            for org in &many {
                let member = orgs.get_mut(org).unwrap();
                member.state = Some(CutoverState::Shadow);
                member.came_by = Some(salt.clone());
            }
            let mut out = cohort(low, &salt).propose(&orgs).cancel;
            out.reverse();
            prop_assert_eq!(&many[few.len()..], &out[..]);
        }
    }
}
