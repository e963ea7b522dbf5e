use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::format::envelope::HEADER_BYTES;

fn sample(stages: Vec<(String, Vec<u64>)>, task: Option<(u128, u32)>, n: u64) -> RunRecord {
    let stages = stages.into_iter().map(|(name, nanos)| {
        let mut time = StageTime::default();
        for nanos in &nanos {
            time.record(Duration::from_nanos(*nanos));
        }
        RecordedStage {
            place: if nanos.len().is_multiple_of(2) {
                StagePlace::Beside
            } else {
                StagePlace::InTask
            },
            name,
            time,
        }
    });
    RunRecord {
        run: Attempt(n),
        at: TimestampMs(n.cast_signed()),
        of: task.map_or(RunKind::Run, |(plan, index)| RunKind::Task {
            plan: PlanId(plan),
            index,
        }),
        ended: if n.is_multiple_of(3) {
            RunEnd::Short
        } else {
            RunEnd::Done
        },
        software: format!("1.{n}"),
        encoder: 7,
        threads: 3,
        did: RunTotals {
            shards: 1,
            shards_advanced: 2,
            points_in: n,
            points_merged: 4,
            points_out: 5,
            object_bytes: 6,
            segment_bytes: 7,
            wall: Duration::from_nanos(n),
            cpu: Duration::from_nanos(8),
            tasks: Duration::from_nanos(9),
        },
        stages: stages.collect(),
    }
}

proptest! {
    #[test]
    fn every_record_reads_back_and_no_damage_panics(
        stages: Vec<(String, Vec<u64>)>,
        task: Option<(u128, u32)>,
        n: u64,
        at: prop::sample::Index,
        flip in 1_u8..,
    ) {
        let (id, record) = (WriteId::random(), sample(stages, task, n));
        let mut bytes = record.encode(id).to_vec();
        prop_assert_eq!(RunRecord::decode(&bytes).unwrap(), (id, record));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(RunRecord::decode(&bytes).is_err());
        prop_assert!(RunRecord::decode(&bytes[..at]).is_err());
    }

    #[test]
    fn a_body_of_any_bytes_is_read_or_refused(
        stages: Vec<(String, Vec<u64>)>,
        at: prop::sample::Index,
        with: u8,
    ) {
        let bytes = sample(stages, None, 1).encode(WriteId::random());
        let mut body = bytes[HEADER_BYTES..].to_vec();
        let at = at.index(body.len());
        body[at] = with;
        if let Ok(message) = body::RunBody::decode(&body[..]) {
            let _ = message.read();
        }
    }
}
