//! What a replay writes.

use std::collections::BTreeMap;

use skein_shared::format::replay_job::{OnGone, Only, ReplayCancel, ReplayInto, ReplayJob};
use skein_shared::format::replay_step::{ReplayStep, StepState};
use skein_shared::ids::{JobId, OrgId, PartitionId, TopicName};
use skein_shared::offset::Offset;
use skein_shared::window::TimeSpan;

use super::Golden;
use super::fixed::{at, chain, hole, shared_shard, span};

const JOB: JobId = JobId(0x0123_4567_89ab_cdef);

pub(super) fn goldens() -> Vec<Golden> {
    let job = ReplayJob {
        job: JOB,
        created: at(1),
        into: ReplayInto::Topic(TopicName::new("again").unwrap()),
        spans: BTreeMap::from([
            (chain("more", 1), span(10, 20)),
            (chain("points", 5), span(30, 400)),
            (chain("points", 6), span(31, 401)),
        ]),
        fills: BTreeMap::from([(hole(5), Offset(4_050))]),
        only: Only {
            org: Some(OrgId(300)),
            shard: Some(shared_shard()),
            times: Some(TimeSpan {
                from: at(-5),
                to: at(5),
            }),
        },
        on_gone: OnGone::Skip,
        left_out: Some(4),
    };
    let step = ReplayStep {
        job: JOB,
        number: 2,
        at: at(2),
        state: StepState::Cancelled,
        records: 700,
        record_bytes: 8_000,
        positions: BTreeMap::from([(chain("points", 5), Offset(55))]),
        target_ends: BTreeMap::from([(PartitionId(1), Offset(90)), (PartitionId(3), Offset(91))]),
    };
    let cancel = ReplayCancel {
        job: JOB,
        asked: at(3),
    };
    vec![
        Golden::of_envelope("replay-job-1", job, ReplayJob::encode, ReplayJob::decode),
        Golden::of_envelope(
            "replay-step-1",
            step,
            ReplayStep::encode,
            ReplayStep::decode,
        ),
        Golden::of_envelope(
            "replay-cancel-1",
            cancel,
            ReplayCancel::encode,
            ReplayCancel::decode,
        ),
    ]
}
