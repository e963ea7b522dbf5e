//! What a compaction took, and what state it no longer needs.

use std::collections::BTreeMap;
use std::time::Duration;

use skein_shared::format::account::{Account, OrgAccounts, OrgCounts};
use skein_shared::format::object_key::Attempt;
use skein_shared::format::run_record::{
    RecordedStage, RunEnd, RunKind, RunRecord, RunTotals, StagePlace,
};
use skein_shared::format::state_bound::StateBound;
use skein_shared::ids::{Generation, OrgId, PlanId};
use skein_shared::offset::Offset;
use skein_shared::stage_time::StageTime;

use super::Golden;
use super::fixed::{at, chain, hole, shared_shard};

pub(super) fn goldens() -> Vec<Golden> {
    let run = |name, of, ended| {
        Golden::of_envelope(
            name,
            run_record(of, ended),
            RunRecord::encode,
            RunRecord::decode,
        )
    };
    let task = RunKind::Task {
        plan: PlanId(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
        index: 3,
    };
    let bound = StateBound {
        number: 4,
        chains: BTreeMap::from([(chain("points", 5), Offset(4_200))]),
        fills: BTreeMap::from([(hole(5), Offset(4_050))]),
        at: at(60),
        done: 3,
    };
    let account = Account {
        shard: shared_shard(),
        expected_generation: Generation(9),
        orgs: org_accounts(),
    };
    let mut marked = account.clone();
    marked.orgs.mark_not_owned(OrgId(7), at(70));
    marked.orgs.mark_not_owned(OrgId(300), at(80));
    vec![
        Golden::of_envelope("account-1", account, Account::encode, Account::decode),
        Golden::of_envelope("account-marked-1", marked, Account::encode, Account::decode),
        run("run-record-1", RunKind::Run, RunEnd::Done),
        run("run-record-task-1", task, RunEnd::Short),
        Golden::of_envelope(
            "state-bound-1",
            bound,
            StateBound::encode,
            StateBound::decode,
        ),
    ]
}

pub(super) fn org_accounts() -> OrgAccounts {
    let counts = |from: u64| OrgCounts {
        points_in: 10 * from,
        duplicates: from + 1,
        not_owned: from + 2,
        deleted: from + 3,
        expired: from + 4,
        quarantined_records: from + 5,
    };
    OrgAccounts {
        orgs: BTreeMap::from([(OrgId(7), counts(100)), (OrgId(300), counts(200))]),
        unreadable_records: 6,
        highest_not_owned: BTreeMap::new(),
    }
}

fn run_record(of: RunKind, ended: RunEnd) -> RunRecord {
    let stage = |name: &str, place, nanos: &[u64]| {
        let mut time = StageTime::default();
        for nanos in nanos {
            time.record(Duration::from_nanos(*nanos));
        }
        RecordedStage {
            name: name.to_owned(),
            place,
            time,
        }
    };
    RunRecord {
        run: Attempt(0x0123_4567_89ab_cdef),
        at: at(50),
        of,
        ended,
        software: "skein 0.1.0".into(),
        encoder: 7,
        threads: 2,
        did: RunTotals {
            shards: 11,
            shards_advanced: 12,
            points_in: 13,
            points_merged: 14,
            points_out: 15,
            object_bytes: 16,
            segment_bytes: 17,
            wall: Duration::from_nanos(18_000_001),
            cpu: Duration::from_millis(19),
            tasks: Duration::from_nanos(20_000_001),
        },
        stages: vec![
            stage("fetch", StagePlace::Beside, &[1, 1, 300, 70_000]),
            stage("merge", StagePlace::InTask, &[5_000_000_000]),
        ],
    }
}
