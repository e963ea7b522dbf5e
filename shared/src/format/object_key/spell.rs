//! Keys as text.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::format::object_key::{Attempt, ObjectKey, Prefix};
use crate::ids::{Generation, ShardId};
use crate::window::TimestampMs;

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.without_hash();
        if self.is_hashed() {
            write!(f, "{}/", hash_of(&rest))?;
        }
        f.write_str(&rest)
    }
}

impl ObjectKey {
    fn is_hashed(&self) -> bool {
        match self {
            Self::State { .. }
            | Self::Segment { .. }
            | Self::Quarantine { .. }
            | Self::Seal { .. }
            | Self::Leaf { .. }
            | Self::Account { .. } => true,
            Self::Flush(_)
            | Self::Genesis(_)
            | Self::LedgerEntry { .. }
            | Self::Fill { .. }
            | Self::ReplayJob(_)
            | Self::ReplayStep { .. }
            | Self::ReplayCancel(_)
            | Self::Plan(_)
            | Self::Result { .. }
            | Self::Source(_)
            | Self::ShardMap(_)
            | Self::Manifest { .. }
            | Self::Status(_)
            | Self::Retirement { .. }
            | Self::Delete(_)
            | Self::DeletePositions(_)
            | Self::DeleteReceipt(_)
            | Self::StateBound(_)
            | Self::RunRecord { .. }
            | Self::Cutover(_)
            | Self::Old(_) => false,
        }
    }

    fn without_hash(&self) -> String {
        match self {
            Self::State {
                shard,
                hour,
                flush,
                number,
            } => format!("state/{shard}/{hour}/{flush}-{number}"),
            Self::Segment {
                shard,
                resolution,
                window,
                generation,
                attempt,
                number,
            } => format!(
                "segment/{shard}/{resolution}/{}/{:020}-{attempt}-{number}",
                window.number(),
                generation.0
            ),
            Self::Quarantine {
                shard,
                generation,
                attempt,
            } => format!("quarantine/{shard}/{:020}-{attempt}", generation.0),
            Self::Seal {
                shard,
                generation,
                attempt,
            } => format!("seal/{shard}/{:020}-{attempt}", generation.0),
            Self::Leaf {
                shard,
                generation,
                attempt,
                number,
            } => format!("leaf/{shard}/{:020}-{attempt}-{number}", generation.0),
            Self::Account {
                shard,
                generation,
                attempt,
            } => format!("account/{shard}/{:020}-{attempt}", generation.0),
            Self::Flush(flush) => format!("{}{flush}", Prefix::FLUSHES),
            Self::Genesis(chain) => format!("{}genesis", Prefix::chain(chain)),
            Self::LedgerEntry { chain, from } => format!("{}{:020}", Prefix::chain(chain), from.0),
            Self::Fill { hole, from } => format!("{}{:020}", Prefix::hole(hole), from.0),
            Self::ReplayJob(job) => format!("{}plan", Prefix::replay(*job)),
            Self::ReplayStep { job, number } => {
                format!("{}{:020}", Prefix::replay(*job), u64::MAX - number)
            }
            Self::ReplayCancel(job) => format!("{}cancel", Prefix::replay(*job)),
            Self::Plan(plan) => format!("{}{plan}", Prefix::PLANS),
            Self::Result { plan, task } => format!("{}{plan}/{task}", Prefix::RESULTS),
            Self::Source(name) => format!("{}{name}", Prefix::SOURCES),
            Self::ShardMap(version) => format!("{}{version:020}", Prefix::SHARD_MAP),
            Self::Manifest { shard, generation } => manifest_name(*shard, *generation),
            Self::Status(worker) => format!("{}{worker}", Prefix::STATUS),
            Self::Retirement { chain, end } => {
                format!("{}{chain}/{:020}", Prefix::RETIRED, end.0)
            }
            Self::Delete(number) => format!("{}{number:020}", Prefix::DELETES),
            Self::DeletePositions(number) => format!("{}{number:020}/positions", Prefix::DELETES),
            Self::DeleteReceipt(number) => format!("{}{number:020}/receipt", Prefix::DELETES),
            Self::StateBound(number) => format!("{}{number:020}", Prefix::STATE_BOUNDS),
            Self::RunRecord { at, run } => format!("{}{}", Prefix::RUNS, run_name(*at, *run)),
            Self::Cutover(key) => key.to_string(),
            Self::Old(key) => key.to_string(),
        }
    }
}

/// The newest first.
fn manifest_name(shard: ShardId, generation: Generation) -> String {
    let inverted = u64::MAX - generation.0;
    format!("{}{inverted:020}", Prefix::manifests(shard))
}

/// The newest first.
fn run_name(at: TimestampMs, run: Attempt) -> String {
    let millis = u64::try_from(at.0).unwrap_or(0);
    format!("{:020}-{run}", u64::MAX - millis)
}

fn hash_of(rest: &str) -> String {
    let hex = format!("{:016x}", xxh3_64(rest.as_bytes()));
    hex[..4].to_owned()
}
