//! The questions of a cutover, all answered by a point's own timestamp.

use std::collections::BTreeMap;

use skein_shared::cutover::CutoverState;
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Pipeline, SealVector, Writers};
use skein_shared::window::TimestampMs;

use crate::cutover::timelines::{OwnershipFilter, Timelines};

/// Whose point of `org` at `timestamp` readers see.
pub fn owner(timelines: &Timelines, org: OrgId, timestamp: TimestampMs) -> Pipeline {
    timelines.of(org).phase_at(timestamp).visible
}

/// Who writes points of `org` at `timestamp`.
pub fn writers(timelines: &Timelines, org: OrgId, timestamp: TimestampMs) -> Writers {
    let writers = timelines.of(org).phase_at(timestamp).writers;
    match timelines.filter() {
        OwnershipFilter::Owned => writers,
        OwnershipFilter::Everything if writers.contain(Pipeline::New) => writers,
        OwnershipFilter::Everything => Writers::Both,
    }
}

/// Beyond which positions the new pipeline writes points of `org` at a `timestamp` that is not its own: they came after
/// the old pipeline had ended, and amend what it has. `None` where there are no such positions: the new pipeline writes
/// the time anyway, or the old one has not ended.
///
/// While the old one is ending nobody knows yet where it will have ended: all records count as beyond, so that none lies
/// between the seal and the moment at which the new pipeline learns of it. Readers take none of those before there is a
/// seal.
pub fn amends(timelines: &Timelines, org: OrgId, timestamp: TimestampMs) -> Option<&SealVector> {
    static EVERYTHING: SealVector = SealVector(BTreeMap::new());
    let cutover = timelines.cutover(org)?;
    let writers = cutover.timeline.phase_at(timestamp).writers;
    let seal = match &cutover.seal {
        Some(seal) => seal,
        None if cutover.state == CutoverState::Contracting => &EVERYTHING,
        None => return None,
    };
    (!writers.contain(Pipeline::New)).then_some(seal)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skein_shared::timeline::{Phase, Timeline};

    use super::*;
    use crate::cutover::timelines::OrgCutover;

    const OLD: Writers = Writers::Only(Pipeline::Old);

    fn phase(from: i64, writers: Writers, visible: Pipeline) -> Phase {
        Phase {
            from: TimestampMs(from),
            writers,
            visible,
        }
    }

    #[test]
    fn the_new_pipeline_writes_and_shows_everything_before_any_cutover() {
        let timelines = Timelines::new_owns_everything();
        for (org, ms) in [(0, i64::MIN), (7, 0), (u64::MAX, i64::MAX)] {
            let (org, at) = (OrgId(org), TimestampMs(ms));
            assert_eq!(owner(&timelines, org, at), Pipeline::New);
            assert!(writers(&timelines, org, at).contain(Pipeline::New));
            assert!(!writers(&timelines, org, at).contain(Pipeline::Old));
        }
    }

    #[test]
    fn writes_and_reads_go_by_the_time_of_the_point_alone() {
        let phases = [
            phase(i64::MIN, OLD, Pipeline::Old),
            phase(100, Writers::Both, Pipeline::Old),
            phase(200, Writers::Both, Pipeline::New),
        ];
        let cutover = OrgCutover {
            version: 3,
            state: CutoverState::Switched,
            timeline: Timeline::new(phases).unwrap(),
            seal: Some(Arc::new(SealVector(BTreeMap::new()))),
            mirror_percent: 0,
            old_place: None,
        };
        let timelines = Timelines::owned_by(Pipeline::Old).with(OrgId(7), cutover);
        let new_writes = |timelines: &Timelines, org, ms| {
            writers(timelines, OrgId(org), TimestampMs(ms)).contain(Pipeline::New)
        };
        let sees = |ms| owner(&timelines, OrgId(7), TimestampMs(ms));
        // A late point of before the switch is the old pipeline's, however late it comes.
        assert_eq!([99, 199].map(sees), [Pipeline::Old; 2]);
        assert_eq!([200, i64::MAX].map(sees), [Pipeline::New; 2]);
        assert!(!new_writes(&timelines, 7, 99) && new_writes(&timelines, 7, 100));
        assert!(
            !new_writes(&timelines, 8, 300),
            "no other org's edge counts"
        );
        assert!(new_writes(&timelines.unfiltered(), 7, 99));
        assert!(new_writes(&timelines.unfiltered(), 8, 300));
        let amended = |org, ms| amends(&timelines, OrgId(org), TimestampMs(ms)).is_some();
        assert!(amended(7, 99) && !amended(7, 100) && !amended(8, 0));
        // Before there is a seal only while the old pipeline is ending.
        let amended_without_seal = |state| {
            let mut cutover = timelines.cutover(OrgId(7)).unwrap().clone();
            (cutover.state, cutover.seal) = (state, None);
            let timelines = timelines.with(OrgId(7), cutover);
            amends(&timelines, OrgId(7), TimestampMs(99)).is_some()
        };
        assert!(amended_without_seal(CutoverState::Contracting));
        assert!(!amended_without_seal(CutoverState::Switched));
    }
}
