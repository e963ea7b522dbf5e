use proptest::prelude::*;

use super::*;
use crate::timeline::{Phase, Pipeline, Writers};
use crate::window::TimeSpan;

prop_compose! {
    pub(crate) fn timelines()(
        edges in prop::collection::btree_set(any::<i32>(), 0..6),
        sides in prop::collection::vec((0_u8..3, any::<bool>()), 7),
    ) -> Timeline {
        let starts = [TimeSpan::ALL.from.0].into_iter().chain(edges.into_iter().map(i64::from));
        let phases = starts.zip(sides).map(|(from, (writers, is_old))| {
            let side = if is_old { Pipeline::Old } else { Pipeline::New };
            let writers = if writers == 0 { Writers::Both } else { Writers::Only(side) };
            Phase { from: TimestampMs(from), writers, visible: side }
        });
        Timeline::new(phases).unwrap()
    }
}

fn standings() -> impl Strategy<Value = Standing> {
    (0_u8..5, ".{0,9}").prop_map(|(kind, why)| match kind {
        0 => Standing::Going,
        1 => Standing::Paused,
        2 => Standing::Blocked(why),
        3 => Standing::Inconclusive(why),
        _ => Standing::Faulted(why),
    })
}

prop_compose! {
    fn versions()(
        numbers in (any::<u64>(), 1_u64.., any::<u128>(), any::<i64>()),
        texts in ("[a-z-]{1,9}", ".{0,9}", ".{0,20}", prop::option::of(".{0,9}")),
        states in (0_usize..12, 0_usize..12, 0_usize..4),
        (standing, timeline) in (standings(), timelines()),
        edges in prop::array::uniform4(prop::option::of(any::<i64>())),
        rest in (prop::option::of(any::<u64>()), 0_u8..=100, prop::option::of(".{0,9}")),
        evidence in prop::collection::vec((".{0,9}", ".{0,9}", any::<u128>()), 0..3),
    ) -> CutoverVersion {
        let time = |place: usize| edges[place].map(TimestampMs);
        CutoverVersion {
            org: OrgId(numbers.0),
            version: numbers.1,
            previous: EntryHash(numbers.2),
            change: Change {
                verb: texts.0,
                from: CutoverState::ALL[states.0],
                stated: Statement { actor: texts.1, reason: texts.2, ticket: texts.3 },
                at: TimestampMs(numbers.3),
            },
            state: CutoverState::ALL[states.1],
            standing,
            timeline,
            edges: Edges {
                new_writes_from: time(0),
                switch_at: time(1),
                old_ends_at: time(2),
                reverse_at: time(3),
            },
            seal: rest.0,
            mirror_percent: rest.1,
            evidence: evidence.into_iter().map(|(kind, key, digest)| Evidence {
                text: format!("{kind} of {key}"),
                kind,
                key,
                digest,
                at: TimestampMs(numbers.3),
            }).collect(),
            undo: UndoCost::ALL[states.2],
            old_place: rest.2,
        }
    }
}

proptest! {
    #[test]
    fn a_version_reads_back_and_damage_is_refused(
        version in versions(),
        flip in 1_u8..,
        place: prop::sample::Index,
    ) {
        let id = WriteId::random();
        let mut bytes = version.encode(id).to_vec();
        prop_assert_eq!(CutoverVersion::decode(&bytes).unwrap(), (id, version));
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        prop_assert!(CutoverVersion::decode(&bytes).is_err());
        prop_assert!(CutoverVersion::decode(&bytes[..place]).is_err());
    }

    #[test]
    fn a_body_of_any_bytes_is_read_or_refused(body: Vec<u8>) {
        if let Ok(message) = CutoverMessage::decode(&body[..]) {
            let _ = message.read();
        }
    }
}

#[test]
fn a_version_in_which_nobody_wrote_what_is_visible_is_refused() {
    let phase = |writers, visible| {
        PhaseMessage::of(Phase {
            from: TimeSpan::ALL.from,
            writers: Writers::Only(writers),
            visible,
        })
    };
    let read = |phases| read_timeline(phases);
    assert!(read(vec![phase(Pipeline::Old, Pipeline::Old)]).is_ok());
    assert!(read(vec![phase(Pipeline::Old, Pipeline::New)]).is_err());
    assert!(read(Vec::new()).is_err());
}
