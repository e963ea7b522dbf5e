use proptest::prelude::*;

use super::*;
use crate::format::account::OrgCounts;
use crate::format::damage::{DamageId, DamageState};
use crate::format::digest::ContentDigest;
use crate::format::segment_writer::SegmentSummary;
use crate::format::shard_manifest::Layer;
use crate::ids::{
    Generation, Incarnation, MetricId, OrgId, PartitionId, SeriesKey, SourceName, TopicName,
};
use crate::offset::Offset;
use crate::timeline::OwnershipFilter;
use crate::window::{Resolution, TimeSpan, TimestampMs};

fn orgs(number: u64) -> OrgAccounts {
    let mut orgs = OrgAccounts::default();
    let counts = OrgCounts {
        points_in: number,
        not_owned: 2,
        ..OrgCounts::default()
    };
    orgs.count(OrgId(number), counts);
    orgs
}

fn segment(number: u64) -> SegmentEntry {
    let key = |org| SeriesKey {
        org: OrgId(org),
        metric: MetricId(number),
    };
    SegmentEntry {
        key: format!("segment-{number}"),
        window: Window::from_number(3),
        resolution: Resolution::Raw,
        layer: Layer::Overlay { steps: number + 1 },
        rollup_of: None,
        generation: Generation(number),
        write_id: WriteId::random(),
        summary: SegmentSummary {
            size_bytes: number,
            tail_bytes: 7,
            crc32c: 8,
            digest: ContentDigest::EMPTY,
            points: number,
            raw_points: number,
            series: 1,
            first_timestamp: TimestampMs(1),
            last_timestamp: TimestampMs(2),
            first_series: key(1),
            last_series: key(2),
        },
        deletes_applied: number,
        filter: OwnershipFilter::Everything,
    }
}

fn damage(number: u64) -> DamageRef {
    DamageRef {
        id: DamageId(number),
        list: "q".into(),
        object: "o".into(),
        at: 3,
        bytes: 4,
        frames: number / 2,
        times: TimeSpan::ALL,
        state: DamageState::Undecided,
    }
}

fn sample(number: u64, position: i64) -> CompactResult {
    let chain = Chain {
        source: SourceName::new("a").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(1),
        partition: PartitionId(2),
    };
    let hole = Hole {
        chain: chain.clone(),
        from: Offset(4),
    };
    let advance = Advance {
        from: number.is_multiple_of(2).then_some(Offset(0)),
        to: Offset(position),
    };
    CompactResult {
        plan: PlanId(u128::from(number) << 70),
        task: 5,
        shard: ShardId::Dedicated(OrgId(number)),
        outcome: TaskOutcome::Made(Box::new(Delta {
            advances: BTreeMap::from([(chain, advance)]),
            fill_advances: BTreeMap::from([(hole, advance)]),
            replaced: BTreeMap::from([(Window::from_number(-1), vec!["old".into()])]),
            added: vec![segment(number)],
            seal: number.is_multiple_of(2).then(|| SealRef {
                key: format!("seal-{number}"),
                crc32c: 4,
                windows: [Window::from_number(number.cast_signed())].into(),
                generation: Generation(0),
            }),
            quarantine: vec![QuarantineRef {
                key: "q".into(),
                records: 1,
                crc32c: 2,
            }],
            counts: ConservationCounts {
                records: 3,
                quarantined_records: 1,
                points_in: number,
                duplicates: 0,
                not_owned: 2,
                damaged_frames: number / 2,
                deleted: 5,
                expired: 6,
            },
            orgs: (!number.is_multiple_of(3)).then(|| orgs(number)),
            versions: ManifestVersions::default(),
            damages: vec![damage(number)],
            deletes: DeltaDeletes {
                in_force: number,
                applied: number / 2,
                made_on: Generation(number),
                deleted: BTreeMap::from([(number, 3), (1, 2)]),
            },
            complete_to: number.is_multiple_of(3).then_some(TimestampMs(-7)),
        })),
    }
}

proptest! {
    #[test]
    fn a_result_reads_back(number in 0..u64::MAX, position in 0_i64..) {
        let mut result = sample(number, position);
        if number % 5 == 0 {
            result.outcome = TaskOutcome::OverBudget { bytes: number };
        }
        let id = WriteId::random();
        let read = CompactResult::decode(&result.encode(id)).unwrap();
        prop_assert_eq!(read, (id, result));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        let _ = CompactResult::decode(&bytes);
        let _ = crate::format::compact_plan::CompactPlan::decode(&bytes);
    }
}

#[test]
fn parts_of_a_shard_add_up() {
    let [TaskOutcome::Made(mut one), TaskOutcome::Made(two)] =
        [sample(1, 9), sample(2, 9)].map(|result| result.outcome)
    else {
        unreachable!("samples are made");
    };
    one.join(*two);
    assert_eq!(one.added.len(), 2);
    assert_eq!(one.quarantine.len(), 2);
    assert_eq!(one.replaced.len(), 1);
    assert_eq!((one.counts.points_in, one.counts.records), (3, 6));
    // Both parts have met the same damage.
    assert_eq!((one.damages.len(), one.counts.damaged_frames), (1, 0));
}
