//! Where the records of a range lie: flush by flush, in the order of every partition, and what of the range is
//! nowhere.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::{Serialize, Serializer};
use skein_shared::bucket::Bucket;
use skein_shared::fills::Fills;
use skein_shared::format::frame::{RecordTimes, Stream};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::replay_job::ReplayJob;
use skein_shared::ids::{Chain, FlushId, Hole};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::state_bound_log;
use skein_shared::window::TimeSpan;

use crate::error::Result;

/// A part of a range that is nowhere, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gone {
    /// Of which chain.
    #[serde(serialize_with = "as_text")]
    pub chain: Chain,
    /// Which offsets, `[from, to)`.
    #[serde(serialize_with = "as_text")]
    pub span: Span,
    /// Why.
    pub why: String,
}

/// Offsets that a flush holds in one tenure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Which flush.
    pub flush: FlushId,
    /// Of which chain, in which tenure.
    pub stream: Stream,
    /// Which of its offsets count and are asked for.
    pub span: Span,
}

/// What a replay takes from one flush at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushStep {
    /// Which flush.
    pub flush: FlushId,
    /// What it holds, at most one span of each chain.
    pub passages: Vec<Passage>,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.chain, self.span, self.why)
    }
}

fn as_text<T: fmt::Display, S: Serializer>(
    value: &T,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// How far the holes of `chains` are filled.
///
/// # Errors
/// `Corrupt` when fills do not read back, and what the bucket says.
pub async fn filled(
    bucket: &Bucket,
    spans: &BTreeMap<Chain, Span>,
) -> Result<BTreeMap<Hole, Offset>> {
    let fills = Fills::new(bucket.clone());
    let mut ends = BTreeMap::new();
    for hole in fills.holes().await? {
        if spans.contains_key(&hole.chain) {
            let entries = fills.entries(&hole).await?;
            let end = skein_shared::fills::end_of(&hole, &entries);
            ends.insert(hole, end);
        }
    }
    Ok(ends)
}

/// Everything that a replay out of state takes, in order, and what of its range is gone.
///
/// # Errors
/// `Corrupt` when ledger or fills do not read back, and what the bucket says.
pub async fn passages(bucket: &Bucket, job: &ReplayJob) -> Result<(Vec<FlushStep>, Vec<Gone>)> {
    let ledger = Ledger::new(bucket.clone());
    let bound = state_bound_log::newest(bucket).await?;
    let mut chains = Vec::new();
    let mut gone = Vec::new();
    for (chain, span) in &job.spans {
        let mut found = Vec::new();
        for entry in ledger.entries_within(chain, *span).await? {
            let (from, is_lost) = (entry.span.from, is_lost(&entry));
            let hole = Hole {
                chain: chain.clone(),
                from,
            };
            let (parts, kept_from) = match job.fills.get(&hole).filter(|_| is_lost) {
                Some(end) => {
                    let parts = filled_parts(bucket, &hole, *end, entry).await?;
                    (parts, bound.of_hole(&hole))
                }
                None => (vec![entry], bound.of_chain(chain)),
            };
            for part in parts {
                let is_kept = kept_from.is_none_or(|kept_from| part.span.to > kept_from);
                take(job, (&part, is_kept), (&mut found, &mut gone));
            }
        }
        chains.push(VecDeque::from(found));
    }
    Ok((steps(chains), gone))
}

fn is_lost(entry: &LedgerEntry) -> bool {
    matches!(entry.kind, EntryKind::LostSpan { .. })
}

/// The fills of a lost entry up to `end`, and what is left of it.
async fn filled_parts(
    bucket: &Bucket,
    hole: &Hole,
    end: Offset,
    lost: LedgerEntry,
) -> Result<Vec<LedgerEntry>> {
    let fills = Fills::new(bucket.clone()).entries(hole).await?.into_iter();
    let fills = fills.map(|fill| fill.entry);
    let mut parts: Vec<LedgerEntry> = fills.filter(|entry| entry.span.to <= end).collect();
    if end < lost.span.to {
        parts.push(LedgerEntry {
            span: Span::new(end, lost.span.to),
            ..lost
        });
    }
    Ok(parts)
}

fn take(
    job: &ReplayJob,
    (entry, is_kept): (&LedgerEntry, bool),
    (found, gone): (&mut Vec<Passage>, &mut Vec<Gone>),
) {
    let chain = &entry.chain;
    let asked = job.spans[chain];
    let Some(span) = entry.span.overlap(asked) else {
        return;
    };
    match &entry.kind {
        EntryKind::LostSpan { reason } => gone.push(Gone {
            chain: chain.clone(),
            span,
            why: format!("lost: {reason}"),
        }),
        EntryKind::Flushed { .. } if !is_kept => gone.push(Gone {
            chain: chain.clone(),
            span,
            why: "its state is older than retention.state and may be deleted".into(),
        }),
        EntryKind::Flushed { flush, tenure } => {
            if is_wanted(entry.times, job.only.times) {
                let (chain, tenure) = (chain.clone(), *tenure);
                found.push(Passage {
                    flush: *flush,
                    stream: Stream { chain, tenure },
                    span,
                });
            }
        }
    }
}

/// Whether an entry may hold a record of these times.
fn is_wanted(held: Option<RecordTimes>, wanted: Option<TimeSpan>) -> bool {
    match (held, wanted) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(held), Some(wanted)) => held.oldest < wanted.to && wanted.from <= held.newest,
    }
}

/// Orders what flushes hold so that every chain is in order, and takes a flush once where that can be done: the
/// next is one whose passages are all next in their chains, else the first there is.
fn steps(mut chains: Vec<VecDeque<Passage>>) -> Vec<FlushStep> {
    let mut waiting: BTreeMap<FlushId, usize> = BTreeMap::new();
    for passage in chains.iter().flatten() {
        *waiting.entry(passage.flush).or_default() += 1;
    }
    let mut steps = Vec::new();
    loop {
        let mut heads: BTreeMap<FlushId, usize> = BTreeMap::new();
        for passage in chains.iter().filter_map(VecDeque::front) {
            *heads.entry(passage.flush).or_default() += 1;
        }
        let mut whole = heads
            .iter()
            .filter(|(flush, n)| waiting.get(flush) == Some(n));
        let Some((flush, _)) = whole.next().or(heads.first_key_value()) else {
            return steps;
        };
        let flush = *flush;
        let is_next = |passage: &Passage| passage.flush == flush;
        let taken = chains.iter_mut().filter_map(|chain| {
            let next = chain.front().is_some_and(is_next);
            next.then(|| chain.pop_front()).flatten()
        });
        let passages: Vec<Passage> = taken.collect();
        if let Some(left) = waiting.get_mut(&flush) {
            *left -= passages.len();
        }
        steps.push(FlushStep { flush, passages });
    }
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::{Incarnation, PartitionId, SourceName, Tenure, TopicName, WorkerId};

    use super::*;

    fn passage(flush: u64, partition: u32, from: i64) -> Passage {
        let worker = WorkerId("00000000000000000000000000000001".parse().unwrap());
        Passage {
            flush: FlushId {
                worker,
                counter: flush,
            },
            stream: Stream {
                chain: Chain {
                    source: SourceName::new("s").unwrap(),
                    topic: TopicName::new("t").unwrap(),
                    incarnation: Incarnation(0),
                    partition: PartitionId(partition),
                },
                tenure: Tenure(1),
            },
            span: Span::new(Offset(from), Offset(from + 1)),
        }
    }

    #[test]
    fn every_chain_stays_in_order_and_a_flush_is_taken_once_where_it_can_be() {
        // Flush 2 is next in one chain and must wait for flush 1 in the other.
        let chains = [
            vec![passage(2, 0, 0), passage(3, 0, 1)],
            vec![passage(1, 1, 0), passage(2, 1, 1), passage(3, 1, 2)],
        ];
        let steps = steps(chains.map(VecDeque::from).to_vec());
        let order: Vec<_> = steps
            .iter()
            .map(|s| (s.flush.counter, s.passages.len()))
            .collect();
        assert_eq!(order, [(1, 1), (2, 2), (3, 2)]);
    }

    #[test]
    fn flushes_that_lie_across_each_other_are_taken_in_pieces() {
        let chains = [
            vec![passage(1, 0, 0), passage(2, 0, 1)],
            vec![passage(2, 1, 0), passage(1, 1, 1)],
        ];
        let steps = steps(chains.map(VecDeque::from).to_vec());
        let count: usize = steps.iter().map(|step| step.passages.len()).sum();
        assert_eq!((count, steps.len()), (4, 3));
        for partition in 0..2 {
            let passages = steps.iter().flat_map(|step| &step.passages);
            let own = passages.filter(|p| p.stream.chain.partition.0 == partition);
            let offsets: Vec<_> = own.map(|p| p.span.from.0).collect();
            assert_eq!(offsets, [0, 1]);
        }
    }
}
