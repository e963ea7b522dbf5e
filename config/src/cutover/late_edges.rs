//! Of which orgs a node learned something later than an edge allows.

use std::collections::BTreeSet;

use skein_shared::cutover::NodeRole;
use skein_shared::ids::OrgId;
use skein_shared::timeline::Pipeline;
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover::owner::writers;
use crate::cutover::timelines::Timelines;

/// The orgs of which a node that went by `known`, and takes `new` now, would not have written something between the moment
/// when it last looked and `margin` after now. What it wrote too much nobody sees. Times before that moment change by a
/// void, or on evidence, and no node can know of it before.
pub fn late(
    role: NodeRole,
    (known, new): (&Timelines, &Timelines),
    (looked_at, now): (TimestampMs, TimestampMs),
    margin: Millis,
) -> BTreeSet<OrgId> {
    let pipeline = match role {
        NodeRole::Compactor => Pipeline::New,
        NodeRole::OldPipeline => Pipeline::Old,
        // Both pipelines hold what lies around an edge of what is visible.
        NodeRole::Reader | NodeRole::Server => return BTreeSet::new(),
    };
    let span = TimeSpan {
        from: looked_at,
        to: TimestampMs(now.0.saturating_add_unsigned(margin.0)),
    };
    let differs = |org: &OrgId| {
        let writes = |timelines, at| writers(timelines, *org, at).contain(pipeline);
        let both = [known.of(*org), new.of(*org)].into_iter();
        let mut begins = both.flat_map(|timeline| timeline.phases_in(span));
        begins.any(|(part, _)| !writes(known, part.from) && writes(new, part.from))
    };
    let orgs = known.enrolled().chain(new.enrolled()).map(|(org, _)| org);
    orgs.filter(differs).collect()
}

#[cfg(test)]
mod tests {
    use skein_shared::cutover::CutoverState;
    use skein_shared::timeline::{Phase, Timeline, Writers};

    use super::*;
    use crate::cutover::timelines::OrgCutover;

    const ORG: OrgId = OrgId(7);

    /// Old has everything, and new writes from `edge` on, if there is one.
    fn new_from(edge: Option<i64>) -> Timelines {
        let phase = |from, writers| Phase {
            from: TimestampMs(from),
            writers,
            visible: Pipeline::Old,
        };
        let old = phase(i64::MIN, Writers::Only(Pipeline::Old));
        let later = edge.map(|edge| phase(edge, Writers::Both));
        let cutover = OrgCutover {
            version: 1,
            state: CutoverState::Starting,
            timeline: Timeline::new([old].into_iter().chain(later)).unwrap(),
            seal: None,
            mirror_percent: 0,
            old_place: None,
        };
        Timelines::owned_by(Pipeline::Old).with(ORG, cutover)
    }

    #[track_caller]
    fn check(role: NodeRole, known: &Timelines, new: &Timelines, late_orgs: usize) {
        let times = (TimestampMs(100), TimestampMs(200));
        let found = late(role, (known, new), times, Millis(50));
        assert_eq!(found.len(), late_orgs);
    }

    #[test]
    fn an_edge_is_late_when_less_than_the_margin_is_left_of_its_lead() {
        let (none, role) = (new_from(None), NodeRole::Compactor);
        check(role, &none, &new_from(Some(250)), 0);
        check(role, &none, &new_from(Some(249)), 1);
        check(role, &none, &new_from(Some(101)), 1);
        check(role, &new_from(Some(400)), &new_from(Some(249)), 1);
        // Of one that was moved away the node has written too much.
        check(role, &new_from(Some(249)), &none, 0);
        check(role, &new_from(Some(150)), &new_from(Some(150)), 0);
    }

    #[test]
    fn edges_concern_those_whose_writing_they_change() {
        let (none, edge) = (new_from(None), new_from(Some(150)));
        check(NodeRole::OldPipeline, &none, &edge, 0);
        check(NodeRole::Reader, &none, &edge, 0);
        check(NodeRole::Server, &none, &edge, 0);
        // Who wrote everything has missed nothing.
        check(NodeRole::Compactor, &none.unfiltered(), &edge, 0);
    }
}
