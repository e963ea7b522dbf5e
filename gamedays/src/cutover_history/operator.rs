//! What an operator may do, and what becomes of an org's timeline: the rules of `docs/simulation.md`, in small.

mod back;
mod forward;
pub mod product;

use skein_config::cutover::settings::CutoverSettings;
use skein_shared::cutover::CutoverState;
use skein_shared::timeline::{Phase, Pipeline};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover_history::input::Positions;
use crate::cutover_history::mutant::Mutant;
use crate::cutover_history::node::ms;
use crate::cutover_history::versions::OrgVersion;

/// A step of one org's cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The new pipeline is to write from an edge on.
    Create,
    /// Everybody knows.
    Settle,
    /// The new pipeline is to be visible from an edge on.
    Schedule,
    /// The edge has come and somebody has not acknowledged it: it is moved.
    Postpone,
    /// The edge has passed.
    Switch,
    /// The old pipeline is to end at an edge.
    Contract,
    /// What comes from here on is the new pipeline's, whatever its time is.
    Seal,
    /// The old pipeline is visible again, also where the new one was.
    Void,
    /// The old pipeline is to be visible from an edge on.
    Reverse,
    /// The old pipeline is to write again from an edge on.
    Revive,
    /// It has been doing so, and is to be visible from an edge on.
    ShowOld,
    /// The new pipeline is to end.
    Cancel,
}

/// What an operator looks at before anything is changed.
#[derive(Debug)]
pub struct Facts<'a> {
    /// By the bucket's clock.
    pub now: i64,
    /// The settings.
    pub settings: &'a CutoverSettings,
    /// The newest fleet that all live nodes have acknowledged.
    pub acknowledged: u64,
    /// The fleet that the newest manifest names.
    pub manifest_fleet: u64,
    /// What the new pipeline holds.
    pub new_positions: Positions,
    /// What the old pipeline has committed.
    pub old_positions: Positions,
    /// The latest point of the org that the new pipeline has left out.
    pub new_filtered_to: i64,
    /// The latest point of the org that the old pipeline has left out.
    pub old_filtered_to: i64,
    /// The rule that is broken.
    pub mutant: Option<Mutant>,
}

/// What may be asked for in a state.
pub fn requests(state: CutoverState) -> &'static [Request] {
    use Request as R;
    match state {
        CutoverState::Off => &[R::Create],
        CutoverState::Starting => &[R::Settle, R::Settle, R::Settle, R::Cancel],
        CutoverState::Shadow | CutoverState::Canary => &[R::Schedule, R::Schedule, R::Cancel],
        CutoverState::Scheduled | CutoverState::Armed => {
            &[R::Switch, R::Switch, R::Postpone, R::Cancel]
        }
        CutoverState::Switched => &[R::Contract, R::Contract, R::Void, R::Reverse],
        CutoverState::Contracting => &[R::Seal, R::Seal, R::Seal, R::Revive],
        CutoverState::Sealed | CutoverState::Done => &[R::Revive],
        CutoverState::Reversing => &[R::ShowOld],
        CutoverState::Reversed => &[R::Schedule, R::Cancel],
    }
}

/// The org's next version; `None` when the request is refused.
pub fn next(version: &OrgVersion, request: Request, facts: &Facts<'_>) -> Option<OrgVersion> {
    let next = match request {
        Request::Create => forward::create(version, facts),
        Request::Settle => forward::settle(version, facts),
        Request::Schedule => forward::schedule(version, facts),
        Request::Postpone => forward::postpone(version, facts),
        Request::Switch => forward::switch(version, facts),
        Request::Contract => forward::contract(version, facts),
        Request::Seal => forward::seal(version, facts),
        Request::Void => back::void(version, facts),
        Request::Reverse => back::reverse(version, facts),
        Request::Revive => back::revive(version, facts),
        Request::ShowOld => back::show_old(version, facts),
        Request::Cancel => back::cancel(version, facts),
    };
    next.map(|mut next| {
        let shows = |version: &OrgVersion| -> Vec<(TimestampMs, Pipeline)> {
            let phases = version.timeline.phases().iter();
            phases.map(|phase| (phase.from, phase.visible)).collect()
        };
        if shows(version) != shows(&next) {
            next.flipped_at = facts.now;
        }
        next
    })
}

impl Facts<'_> {
    /// The next edge at which something may change, not before `least`.
    fn edge(&self, least: i64) -> i64 {
        let grid = ms(self.settings.grid.0);
        if self.mutant == Some(Mutant::EdgesWithoutLead) {
            return self.now.div_euclid(grid) * grid;
        }
        let earliest = least.max(self.now + ms(self.settings.lead().0));
        (earliest + grid - 1).div_euclid(grid) * grid
    }

    /// Whether a pipeline holds all that the other one may have shown.
    fn holds_all(&self, pipeline: Pipeline) -> bool {
        let (its, others) = match pipeline {
            Pipeline::Old => (self.old_positions, self.new_positions),
            Pipeline::New => (self.new_positions, self.old_positions),
        };
        let reaches = its.iter().zip(others).all(|(its, other)| *its >= other);
        reaches || self.mutant == Some(Mutant::FlipsToWhoLags)
    }

    /// Whether no node goes by an older fleet, nor can commit anything that it made by one.
    fn is_known(&self, fleet: u64) -> bool {
        self.acknowledged >= fleet && self.manifest_fleet >= fleet
    }

    /// Whether a scan may still go by what was visible before the last flip.
    fn has_scans(&self, version: &OrgVersion) -> bool {
        let settings = self.settings;
        let lived = settings.token_lifetime.0 + settings.lead().0;
        let is_young = self.now < version.flipped_at + ms(lived);
        is_young && self.mutant != Some(Mutant::CancelsUnderScans)
    }
}

/// From an instant on.
fn since(from: i64) -> TimeSpan {
    TimeSpan {
        from: TimestampMs(from),
        to: TimeSpan::ALL.to,
    }
}

/// The same version with a change of its timeline and another state.
fn changed(
    version: &OrgVersion,
    state: CutoverState,
    span: TimeSpan,
    change: impl Fn(&mut Phase),
) -> Option<OrgVersion> {
    let timeline = version.timeline.changed(span, change).ok()?;
    Some(OrgVersion {
        state,
        timeline,
        ..version.clone()
    })
}

fn time(edge: Option<TimestampMs>) -> i64 {
    edge.map_or(i64::MIN, |edge| edge.0)
}
