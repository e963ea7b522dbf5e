use proptest::prelude::*;

use super::*;
use crate::format::digest::ContentDigest;
use crate::ids::{
    Incarnation, MetricId, OrgId, PartitionId, SourceName, Tenure, TopicName, WorkerId,
};

fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("a").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(1),
        partition: PartitionId(partition),
    }
}

prop_compose! {
    fn step()(
        spans in prop::collection::vec((0_u32..4, 0_i64..1000, 1_i64..50, 0_u64..3), 0..6),
        objects in prop::collection::vec((0_u64..3, any::<u64>()), 0..4),
        windows in prop::collection::btree_set(any::<i64>(), 0..4),
        complete_to in prop::option::of(any::<i64>()),
    ) -> Step {
        let mut step = Step::default();
        let flush = |counter| FlushId { worker: WorkerId("00000000000000000000000000000007".parse().unwrap()), counter };
        for (partition, from, length, counter) in spans {
            let span = Span::new(Offset(from), Offset(from + length));
            let stream = Stream { chain: chain(partition), tenure: Tenure(counter) };
            step.allowed.allow(flush(counter), stream, span);
            let from = (from % 2 == 0).then_some(span.from);
            let advance = Advance { from, to: span.to };
            if counter == 2 {
                let hole = Hole { chain: chain(partition), from: span.from };
                step.fill_advances.insert(hole, advance);
            } else {
                step.advances.insert(chain(partition), advance);
            }
        }
        for (counter, bytes) in objects {
            step.objects.push(PlannedObject {
                flush: flush(counter),
                object: FlushedObject {
                    key: format!("k{bytes}"),
                    shard: ShardId::Dedicated(OrgId(bytes)),
                    object_bytes: bytes,
                    crc32c: 7,
                    frames: counter,
                    raw_bytes: bytes / 2,
                    digest: ContentDigest::EMPTY,
                },
            });
        }
        step.complete_to = complete_to.map(TimestampMs);
        step.rewrites = windows.into_iter().map(Window::from_number).collect();
        step.deletes_due = step.objects.len() as u64;
        step.whole = step.rewrites.iter().copied().skip(1).collect();
        step
    }
}

prop_compose! {
    fn plan()(
        steps in prop::collection::vec((step(), any::<u64>(), 1_u32..4), 0..5),
        watermark in prop::option::of(any::<i64>()),
    ) -> CompactPlan {
        let mut tasks = Vec::new();
        for (step, org, of) in steps {
            let key = |metric: u32| SeriesKey { org: OrgId(org), metric: MetricId(metric.into()) };
            tasks.extend((0..of).map(|number| PlannedTask {
                shard: ShardId::Dedicated(OrgId(org)),
                part: Part {
                    number,
                    of,
                    series: SeriesRange {
                        first: if number == 0 { SeriesKey::MIN } else { key(2 * number) },
                        last: if number + 1 == of { SeriesKey::MAX } else { key(2 * number + 1) },
                    },
                },
                most_bytes: (org % 2 == 0).then_some(org),
                step: step.clone(),
            }));
        }
        let rules = PlanRules {
            shard_map_versions: 3,
            timeline: 9,
            watermark: watermark.map(TimestampMs),
            profile: Profile::Archive,
            max_overlays: 8,
            rollups: vec![Resolution::FiveMinutes, Resolution::OneDay],
            limits: Limits::default(),
            deletes: 4,
        };
        CompactPlan { rules, tasks }
    }
}

proptest! {
    #[test]
    fn a_plan_reads_back_and_keeps_its_id(plan in plan()) {
        let id = WriteId::random();
        let bytes = plan.encode(id);
        let read = CompactPlan::decode(&bytes).unwrap();
        prop_assert_eq!(read.1.id(), plan.id());
        prop_assert_eq!(&read, &(id, plan));
    }

    #[test]
    fn a_changed_bit_is_found(plan in plan(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = plan.encode(WriteId::random()).to_vec();
        // Without the write id, which is no content.
        let at = at.index(bytes.len() - 16);
        let at = if at < 16 { at } else { at + 16 };
        bytes[at] ^= 1 << bit;
        prop_assert!(CompactPlan::decode(&bytes).is_err());
    }

    #[test]
    fn the_ranges_of_a_shards_parts_hold_every_series_once(plan in plan(), metric in 0_u64..5) {
        for shard in plan.tasks.iter().map(|task| task.shard) {
            let ShardId::Dedicated(org) = shard else { unreachable!() };
            let key = SeriesKey { org, metric: MetricId(metric) };
            let first = plan.tasks.iter().position(|task| task.shard == shard).unwrap();
            let parts = &plan.tasks[first..first + plan.tasks[first].part.of as usize];
            let holding = parts.iter().filter(|task| task.part.series.contains(key));
            prop_assert_eq!(holding.count(), 1);
        }
    }
}

#[test]
fn plans_that_differ_have_different_ids() {
    let rules = PlanRules {
        shard_map_versions: 1,
        timeline: 0,
        watermark: None,
        profile: Profile::Fast,
        max_overlays: 8,
        rollups: Vec::new(),
        limits: Limits::default(),
        deletes: 0,
    };
    let other = PlanRules {
        deletes: 1,
        ..rules.clone()
    };
    let [one, two] = [rules, other].map(|rules| CompactPlan {
        rules,
        tasks: Vec::new(),
    });
    assert_ne!(one.id(), two.id());
    assert_eq!(one.id().to_string().parse(), Ok(one.id()));
}
