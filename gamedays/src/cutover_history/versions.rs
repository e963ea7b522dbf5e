//! The versions of every org's cutover, and the fleets that say them.

use std::sync::Arc;

use skein_config::cutover::timelines::{OrgCutover, Timelines};
use skein_shared::cutover::{CutoverState, Edges};
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::timeline::{Pipeline, SealVector, Timeline};

use crate::cutover_history::input::org_id;

/// What an org's newest version says, and what the operator remembers of those before.
#[derive(Debug, Clone)]
pub struct OrgVersion {
    /// Its number; 0 is before the first.
    pub number: u64,
    /// Where the cutover stands.
    pub state: CutoverState,
    /// Who writes and who is visible.
    pub timeline: Timeline,
    /// The edges that the state is about.
    pub edges: Edges,
    /// Up to where the old pipeline has written.
    pub seal: Option<Arc<SealVector>>,
    /// The fleet that says it.
    pub fleet: u64,
    /// The fleet that named the seal first.
    pub sealed_in: Option<u64>,
    /// When a version last changed who is visible.
    pub flipped_at: i64,
    /// The same as the product has it, where the product decides.
    pub head: Option<CutoverVersion>,
    /// The first version with the timeline of the newest.
    pub since: u64,
}

/// Every fleet, and the newest version of each org.
#[derive(Debug, Clone)]
pub struct Versions {
    fleets: Vec<Timelines>,
    orgs: Vec<OrgVersion>,
}

impl Versions {
    /// Every org is the old pipeline's.
    pub fn none(orgs: usize) -> Self {
        let version = OrgVersion {
            number: 0,
            state: CutoverState::Off,
            timeline: Timeline::owned_by(Pipeline::Old),
            edges: Edges::default(),
            seal: None,
            fleet: 0,
            sealed_in: None,
            flipped_at: i64::MIN / 2,
            head: None,
            since: 0,
        };
        Self {
            fleets: vec![Timelines::owned_by(Pipeline::Old)],
            orgs: vec![version; orgs],
        }
    }

    /// The number of the newest fleet.
    pub fn newest(&self) -> u64 {
        self.fleets.len() as u64 - 1
    }

    /// The timelines of a fleet.
    ///
    /// # Panics
    /// If there is none of this number.
    pub fn fleet(&self, number: u64) -> &Timelines {
        let place = usize::try_from(number).expect("few fleets");
        &self.fleets[place]
    }

    /// The newest version of an org.
    pub fn of(&self, org: usize) -> &OrgVersion {
        &self.orgs[org]
    }

    /// Makes the next version of an org, and a fleet that says it.
    pub fn append(&mut self, org: usize, mut next: OrgVersion) {
        next.number = self.orgs[org].number + 1;
        next.fleet = self.fleets.len() as u64;
        if next.timeline != self.orgs[org].timeline {
            next.since = next.number;
        }
        if next.seal.is_some() && next.sealed_in.is_none() {
            next.sealed_in = Some(next.fleet);
        }
        let cutover = OrgCutover {
            version: next.number,
            state: next.state,
            timeline: next.timeline.clone(),
            seal: next.seal.clone(),
            mirror_percent: 0,
            old_place: None,
        };
        let newest = self.fleet(self.newest());
        let fleet = newest.with(org_id(org), cutover);
        self.fleets.push(fleet);
        self.orgs[org] = next;
    }
}
