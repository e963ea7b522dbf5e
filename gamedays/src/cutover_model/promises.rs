//! What every version has to keep, judged by the versions and the facts alone.

use skein_config::cutover::facts::Facts;
use skein_shared::cutover::{CutoverState, Standing};
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::format::diff_verdict::DiffSides;
use skein_shared::timeline::{Pipeline, Timeline, Writers};
use skein_shared::window::TimestampMs;

use crate::cutover_model::scope::RULES;
use crate::cutover_model::state::{BUILD, Org};

/// A step from one version to the next, with what was true then.
#[derive(Debug)]
pub struct Made<'a> {
    /// The org before.
    pub before: &'a Org,
    /// The org after.
    pub after: &'a Org,
    /// What was true, whatever was believed.
    pub facts: &'a Facts,
}

/// Why a step may not be.
pub type Broken = &'static str;

impl Made<'_> {
    /// The promise that the step breaks.
    pub fn broken(&self) -> Option<Broken> {
        let next = self.after.head.as_ref()?;
        let from = self
            .before
            .head
            .as_ref()
            .map_or(CutoverState::Off, |head| head.state);
        if next.version != self.before.version() + 1 {
            return Some("a version's number is not the next one");
        }
        self.evidence(from, next)
            .or_else(|| self.acknowledged(from, next))
            .or_else(|| self.past(next))
            .or_else(|| self.stopped(from, next))
            .or_else(|| restored(next))
    }

    /// Nobody enters `scheduled`, `armed` or `switched` without a comparison that passes, is fresh and names this build and
    /// the timeline as it was, or the one that the version before rests on.
    fn evidence(&self, from: CutoverState, next: &CutoverVersion) -> Option<Broken> {
        let enters = match next.state {
            CutoverState::Scheduled | CutoverState::Armed => next.state != from,
            CutoverState::Switched => from == CutoverState::Armed,
            CutoverState::Off
            | CutoverState::Starting
            | CutoverState::Shadow
            | CutoverState::Canary
            | CutoverState::Contracting
            | CutoverState::Sealed
            | CutoverState::Done
            | CutoverState::Reversing
            | CutoverState::Reversed => false,
        };
        if !enters {
            return None;
        }
        let carried = self.before.head.iter().flat_map(|head| &head.evidence);
        let carried: Vec<&str> = carried.map(|it| it.key.as_str()).collect();
        let good = self.facts.verdicts.iter().any(|fact| {
            let verdict = &fact.verdict;
            let names = verdict.cutover_version >= self.before.since
                || carried.contains(&fact.key.as_str());
            let due = next
                .edges
                .switch_at
                .filter(|_| next.state != CutoverState::Scheduled);
            let at = due.map_or(self.facts.now.0, |b| b.0);
            let is_fresh = verdict.at.0 >= at - 40;
            let is_pair = verdict.sides == DiffSides::OldNew && verdict.build == BUILD;
            verdict.verdict.passes() && names && is_fresh && is_pair
        });
        let recorded = next.evidence.iter().any(|it| it.kind == "diff");
        (!good || !recorded)
            .then_some("entered without fresh passing evidence of this version and build")
    }

    /// A switch is armed, and the old pipeline's end is under way, only when all live nodes know.
    fn acknowledged(&self, from: CutoverState, next: &CutoverVersion) -> Option<Broken> {
        let needs = match (from, next.state) {
            (CutoverState::Scheduled, CutoverState::Armed)
            | (CutoverState::Starting, CutoverState::Shadow)
            | (CutoverState::Contracting, CutoverState::Sealed)
            | (CutoverState::Reversing, CutoverState::Reversed) => true,
            (_, _) => false,
        };
        let is_behind = |node: &skein_config::cutover::facts::NodeFact| {
            let is_live = node.at.0 >= self.facts.now.0 - 20;
            is_live && node.version < self.before.since
        };
        let behind = self.facts.nodes.iter().any(is_behind);
        (needs && behind && from != CutoverState::Contracting)
            .then_some("a live node does not know what it has to")
    }

    /// What has passed stays: who is visible, but for a void; who writes, but for one whom nobody sees. Nobody becomes a
    /// writer, or visible, before nodes can know.
    fn past(&self, next: &CutoverVersion) -> Option<Broken> {
        let (before, after) = (self.before.timeline(), &next.timeline);
        let now = self.facts.now;
        let is_void = matches!(
            next.change.verb.as_str(),
            "reverse-traffic" | "cancel" | "reassign"
        );
        let mut times: Vec<i64> = vec![now.0 - 1, now.0];
        for timeline in [&before, after] {
            times.extend(timeline.phases().iter().map(|phase| phase.from.0));
        }
        for at in times {
            let (was, is) = (
                before.phase_at(TimestampMs(at)),
                after.phase_at(TimestampMs(at)),
            );
            if at < now.0 && was.visible != is.visible && !(is_void && is.visible == Pipeline::Old)
            {
                return Some("who was visible in the past has changed");
            }
            let is_added = was.writers != Writers::Both && is.writers != was.writers;
            if at < now.0 + 10 && is_added {
                return Some("somebody is to write before nodes can know");
            }
        }
        let new_from = first_new_visible(after);
        let passed_over = self.facts.new.not_owned_to;
        let is_new = new_from.filter(|from| first_new_visible(&before) != Some(*from));
        is_new
            .filter(|from| {
                passed_over
                    .is_some_and(|last| last >= *from && next.state == CutoverState::Scheduled)
            })
            .map(|_| "readers are sent to where points were passed over")
    }

    /// What somebody has stopped, or what needs repair, goes no further on.
    fn stopped(&self, from: CutoverState, next: &CutoverVersion) -> Option<Broken> {
        let before = self.before.head.as_ref()?;
        let is_stopped = matches!(before.standing, Standing::Paused | Standing::Faulted(_));
        let order = |state: CutoverState| state as u8;
        let goes_on = order(next.state) > order(from) && order(next.state) <= 9;
        let is_unarmed = next.state == CutoverState::Canary;
        (is_stopped && goes_on && !is_unarmed).then_some("it goes on although it was stopped")
    }
}

/// Where the last span begins over which the new pipeline is visible for good.
fn first_new_visible(timeline: &Timeline) -> Option<TimestampMs> {
    let last = timeline.phases().iter().rev();
    let shown = last.take_while(|phase| phase.visible == Pipeline::New);
    shown.last().map(|phase| phase.from)
}

/// What is off shows the old pipeline from now on, and has it write alone.
fn restored(next: &CutoverVersion) -> Option<Broken> {
    if next.state != CutoverState::Off {
        return None;
    }
    let last = next.timeline.phases().last()?;
    let is_restored = last.visible == Pipeline::Old && last.writers == Writers::Only(Pipeline::Old);
    (!is_restored).then_some("off does not leave everything to the old pipeline")
}

/// How long nodes have to learn of an edge.
pub const LEAD: i64 = RULES.lead.0.cast_signed();
