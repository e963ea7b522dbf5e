//! Keys from text: the inverse of `Display`, and nothing besides.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::format::object_key::{Attempt, Hour, ObjectKey};
use crate::ids::{
    Chain, FlushId, Generation, Hole, Incarnation, JobId, PartitionId, ShardId, SourceName,
    TopicName,
};
use crate::offset::Offset;
use crate::window::{TimestampMs, Window};

impl FromStr for ObjectKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::Invalid {
            what: "object key",
            input: text.to_owned(),
            reason: reason.to_owned(),
        };
        let key = parse(text).ok_or_else(|| invalid("no object of ours has such a key"))?;
        // One spelling for each key: no leading zeros, no wrong hash, no upper case.
        let spelled = key.to_string();
        if spelled == text {
            Ok(key)
        } else {
            Err(invalid(&format!("it should be spelled `{spelled}`")))
        }
    }
}

fn parse(text: &str) -> Option<ObjectKey> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        // A source may have any name: a kind that stands first goes before a hash that stands first.
        ["flushes", flush] => Some(ObjectKey::Flush(flush.parse().ok()?)),
        ["ledger", chain @ .., last] => ledger_key(chain_from(chain)?, last),
        ["fills", chain @ .., hole, from] => Some(ObjectKey::Fill {
            hole: Hole {
                chain: chain_from(chain)?,
                from: offset_from(hole)?,
            },
            from: offset_from(from)?,
        }),
        ["replays", job, last] => replay_key(job.parse().ok()?, last),
        ["plans", plan] => Some(ObjectKey::Plan(plan.parse().ok()?)),
        ["results", plan, task] => Some(ObjectKey::Result {
            plan: plan.parse().ok()?,
            task: task.parse().ok()?,
        }),
        ["status", worker] => Some(ObjectKey::Status(worker.parse().ok()?)),
        ["retired", chain @ .., end] => Some(ObjectKey::Retirement {
            chain: chain_from(chain)?,
            end: offset_from(end)?,
        }),
        ["sources", name] => Some(ObjectKey::Source(SourceName::new(*name).ok()?)),
        ["shard-map", version] => Some(ObjectKey::ShardMap(version.parse().ok()?)),
        ["deletes", number, rest @ ..] => delete_key(number.parse().ok()?, rest),
        ["state-bounds", number] => Some(ObjectKey::StateBound(number.parse().ok()?)),
        ["runs", name] => {
            let (inverted, run) = name.split_once('-')?;
            let millis = u64::MAX - inverted.parse::<u64>().ok()?;
            Some(ObjectKey::RunRecord {
                at: TimestampMs(i64::try_from(millis).ok()?),
                run: attempt_from(run)?,
            })
        }
        ["manifest", shard, inverted] => {
            let inverted: u64 = inverted.parse().ok()?;
            Some(ObjectKey::Manifest {
                shard: shard.parse().ok()?,
                generation: Generation(u64::MAX - inverted),
            })
        }
        [_, "state", shard, date, hour, name] => {
            let (flush, number) = name.rsplit_once('-')?;
            Some(ObjectKey::State {
                shard: shard.parse().ok()?,
                hour: hour_from(date, hour)?,
                flush: flush.parse::<FlushId>().ok()?,
                number: number.parse().ok()?,
            })
        }
        [_, "segment", shard, resolution, window, name] => {
            let (generation, attempt, number) = numbered(name)?;
            Some(ObjectKey::Segment {
                shard: shard.parse().ok()?,
                resolution: resolution.parse().ok()?,
                window: Window::from_number(window.parse().ok()?),
                generation,
                attempt,
                number,
            })
        }
        [_, "leaf", shard, name] => leaf_key(shard.parse().ok()?, name),
        [_, kind, shard, name] => named_by_attempt(kind, shard.parse().ok()?, name),
        _ => None,
    }
}

fn leaf_key(shard: ShardId, name: &str) -> Option<ObjectKey> {
    let (generation, attempt, number) = numbered(name)?;
    Some(ObjectKey::Leaf {
        shard,
        generation,
        attempt,
        number,
    })
}

/// `<generation>-<attempt>-<number>`
fn numbered(name: &str) -> Option<(Generation, Attempt, u32)> {
    let (rest, number) = name.rsplit_once('-')?;
    let (generation, attempt) = rest.split_once('-')?;
    let generation = Generation(generation.parse().ok()?);
    Some((generation, attempt_from(attempt)?, number.parse().ok()?))
}

/// What a try to write a shard's segments leaves beside them.
fn named_by_attempt(kind: &str, shard: ShardId, name: &str) -> Option<ObjectKey> {
    let (generation, attempt) = name.split_once('-')?;
    let generation = Generation(generation.parse().ok()?);
    let attempt = attempt_from(attempt)?;
    match kind {
        "quarantine" => Some(ObjectKey::Quarantine {
            shard,
            generation,
            attempt,
        }),
        "seal" => Some(ObjectKey::Seal {
            shard,
            generation,
            attempt,
        }),
        _ => None,
    }
}

fn ledger_key(chain: Chain, last: &str) -> Option<ObjectKey> {
    if last == "genesis" {
        return Some(ObjectKey::Genesis(chain));
    }
    let from = offset_from(last)?;
    Some(ObjectKey::LedgerEntry { chain, from })
}

fn delete_key(number: u64, rest: &[&str]) -> Option<ObjectKey> {
    match rest {
        [] => Some(ObjectKey::Delete(number)),
        ["positions"] => Some(ObjectKey::DeletePositions(number)),
        ["receipt"] => Some(ObjectKey::DeleteReceipt(number)),
        _ => None,
    }
}

fn replay_key(job: JobId, last: &str) -> Option<ObjectKey> {
    match last {
        "plan" => Some(ObjectKey::ReplayJob(job)),
        "cancel" => Some(ObjectKey::ReplayCancel(job)),
        inverted => {
            let number = u64::MAX - inverted.parse::<u64>().ok()?;
            Some(ObjectKey::ReplayStep { job, number })
        }
    }
}

fn chain_from(parts: &[&str]) -> Option<Chain> {
    let [source, topic, incarnation, partition] = parts else {
        return None;
    };
    Some(Chain {
        source: SourceName::new(*source).ok()?,
        topic: TopicName::new(*topic).ok()?,
        incarnation: Incarnation(incarnation.parse().ok()?),
        partition: PartitionId(partition.parse().ok()?),
    })
}

/// Kafka's offsets are never negative.
fn offset_from(text: &str) -> Option<Offset> {
    text.parse().ok().filter(|from| *from >= 0).map(Offset)
}

fn hour_from(date: &str, hour: &str) -> Option<Hour> {
    let date: jiff::civil::Date = date.parse().ok()?;
    let hour: i8 = hour.parse().ok().filter(|hour| (0..24).contains(hour))?;
    let time = date
        .at(hour, 0, 0, 0)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    Some(Hour::of(TimestampMs(time.timestamp().as_millisecond())))
}

fn attempt_from(text: &str) -> Option<Attempt> {
    u64::from_str_radix(text, 16).ok().map(Attempt)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use crate::ids::{OrgId, PlanId, ShardId, WorkerId};
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

    fn data_keys() -> impl Strategy<Value = ObjectKey> {
        prop_oneof![
            (shards(), any::<i64>(), flushes(), any::<u32>()).prop_map(
                |(shard, ms, flush, number)| {
                    ObjectKey::State {
                        shard,
                        hour: Hour::of(TimestampMs(ms)),
                        flush,
                        number,
                    }
                }
            ),
            (
                shards(),
                proptest::sample::select(Resolution::ALL.to_vec()),
                any::<i64>(),
                any::<u64>(),
                any::<u64>(),
                any::<u32>()
            )
                .prop_map(
                    |(shard, resolution, window, generation, attempt, number)| {
                        ObjectKey::Segment {
                            shard,
                            resolution,
                            window: Window::from_number(window),
                            generation: Generation(generation),
                            attempt: Attempt(attempt),
                            number,
                        }
                    }
                ),
            (shards(), any::<u64>(), any::<u64>()).prop_map(|(shard, generation, attempt)| {
                ObjectKey::Quarantine {
                    shard,
                    generation: Generation(generation),
                    attempt: Attempt(attempt),
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
        ] {
            assert!(text.parse::<ObjectKey>().is_err(), "{text}");
        }
    }
}
