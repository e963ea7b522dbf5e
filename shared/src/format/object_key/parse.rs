//! Keys from text: the inverse of `Display`, and nothing besides.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::format::object_key::piece::{attempt_from, chain_from, offset_from};
use crate::format::object_key::{Attempt, CutoverKey, Hour, ObjectKey, OldKey};
use crate::ids::{Chain, FlushId, Generation, Hole, JobId, ShardId, SourceName};
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
        ["fills", chain @ .., hole, from] => fill_key(chain_from(chain)?, hole, from),
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
        ["runs", name] => run_key(name),
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
        [
            "cutover" | "cutover-seals" | "fleet" | "acknowledgements" | "diffs",
            ..,
        ] => CutoverKey::parse(&parts).map(ObjectKey::Cutover),
        ["old" | "old-progress", ..] => OldKey::parse(&parts).map(ObjectKey::Old),
        [_, "leaf", shard, name] => leaf_key(shard.parse().ok()?, name),
        [_, kind, shard, name] => named_by_attempt(kind, shard.parse().ok()?, name),
        _ => None,
    }
}

fn fill_key(chain: Chain, hole: &str, from: &str) -> Option<ObjectKey> {
    Some(ObjectKey::Fill {
        hole: Hole {
            chain,
            from: offset_from(hole)?,
        },
        from: offset_from(from)?,
    })
}

fn run_key(name: &str) -> Option<ObjectKey> {
    let (inverted, run) = name.split_once('-')?;
    let millis = u64::MAX - inverted.parse::<u64>().ok()?;
    Some(ObjectKey::RunRecord {
        at: TimestampMs(i64::try_from(millis).ok()?),
        run: attempt_from(run)?,
    })
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
        "account" => Some(ObjectKey::Account {
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

fn hour_from(date: &str, hour: &str) -> Option<Hour> {
    let date: jiff::civil::Date = date.parse().ok()?;
    let hour: i8 = hour.parse().ok().filter(|hour| (0..24).contains(hour))?;
    let time = date
        .at(hour, 0, 0, 0)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    Some(Hour::of(TimestampMs(time.timestamp().as_millisecond())))
}

#[cfg(test)]
mod tests;
