//! What a cutover leaves.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::cutover::{ComparisonName, CutoverState, Edges, NodeRole, Standing, UndoCost};
use skein_shared::format::cutover_ack::CutoverAck;
use skein_shared::format::cutover_fleet::{CutoverFleet, FleetHead};
use skein_shared::format::cutover_seal::CutoverSeal;
use skein_shared::format::cutover_version::{Change, CutoverVersion, Evidence};
use skein_shared::format::delete_entry::{EntryHash, Statement};
use skein_shared::format::diff_verdict::{DiffCounts, DiffSides, DiffVerdict, Verdict};
use skein_shared::ids::{OrgId, WorkerId};
use skein_shared::offset::Offset;
use skein_shared::timeline::{Phase, Pipeline, SealVector, Timeline, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};
use uuid::Uuid;

use super::Golden;
use super::fixed::{at, chain};

pub(super) fn goldens() -> Vec<Golden> {
    let seal = CutoverSeal {
        org: OrgId(42),
        version: 9,
        vector: SealVector(BTreeMap::from([(chain("points", 5), Offset(4_200))])),
        at: at(60),
    };
    let ack = CutoverAck {
        role: NodeRole::OldPipeline,
        node: WorkerId(Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10)),
        fleet: 12,
        at: at(61),
        build: "0.1.0".to_owned(),
        fenced: BTreeSet::from([OrgId(42), OrgId(7)]),
    };
    vec![
        Golden::of_envelope(
            "cutover-version-1",
            version(),
            CutoverVersion::encode,
            CutoverVersion::decode,
        ),
        Golden::of_envelope(
            "cutover-fleet-1",
            fleet(),
            CutoverFleet::encode,
            CutoverFleet::decode,
        ),
        Golden::of_envelope(
            "cutover-seal-1",
            seal,
            CutoverSeal::encode,
            CutoverSeal::decode,
        ),
        Golden::of_envelope(
            "comparison-verdict-1",
            verdict(),
            DiffVerdict::encode,
            DiffVerdict::decode,
        ),
        Golden::of_envelope(
            "cutover-acknowledgement-1",
            ack,
            CutoverAck::encode,
            CutoverAck::decode,
        ),
    ]
}

fn version() -> CutoverVersion {
    CutoverVersion {
        org: OrgId(42),
        version: 10,
        previous: EntryHash(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
        change: Change {
            verb: "switch-traffic".to_owned(),
            from: CutoverState::Canary,
            stated: Statement {
                actor: "ada".to_owned(),
                reason: "the comparison passed".to_owned(),
                ticket: Some("MOVE-7".to_owned()),
            },
            at: at(50),
        },
        state: CutoverState::Scheduled,
        standing: Standing::Blocked("the comparison is too old".to_owned()),
        timeline: timeline(),
        edges: Edges {
            new_writes_from: Some(at(10)),
            switch_at: Some(at(20)),
            old_ends_at: Some(at(30)),
            reverse_at: Some(at(40)),
        },
        seal: Some(9),
        mirror_percent: 50,
        evidence: vec![Evidence {
            kind: "diff".to_owned(),
            key: "diffs/1".to_owned(),
            digest: 0x1111_2222_3333_4444_5555_6666_7777_8888,
            text: "pass".to_owned(),
            at: at(45),
        }],
        undo: UndoCost::OneLead,
        old_place: Some("s3://old/points".to_owned()),
    }
}

fn fleet() -> CutoverFleet {
    let head = FleetHead {
        version: 10,
        hash: EntryHash(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        state: CutoverState::Scheduled,
        timeline: timeline(),
        seal: Some(9),
        mirror_percent: 50,
        old_place: Some("s3://old/points".to_owned()),
    };
    CutoverFleet {
        number: 12,
        unenrolled: Pipeline::Old,
        at: at(51),
        heads: BTreeMap::from([(OrgId(42), head)]),
    }
}

fn verdict() -> DiffVerdict {
    DiffVerdict {
        org: OrgId(42),
        comparison: ComparisonName::new("before-switch").unwrap(),
        sides: DiffSides::OldNew,
        span: TimeSpan {
            from: at(10),
            to: at(20),
        },
        verdict: Verdict::PassDeclared,
        reasons: vec!["the input was declared".to_owned()],
        cutover_version: 8,
        fleet: 11,
        build: "0.1.0".to_owned(),
        windows: (9, 10),
        counts: DiffCounts {
            equal: 1,
            within_tolerance: 2,
            different_value: 3,
            different_metadata: 4,
            missing_left: 5,
            missing_right: 6,
            duplicates: 7,
            wrong_owner: 8,
            out_of_window: 9,
            undecodable: 10,
            ignored: 11,
            resolved: 12,
            set_aside: 13,
        },
        new_classes: 2,
        report_digest: 0x8888_7777_6666_5555_4444_3333_2222_1111,
        at: at(48),
    }
}

fn timeline() -> Timeline {
    let phase = |from: TimestampMs, writers, visible| Phase {
        from,
        writers,
        visible,
    };
    let phases = [
        phase(
            TimeSpan::ALL.from,
            Writers::Only(Pipeline::Old),
            Pipeline::Old,
        ),
        phase(at(10), Writers::Both, Pipeline::Old),
        phase(at(20), Writers::Both, Pipeline::New),
        phase(at(30), Writers::Only(Pipeline::New), Pipeline::New),
    ];
    Timeline::new(phases).unwrap()
}
