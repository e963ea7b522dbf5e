//! The steps back.

use skein_shared::cutover::{CutoverState, Edges};
use skein_shared::timeline::{Pipeline, Writers};
use skein_shared::window::TimestampMs;

use crate::cutover_history::operator::{Facts, changed, since, time};
use crate::cutover_history::versions::OrgVersion;

/// The old pipeline has all, also of what the new one has shown.
pub(super) fn void(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    let edge = time(version.edges.switch_at);
    let is_complete = facts.holds_all(Pipeline::Old) && facts.old_filtered_to < edge;
    is_complete.then(|| show_old_since(version, edge)).flatten()
}

pub(super) fn reverse(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    let edge = facts.edge(facts.old_filtered_to.saturating_add(1));
    let holds_all = facts.holds_all(Pipeline::Old);
    holds_all.then(|| show_old_since(version, edge)).flatten()
}

fn show_old_since(version: &OrgVersion, edge: i64) -> Option<OrgVersion> {
    let next = changed(version, CutoverState::Reversed, since(edge), |phase| {
        phase.visible = Pipeline::Old;
    })?;
    Some(OrgVersion {
        edges: Edges {
            reverse_at: Some(TimestampMs(edge)),
            ..next.edges
        },
        ..next
    })
}

/// The old pipeline writes again; that it is visible comes after everybody knows.
pub(super) fn revive(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    let edge = facts.edge(time(version.edges.old_ends_at));
    let next = changed(version, CutoverState::Reversing, since(edge), |phase| {
        phase.writers = Writers::Both;
    })?;
    Some(OrgVersion {
        edges: Edges {
            reverse_at: Some(TimestampMs(edge)),
            ..next.edges
        },
        ..next
    })
}

pub(super) fn show_old(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    if !facts.is_known(version.fleet) {
        return None;
    }
    let least = time(version.edges.reverse_at).max(facts.old_filtered_to.saturating_add(1));
    let edge = facts.edge(least);
    let holds_all = facts.holds_all(Pipeline::Old);
    holds_all.then(|| show_old_since(version, edge)).flatten()
}

/// Before a switch the edge is taken back; else the new pipeline ends to write where it is not visible, once no scan asks
/// for that any more. Not with a seal in force: what was amended is nowhere else.
pub(super) fn cancel(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    if version.state == CutoverState::Scheduled {
        let edge = time(version.edges.switch_at);
        let is_early = facts.now < edge && facts.old_filtered_to < edge;
        let next = (is_early && facts.holds_all(Pipeline::Old))
            .then(|| show_old_since(version, edge))
            .flatten()?;
        return Some(OrgVersion {
            state: CutoverState::Shadow,
            ..next
        });
    }
    if version.seal.is_some() || facts.has_scans(version) {
        return None;
    }
    let phases = version.timeline.phases();
    let is_new = |visible: Pipeline| visible == Pipeline::New;
    let shown = phases.iter().rposition(|phase| is_new(phase.visible));
    let from = phases[shown.map_or(0, |last| last + 1)].from.0;
    let next = changed(version, CutoverState::Off, since(from), |phase| {
        phase.writers = Writers::Only(Pipeline::Old);
    })?;
    Some(OrgVersion {
        edges: Edges::default(),
        ..next
    })
}
