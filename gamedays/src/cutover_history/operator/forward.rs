//! The steps of a cutover that goes well.

use std::sync::Arc;

use skein_shared::cutover::{CutoverState, Edges};
use skein_shared::timeline::{Pipeline, SealVector, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover_history::input::{chain, offset};
use crate::cutover_history::mutant::Mutant;
use crate::cutover_history::node::ms;
use crate::cutover_history::operator::{Facts, changed, since, time};
use crate::cutover_history::versions::OrgVersion;

pub(super) fn create(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    let edge = facts.edge(i64::MIN);
    let next = changed(version, CutoverState::Starting, since(edge), |phase| {
        phase.writers = Writers::Both;
    })?;
    Some(OrgVersion {
        edges: Edges {
            new_writes_from: Some(TimestampMs(edge)),
            ..Edges::default()
        },
        ..next
    })
}

pub(super) fn settle(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    facts.is_known(version.fleet).then(|| OrgVersion {
        state: CutoverState::Shadow,
        ..version.clone()
    })
}

/// Visible only from above all that was left out, and where it has read as much as what is visible now.
pub(super) fn schedule(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    let mut least = time(version.edges.new_writes_from);
    if facts.mutant != Some(Mutant::VisibleOverFiltered) {
        least = least.max(facts.new_filtered_to.saturating_add(1));
    }
    if !facts.holds_all(Pipeline::New) {
        return None;
    }
    let edge = facts.edge(least);
    let next = changed(version, CutoverState::Scheduled, since(edge), |phase| {
        phase.visible = Pipeline::New;
    })?;
    Some(switching_at(next, edge))
}

pub(super) fn postpone(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    let edge = time(version.edges.switch_at);
    let is_due = facts.now < edge && edge <= facts.now + ms(facts.settings.lead().0);
    let is_known = facts.acknowledged >= version.fleet;
    let holds_all = facts.holds_all(Pipeline::Old) && facts.old_filtered_to < edge;
    if !is_due || is_known || !holds_all {
        return None;
    }
    let later = facts.edge(edge + 1);
    let moved = TimeSpan {
        from: TimestampMs(edge),
        to: TimestampMs(later),
    };
    let next = changed(version, CutoverState::Scheduled, moved, |phase| {
        phase.visible = Pipeline::Old;
    })?;
    Some(switching_at(next, later))
}

fn switching_at(version: OrgVersion, edge: i64) -> OrgVersion {
    OrgVersion {
        edges: Edges {
            switch_at: Some(TimestampMs(edge)),
            ..version.edges
        },
        ..version
    }
}

pub(super) fn switch(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    (facts.now >= time(version.edges.switch_at)).then(|| OrgVersion {
        state: CutoverState::Switched,
        ..version.clone()
    })
}

/// Not before the hold is over, nor while a scan may still ask the old pipeline.
pub(super) fn contract(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    let (settings, switched_at) = (facts.settings, time(version.edges.switch_at));
    if facts.now < switched_at + ms(settings.hold.0) {
        return None;
    }
    let scans = ms(settings.token_lifetime.0 + settings.lead().0 + settings.clock_skew.0);
    let edge = facts.edge(version.flipped_at + scans);
    let next = changed(version, CutoverState::Contracting, since(edge), |phase| {
        phase.writers = Writers::Only(Pipeline::New);
    })?;
    Some(OrgVersion {
        edges: Edges {
            old_ends_at: Some(TimestampMs(edge)),
            ..next.edges
        },
        ..next
    })
}

/// All compactors have known for long that the old pipeline ends, and write all that is late; it ends where it has read as
/// much as they have.
pub(super) fn seal(version: &OrgVersion, facts: &Facts<'_>) -> Option<OrgVersion> {
    let is_over = time(version.edges.old_ends_at) + ms(facts.settings.late_horizon.0);
    let is_known = facts.is_known(version.fleet);
    if facts.now < is_over || !is_known || !facts.holds_all(Pipeline::Old) {
        return None;
    }
    let positions = facts.old_positions.iter().enumerate();
    let vector = positions.map(|(number, end)| (chain(number).clone(), offset(*end)));
    let taken = || Arc::new(SealVector(vector.collect()));
    Some(OrgVersion {
        // What is beyond an earlier seal is the new pipeline's for good.
        seal: Some(version.seal.clone().unwrap_or_else(taken)),
        state: CutoverState::Sealed,
        ..version.clone()
    })
}
