//! What a compactor has planned and may commit, at once, much later or never.

use std::rc::Rc;

use skein_config::cutover::timelines::OwnershipFilter;

use crate::cutover_history::input::Positions;
use crate::cutover_history::new_side::{Account, Manifest, Segment};
use crate::cutover_history::node::Known;
use crate::cutover_history::plan::METRICS;

/// A change of the manifest.
#[derive(Debug, Clone)]
pub struct Job {
    from: Positions,
    to: Positions,
    fleet: u64,
    filter: OwnershipFilter,
    filtered_to: Vec<i64>,
    /// Where the points of it went.
    pub account: Account,
    /// What it writes.
    pub segment: Option<Rc<Segment>>,
    /// What it merges.
    pub replaced: Vec<Rc<Segment>>,
}

/// Why a commit is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another has moved the positions.
    Moved,
    /// Another has merged a segment.
    Merged,
    /// The newest manifest was made with a newer fleet than this was filtered by.
    OlderFleet,
}

impl Job {
    /// Nothing yet, of so many series.
    pub fn of(from: Positions, to: Positions, known: &Known, series: usize) -> Self {
        Self {
            from,
            to,
            fleet: known.fleet,
            filter: known.timelines.filter(),
            filtered_to: vec![i64::MIN; series.div_ceil(METRICS)],
            account: Account::default(),
            segment: None,
            replaced: Vec::new(),
        }
    }

    /// Counts a point that is left to the old pipeline.
    pub fn leave_out(&mut self, org: usize, at: i64) {
        self.account.not_owned += 1;
        self.filtered_to[org] = self.filtered_to[org].max(at);
    }

    /// Creates the next manifest.
    ///
    /// # Errors
    /// Why it may not.
    pub fn commit(&self, manifest: &mut Manifest) -> Result<(), Refusal> {
        let moves = self.from != self.to;
        if moves && manifest.positions != self.from {
            return Err(Refusal::Moved);
        }
        let is_live =
            |segment: &Rc<Segment>| manifest.live.iter().any(|it| Rc::ptr_eq(it, segment));
        if !self.replaced.iter().all(is_live) {
            return Err(Refusal::Merged);
        }
        let is_older = self.fleet < manifest.fleet && self.filter == OwnershipFilter::Owned;
        if is_older {
            return Err(Refusal::OlderFleet);
        }
        if moves {
            manifest.positions = self.to;
        }
        let is_replaced =
            |segment: &Rc<Segment>| self.replaced.iter().any(|it| Rc::ptr_eq(it, segment));
        manifest.live.retain(|segment| !is_replaced(segment));
        let segment = self.segment.iter().filter(|segment| !segment.is_empty());
        manifest.live.extend(segment.cloned());
        manifest.fleet = manifest.fleet.max(self.fleet);
        for (known, here) in manifest.filtered_to.iter_mut().zip(&self.filtered_to) {
            *known = (*known).max(*here);
        }
        manifest.account.add(&self.account);
        Ok(())
    }
}

impl Account {
    fn add(&mut self, other: &Self) {
        self.gathered += other.gathered;
        self.duplicates += other.duplicates;
        self.not_owned += other.not_owned;
        self.amended += other.amended;
    }
}
