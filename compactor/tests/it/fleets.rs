//! What compactors can go by.

use std::collections::BTreeMap;

use skein_config::cutover::timelines::Timelines;
use skein_shared::cutover::CutoverState;
use skein_shared::cutover_log;
use skein_shared::format::cutover_fleet::{CutoverFleet, FleetHead};
use skein_shared::format::cutover_seal::CutoverSeal;
use skein_shared::format::delete_entry::EntryHash;
use skein_shared::ids::OrgId;
use skein_shared::offset::Offset;
use skein_shared::timeline::{Phase, Pipeline, SealVector, Timeline, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::world::{World, chain};

/// Fleet `number`: of each org the new pipeline writes the times within a span, and has all that came from an offset of
/// each partition on, if there is one. Of other orgs it writes everything.
pub(crate) async fn new_writes_within(
    world: &World,
    number: u64,
    orgs: &[(u64, [i64; 2], Option<i64>)],
) -> Timelines {
    let mut heads = BTreeMap::new();
    for (org, span, sealed) in orgs {
        let org = OrgId(*org);
        if let Some(offset) = sealed {
            let ends = (0..3).map(|partition| (chain(partition), Offset(*offset)));
            let seal = CutoverSeal {
                org,
                version: number,
                vector: SealVector(ends.collect()),
                at: TimestampMs(0),
            };
            cutover_log::keep_seal(&world.bucket, &seal).await.unwrap();
        }
        let head = FleetHead {
            version: number,
            hash: EntryHash::default(),
            state: CutoverState::Shadow,
            timeline: within(*span),
            seal: sealed.map(|_| number),
            mirror_percent: 0,
            old_place: None,
        };
        heads.insert(org, head);
    }
    let fleet = CutoverFleet {
        number,
        unenrolled: Pipeline::New,
        at: TimestampMs(0),
        heads,
    };
    Timelines::of_fleet(&world.bucket, &fleet).await.unwrap()
}

fn within([from, to]: [i64; 2]) -> Timeline {
    let span = TimeSpan {
        from: TimestampMs(from),
        to: TimestampMs(to),
    };
    let both = |phase: &mut Phase| phase.writers = Writers::Both;
    let old = Timeline::owned_by(Pipeline::Old);
    if span.is_empty() {
        return old;
    }
    old.changed(span, both).unwrap()
}
