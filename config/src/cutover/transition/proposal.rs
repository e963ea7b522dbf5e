//! What every verb's rule is given, and what it gives.

use skein_shared::cutover::{CutoverState, NodeRole};
use skein_shared::format::cutover_version::{CutoverVersion, Evidence};
use skein_shared::timeline::{Pipeline, Timeline, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover::edge_rules::PastChange;
use crate::cutover::facts::{Facts, NodeFact};
use crate::cutover::gate::{self, Gate};
use crate::cutover::request::{EdgeChoice, NextVersion, Refusal, RefusalKind};
use crate::cutover::rules::Rules;

/// One decision: where the cutover stands, what is asked, and what is known.
pub(super) struct Case<'a> {
    pub(super) before: Option<&'a CutoverVersion>,
    pub(super) facts: &'a Facts,
    pub(super) rules: &'a Rules,
    pub(super) verb: &'static str,
}

/// A next version, and what it does to the past. It is granted once the rules of edges agree.
pub(super) struct Proposed {
    pub(super) next: NextVersion,
    pub(super) past: PastChange,
}

/// Who writes.
pub(super) const WRITERS: [NodeRole; 2] = [NodeRole::Compactor, NodeRole::OldPipeline];

impl<'a> Case<'a> {
    /// Where it stands.
    pub(super) fn state(&self) -> CutoverState {
        self.before.map_or(CutoverState::Off, |before| before.state)
    }

    /// The newest version, in one of these states.
    pub(super) fn standing_in(
        &self,
        states: &[CutoverState],
    ) -> Result<&'a CutoverVersion, Refusal> {
        let stands = self.before.filter(|before| states.contains(&before.state));
        let Some(before) = stands else {
            let state = self.state();
            return refuse(
                RefusalKind::Conflict,
                format!(
                    "{} is not for a cutover that is {state}: {}",
                    self.verb,
                    advice(state)
                ),
            );
        };
        Ok(before)
    }

    /// What the newest version says, to be changed.
    pub(super) fn next(&self) -> NextVersion {
        NextVersion::after(self.before, self.verb)
    }

    /// The live nodes of these roles that do not go by the timeline as it is.
    pub(super) fn unaware(&self, roles: &[NodeRole]) -> Vec<&'a NodeFact> {
        let since = self.facts.same_timeline_since;
        gate::missing_acknowledgements(self.facts, self.rules, (roles, since))
    }

    /// Evidence that all live nodes go by the timeline as it is.
    pub(super) fn acknowledged(&self) -> Evidence {
        let live = |node: &&NodeFact| gate::is_live(node, self.facts, self.rules);
        let names: Vec<&str> = self
            .facts
            .nodes
            .iter()
            .filter(live)
            .map(|it| it.name.as_str())
            .collect();
        let text = format!(
            "version {} is known to all {} live nodes: {}",
            self.facts.same_timeline_since,
            names.len(),
            names.join(", ")
        );
        gate::stated(gate::ACKNOWLEDGEMENTS, text, self.facts.now)
    }
}

/// The names of nodes that are waited for, in a form that does not change while they are the same.
pub(super) fn names(nodes: &[&NodeFact]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    names.join(", ")
}

/// The chosen edge, or `soonest`; none before `soonest` is taken.
pub(super) fn chosen(choice: EdgeChoice, soonest: TimestampMs) -> Result<TimestampMs, Refusal> {
    match choice {
        EdgeChoice::Soonest => Ok(soonest),
        EdgeChoice::At(at) if at < soonest => refuse(
            RefusalKind::Invalid,
            format!("an edge at {at} is too early: the soonest is {soonest}"),
        ),
        EdgeChoice::At(at) => Ok(at),
    }
}

/// A refusal.
pub(super) fn refuse<T>(kind: RefusalKind, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(kind, reason))
}

/// The evidence of a gate that passes.
pub(super) fn passed(gate: Gate) -> Result<Vec<Evidence>, Refusal> {
    match gate {
        Gate::Pass(evidence) => Ok(evidence),
        Gate::Blocked(why) => refuse(RefusalKind::Gate, why),
        Gate::Inconclusive(why) => refuse(RefusalKind::Inconclusive, why),
    }
}

/// A change that leaves the past as it was.
pub(super) fn keeping(next: NextVersion) -> Proposed {
    let past = PastChange::Nothing;
    Proposed { next, past }
}

/// From `at` on.
pub(super) fn from(at: TimestampMs) -> TimeSpan {
    TimeSpan {
        from: at,
        to: TimeSpan::ALL.to,
    }
}

/// The timeline with readers sent to `pipeline` from `at` on.
pub(super) fn shown(
    timeline: &Timeline,
    pipeline: Pipeline,
    at: TimestampMs,
) -> Result<Timeline, Refusal> {
    let changed = timeline.changed(from(at), |phase| phase.visible = pipeline);
    changed.map_err(|reason| Refusal::new(RefusalKind::Invalid, reason))
}

/// The timeline with these writers from `at` on.
pub(super) fn written_by(
    timeline: &Timeline,
    writers: Writers,
    at: TimestampMs,
) -> Result<Timeline, Refusal> {
    let changed = timeline.changed(from(at), |phase| phase.writers = writers);
    changed.map_err(|reason| Refusal::new(RefusalKind::Invalid, reason))
}

/// From when on both pipelines write, without an end; `None` when one ends.
pub(super) fn both_write_from(timeline: &Timeline) -> Option<TimestampMs> {
    let phases = timeline.phases().iter().rev();
    let both = phases.take_while(|phase| phase.writers == Writers::Both);
    both.last().map(|phase| phase.from)
}

/// What can be done about a cutover in a state.
fn advice(state: CutoverState) -> &'static str {
    match state {
        CutoverState::Off => "`create` begins one",
        CutoverState::Starting => "wait until it is in shadow, or `cancel`",
        CutoverState::Shadow => "compare and `mirror-traffic`, or `cancel`",
        CutoverState::Canary => "compare and `switch-traffic`, or `cancel`",
        CutoverState::Scheduled | CutoverState::Armed => "wait until it has switched, or `cancel`",
        CutoverState::Switched => "`complete` once the hold is over, or `reverse-traffic`",
        CutoverState::Contracting => "wait until it is sealed, or `reverse-traffic`",
        CutoverState::Sealed => "`complete`, or `reverse-traffic`",
        CutoverState::Done => "`purge`, or `reverse-traffic`",
        CutoverState::Reversing => "wait until it is reversed, or `switch-traffic`, or `cancel`",
        CutoverState::Reversed => "`switch-traffic`, or `cancel`",
    }
}
