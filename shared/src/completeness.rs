//! Up to which time is everything durable that Kafka got? A pure function of ledger and worker statuses.
//!
//! A status is a fact, not a lease: what a worker saw at `as_of` stays true when it is gone. So nobody has to
//! know who lives. A partition at its end is complete up to `as_of`, however old its last record is; one that
//! is not, up to its newest durable record; and no timestamp counts beyond the bucket's own clock.

use std::collections::BTreeMap;

use crate::format::ledger_entry::LedgerEntry;
use crate::format::worker_status::{Claim, WorkerStatus};
use crate::ids::{Chain, Incarnation, PartitionId};
use crate::ledger::ChainEnd;
use crate::offset::Offset;
use crate::units::Millis;
use crate::window::TimestampMs;

/// What the bucket says of one chain that has a genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainFacts {
    /// First offset that no entry covers.
    pub end: Offset,
    /// Timestamps of the last entry's records.
    pub times: Option<EntryTimes>,
    /// The end at which it was retired, if it was.
    pub retired_at: Option<Offset>,
}

/// Timestamps of one entry's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryTimes {
    /// The least one.
    pub oldest: TimestampMs,
    /// The greatest one.
    pub newest: TimestampMs,
    /// That of the last record, if it has one.
    pub last: Option<TimestampMs>,
}

/// How far one chain is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everything before this time is durable.
    UpTo(Reached),
    /// No worker's claim is about the chain's end: it is not read, or was not told since its last entry.
    NoClaim,
    /// It is not at its end, and no timestamp of its last entry can be believed.
    NoTimestamp,
    /// A person said that nothing more will come.
    Retired,
    /// The topic has a later life.
    Replaced,
}

/// The watermark of a chain and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reached {
    /// Everything before it is durable; exclusive.
    pub watermark: TimestampMs,
    /// The bucket's clock at the claim.
    pub as_of: TimestampMs,
    /// How many records were not durable then, as far as Kafka told.
    pub behind: Behind,
}

/// How far a chain was behind Kafka when it was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behind {
    /// Not at its end; `None` when Kafka did not tell where that is.
    Offsets(Option<u64>),
    /// At its end.
    Nothing,
}

/// How far every chain is complete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completeness {
    /// Chain by chain.
    pub chains: BTreeMap<Chain, Standing>,
    /// Where the watermark stands when there are chains and nothing more is to come in any of them: that of a chain that
    /// is at its end now.
    pub of_ended: TimestampMs,
}

/// The time of judging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgedAt {
    /// The bucket's clock before anything else was read.
    pub now: TimestampMs,
    /// How much later than its own timestamp a record may come into Kafka, and how far a producer's clock may run ahead of
    /// the bucket's.
    pub delay: Millis,
}

impl ChainFacts {
    /// From what the ledger says; `retired_at` as a person said.
    pub fn of(end: &ChainEnd, retired_at: Option<Offset>) -> Self {
        Self {
            end: end.offset,
            times: end.last.as_ref().and_then(EntryTimes::of),
            retired_at,
        }
    }
}

impl EntryTimes {
    fn of(entry: &LedgerEntry) -> Option<Self> {
        let times = entry.times?;
        Some(Self {
            oldest: times.oldest,
            newest: times.newest,
            last: entry.last.and_then(|last| last.timestamp.time()),
        })
    }

    /// The highest of the three that is not beyond `limit`: a clock that runs centuries ahead says nothing
    /// about how far the records are.
    fn highest_until(self, limit: TimestampMs) -> Option<TimestampMs> {
        let all = [Some(self.newest), self.last, Some(self.oldest)];
        all.into_iter()
            .flatten()
            .filter(|time| *time <= limit)
            .max()
    }
}

impl Completeness {
    /// Every record of the chains that were judged with an earlier timestamp is durable, if no record comes
    /// later than the delay after its own timestamp. `None` when that cannot be said of any time. Where a person has
    /// retired every chain, nothing is waited for: all of them are as if at their end.
    pub fn watermark(&self) -> Option<TimestampMs> {
        let mut least: Option<TimestampMs> = None;
        for standing in self.chains.values() {
            match standing {
                Standing::UpTo(reached) => {
                    let before = least.unwrap_or(reached.watermark);
                    least = Some(before.min(reached.watermark));
                }
                Standing::NoClaim | Standing::NoTimestamp => return None,
                Standing::Retired | Standing::Replaced => {}
            }
        }
        least.or_else(|| (!self.chains.is_empty()).then_some(self.of_ended))
    }

    /// The chains that the watermark waits for: those without one, or else the one with the least.
    pub fn held_back_by(&self) -> Vec<&Chain> {
        let is_unknown = |standing: &Standing| match standing {
            Standing::NoClaim | Standing::NoTimestamp => true,
            Standing::UpTo(_) | Standing::Retired | Standing::Replaced => false,
        };
        let unknown = self.chains.iter().filter(|(_, one)| is_unknown(one));
        let unknown: Vec<&Chain> = unknown.map(|(chain, _)| chain).collect();
        if !unknown.is_empty() {
            return unknown;
        }
        let known = self.chains.iter().filter_map(|(chain, one)| match one {
            Standing::UpTo(reached) => Some((reached.watermark, chain)),
            Standing::NoClaim | Standing::NoTimestamp | Standing::Retired | Standing::Replaced => {
                None
            }
        });
        known.min().into_iter().map(|(_, chain)| chain).collect()
    }
}

/// Judges every chain.
pub fn watermark(
    chains: &BTreeMap<Chain, ChainFacts>,
    statuses: &[WorkerStatus],
    at: JudgedAt,
) -> Completeness {
    let mut best: BTreeMap<&Chain, Option<Reached>> = BTreeMap::new();
    for status in statuses {
        for claim in &status.claims {
            let Some(facts) = chains.get(&claim.chain) else {
                continue;
            };
            if claim.position == facts.end {
                let reached = reached(facts, claim, status.as_of, at.delay);
                let known = best.entry(&claim.chain).or_default();
                *known = (*known).max(reached);
            }
        }
    }
    let standing = |chain: &Chain, facts: &ChainFacts| {
        if facts.retired_at == Some(facts.end) {
            Standing::Retired
        } else if has_later_life(chains, chain) {
            Standing::Replaced
        } else {
            match best.get(chain) {
                None => Standing::NoClaim,
                Some(None) => Standing::NoTimestamp,
                Some(Some(reached)) => Standing::UpTo(*reached),
            }
        }
    };
    let judged = chains
        .iter()
        .map(|(chain, facts)| (chain.clone(), standing(chain, facts)));
    Completeness {
        chains: judged.collect(),
        of_ended: earlier(at.now, at.delay),
    }
}

fn reached(
    facts: &ChainFacts,
    claim: &Claim,
    as_of: TimestampMs,
    delay: Millis,
) -> Option<Reached> {
    let complete_to = if claim.at_end() {
        as_of
    } else {
        let limit = TimestampMs(as_of.0.saturating_add_unsigned(delay.0));
        facts.times?.highest_until(limit)?.min(as_of)
    };
    let behind = || u64::try_from(claim.log_end?.0 - claim.position.0).ok();
    Some(Reached {
        watermark: earlier(complete_to, delay),
        as_of,
        behind: if claim.at_end() {
            Behind::Nothing
        } else {
            Behind::Offsets(behind())
        },
    })
}

fn earlier(time: TimestampMs, delay: Millis) -> TimestampMs {
    TimestampMs(time.0.saturating_sub_unsigned(delay.0))
}

/// Whether a later incarnation of the same partition has a genesis. Incarnations of a topic are not
/// neighbours in the order of chains where it has several partitions, but they are few.
fn has_later_life(chains: &BTreeMap<Chain, ChainFacts>, chain: &Chain) -> bool {
    let Some(next) = chain.incarnation.0.checked_add(1) else {
        return false;
    };
    let first = Chain {
        incarnation: Incarnation(next),
        partition: PartitionId(0),
        ..chain.clone()
    };
    let later = chains.range(first..).map(|(other, _)| other);
    later
        .take_while(|other| other.source == chain.source && other.topic == chain.topic)
        .any(|other| other.partition == chain.partition)
}

#[cfg(test)]
mod tests;
