use proptest::prelude::*;
use uuid::Uuid;

use crate::cutover::{ComparisonName, NodeRole};
use crate::format::object_key::OldFileName;
use crate::ids::{
    Incarnation, MetricId, OrgId, PartitionId, PlanId, SeriesKey, ShardId, TopicName, WorkerId,
};
use crate::offset::{Offset, Span};
use crate::window::Resolution;

use super::*;

fn shards() -> impl Strategy<Value = ShardId> {
    prop_oneof![
        (1_u32.., any::<u32>()).prop_map(|(modulus, any)| ShardId::Shared {
            modulus,
            remainder: any % modulus
        }),
        any::<u64>().prop_map(|org| ShardId::Dedicated(OrgId(org))),
        Just(ShardId::Quarantine),
    ]
}

fn flushes() -> impl Strategy<Value = FlushId> {
    (any::<u128>(), any::<u64>()).prop_map(|(worker, counter)| FlushId {
        worker: WorkerId(Uuid::from_u128(worker)),
        counter,
    })
}

fn chains() -> impl Strategy<Value = Chain> {
    let source = "[a-z0-9-]{1,64}".prop_map(|name| SourceName::new(name).unwrap());
    let topic = "[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}".prop_map(|n| TopicName::new(n).unwrap());
    (source, topic, any::<u32>(), any::<u32>()).prop_map(
        |(source, topic, incarnation, partition)| Chain {
            source,
            topic,
            incarnation: Incarnation(incarnation),
            partition: PartitionId(partition),
        },
    )
}

fn cutover_keys() -> impl Strategy<Value = CutoverKey> {
    prop_oneof![
        any::<u64>().prop_map(CutoverKey::Fleet),
        (any::<u64>(), any::<u64>()).prop_map(|(org, version)| CutoverKey::Version {
            org: OrgId(org),
            version
        }),
        (any::<u64>(), any::<u64>()).prop_map(|(org, version)| CutoverKey::Seal {
            org: OrgId(org),
            version
        }),
        (any::<u64>(), "[A-Za-z0-9_-]{1,64}").prop_map(|(org, name)| CutoverKey::DiffVerdict {
            org: OrgId(org),
            comparison: ComparisonName::new(name).unwrap(),
        }),
        (0_usize..4, any::<u128>()).prop_map(|(role, node)| CutoverKey::Ack {
            role: NodeRole::ALL[role],
            node: WorkerId(Uuid::from_u128(node)),
        }),
    ]
}

fn old_keys() -> impl Strategy<Value = OldKey> {
    let (numbers, times) = (any::<[u64; 3]>(), any::<[i64; 2]>());
    let files = (numbers, chains(), 0..i64::MAX, 1_i64..1000, times).prop_map(
        |([org, metric, attempt], chain, from, records, mut times)| {
            times.sort_unstable();
            OldKey::File(OldFileName {
                series: SeriesKey {
                    org: OrgId(org),
                    metric: MetricId(metric),
                },
                chain,
                span: Span::new(Offset(from), Offset(from.saturating_add(records))),
                first: TimestampMs(times[0]),
                last: TimestampMs(times[1]),
                attempt: Attempt(attempt),
            })
        },
    );
    let progress = (chains(), any::<u64>());
    let progress = progress.prop_map(|(chain, number)| OldKey::Progress { chain, number });
    prop_oneof![files, progress]
}

fn data_keys() -> impl Strategy<Value = ObjectKey> {
    prop_oneof![
        (shards(), any::<i64>(), flushes(), any::<u32>()).prop_map(|(shard, ms, flush, number)| {
            ObjectKey::State {
                shard,
                hour: Hour::of(TimestampMs(ms)),
                flush,
                number,
            }
        }),
        (
            shards(),
            proptest::sample::select(Resolution::ALL.to_vec()),
            any::<i64>(),
            any::<u64>(),
            any::<u64>(),
            any::<u32>()
        )
            .prop_map(|(shard, resolution, window, generation, attempt, number)| {
                ObjectKey::Segment {
                    shard,
                    resolution,
                    window: Window::from_number(window),
                    generation: Generation(generation),
                    attempt: Attempt(attempt),
                    number,
                }
            }),
        (shards(), any::<u64>(), any::<u64>()).prop_map(|(shard, generation, attempt)| {
            let generation = Generation(generation);
            let attempt = Attempt(attempt);
            ObjectKey::Quarantine {
                shard,
                generation,
                attempt,
            }
        }),
        (shards(), any::<u64>(), any::<u64>()).prop_map(|(shard, generation, attempt)| {
            let generation = Generation(generation);
            let attempt = Attempt(attempt);
            ObjectKey::Account {
                shard,
                generation,
                attempt,
            }
        }),
    ]
}

fn listed_keys() -> impl Strategy<Value = ObjectKey> {
    prop_oneof![
        flushes().prop_map(ObjectKey::Flush),
        chains().prop_map(ObjectKey::Genesis),
        (chains(), 0_i64..).prop_map(|(chain, from)| ObjectKey::LedgerEntry {
            chain,
            from: Offset(from)
        }),
        (chains(), 0_i64.., 0_i64..).prop_map(|(chain, hole, from)| ObjectKey::Fill {
            hole: Hole {
                chain,
                from: Offset(hole)
            },
            from: Offset(from)
        }),
        any::<u64>().prop_map(|job| ObjectKey::ReplayJob(JobId(job))),
        any::<u64>().prop_map(|job| ObjectKey::ReplayCancel(JobId(job))),
        (any::<u64>(), any::<u64>()).prop_map(|(job, number)| ObjectKey::ReplayStep {
            job: JobId(job),
            number
        }),
        any::<u128>().prop_map(|plan| ObjectKey::Plan(PlanId(plan))),
        (any::<u128>(), any::<u32>()).prop_map(|(plan, task)| ObjectKey::Result {
            plan: PlanId(plan),
            task
        }),
        chains().prop_map(|chain| ObjectKey::Source(chain.source)),
        flushes().prop_map(|flush| ObjectKey::Status(flush.worker)),
        (chains(), 0_i64..).prop_map(|(chain, end)| ObjectKey::Retirement {
            chain,
            end: Offset(end)
        }),
        any::<u64>().prop_map(ObjectKey::ShardMap),
        any::<u64>().prop_map(ObjectKey::Delete),
        any::<u64>().prop_map(ObjectKey::DeleteReceipt),
        any::<u64>().prop_map(ObjectKey::DeletePositions),
        any::<u64>().prop_map(ObjectKey::StateBound),
        cutover_keys().prop_map(ObjectKey::Cutover),
        old_keys().prop_map(ObjectKey::Old),
        (0_i64.., any::<u64>()).prop_map(|(at, run)| ObjectKey::RunRecord {
            at: TimestampMs(at),
            run: Attempt(run)
        }),
        (shards(), any::<u64>()).prop_map(|(shard, generation)| ObjectKey::Manifest {
            shard,
            generation: Generation(generation)
        }),
    ]
}

proptest! {
    #[test]
    fn every_key_reads_back(key in prop_oneof![data_keys(), listed_keys()]) {
        prop_assert_eq!(key.to_string().parse::<ObjectKey>().unwrap(), key);
    }

    #[test]
    fn a_key_has_one_spelling(text in "[0-9a-f]{4}/(state|segment|quarantine)/org-[0-9/-]{1,40}") {
        if let Ok(key) = text.parse::<ObjectKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn the_newer_manifest_is_listed_first(shard in shards(), older in 0..u64::MAX) {
        let key = |generation| {
            let generation = Generation(generation);
            ObjectKey::Manifest { shard, generation }.to_string()
        };
        prop_assert!(key(older + 1) < key(older));
    }
}

#[test]
fn a_key_is_what_the_documents_say() {
    let flush = FlushId {
        worker: WorkerId(Uuid::from_u128(0xabc)),
        counter: 7,
    };
    let key = ObjectKey::State {
        shard: ShardId::Dedicated(OrgId(1000)),
        hour: Hour::of(TimestampMs(1_700_000_000_123)),
        flush,
        number: 3,
    };
    let rest = "state/org-1000/2023-11-14/22/00000000000000000000000000000abc-0000000007-3";
    let text = key.to_string();
    assert_eq!(&text[5..], rest);
    let mut wrong_hash = text.clone().into_bytes();
    wrong_hash[0] = if wrong_hash[0] == b'0' { b'1' } else { b'0' };
    let wrong_hash = String::from_utf8(wrong_hash).unwrap();
    let error = wrong_hash.parse::<ObjectKey>().unwrap_err().to_string();
    assert!(error.contains(&text), "{error}");
}

#[test]
fn a_file_of_the_old_pipeline_says_in_its_key_what_it_holds() {
    let text = "old/00000000000000000007/00000000000000000009/kafka/points/0/3/\
                00000000000000000100-00000000000000000200-7fffffffffffffff-80000000000003e8-00000000000000ff";
    let Ok(ObjectKey::Old(OldKey::File(name))) = text.parse() else {
        panic!("it is one of the old pipeline");
    };
    let (series, span) = (name.series, name.span);
    assert_eq!((series.org.0, series.metric.0), (7, 9));
    assert_eq!((span.from.0, span.to.0), (100, 200));
    assert_eq!((name.first.0, name.last.0), (-1, 1000));
    assert_eq!((name.chain.partition.0, name.attempt.0), (3, 255));
}

#[test]
fn a_source_may_be_named_like_a_kind() {
    for text in [
        "ledger/state/t/0/0/00000000000000000007",
        "ledger/segment/t/0/0/genesis",
        "retired/state/t/0/0/00000000000000000007",
    ] {
        let key = text.parse::<ObjectKey>().unwrap();
        assert_eq!(key.to_string(), text);
    }
}

#[test]
fn text_that_names_no_object_is_refused() {
    for text in [
        "",
        "/",
        "state",
        "flushes/x",
        "ledger/a/b/0/0/-1",
        "probe/x",
        "shard-map/1",
        "status/1",
        "deletes/1",
        "deletes/00000000000000000001/other",
        "retired/a/b/0/0/-1",
        "runs/1-0000000000000001",
        "runs/00000000000000000001-0000000000000001",
        "replays/1/plan",
        "replays/0000000000000001/x",
        "fills/a/b/0/0/00000000000000000001/-1",
        "old-progress/a/b/0/0/1",
        // The records and the times of a file run forward.
        "old/00000000000000000001/00000000000000000002/a/b/0/0/\
         00000000000000000009-00000000000000000009-8000000000000000-8000000000000000-0000000000000001",
        "old/00000000000000000001/00000000000000000002/a/b/0/0/\
         00000000000000000008-00000000000000000009-8000000000000001-8000000000000000-0000000000000001",
    ] {
        assert!(text.parse::<ObjectKey>().is_err(), "{text}");
    }
}
