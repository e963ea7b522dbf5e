//! Whether both sides had the same input: the records between their two vectors of positions are all that one of them has
//! read and the other has not. The points of those records are set aside; the rest is proven.

mod touched;
mod state_records;

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::bucket::Bucket;
use skein_shared::format::ledger_entry::EntryKind;
use skein_shared::ids::{Chain, OrgId, ShardId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::payload::Limits;

use self::state_records::{Claims, read_claims};
use crate::diff::side::Positions;
use crate::error::{Error, Result};

pub use self::touched::Touched;

/// What is known about the input of both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputProof {
    /// Both sides are the same one.
    Same,
    /// Both said up to where they have read.
    Vectors(VectorProof),
    /// One of them cannot say; a person may.
    Unsaid,
}

/// Two vectors of positions, and what lies between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VectorProof {
    /// The left side's: the least of all holders.
    pub left: Positions,
    /// The right side's.
    pub right: Positions,
    /// The points of all records between them.
    pub touched: Touched,
    /// Why these may not be all of them, in words.
    pub short: Vec<String>,
}

/// Where the records between two vectors are read.
#[derive(Debug, Clone)]
pub struct StateOf<'a> {
    /// The bucket with the ledger and the state.
    pub bucket: &'a Bucket,
    /// Whose records.
    pub org: OrgId,
    /// Into which shards they may have gone.
    pub shards: BTreeSet<ShardId>,
    /// What a payload was held to.
    pub limits: Limits,
    /// Points that are kept in memory at most.
    pub most_points: usize,
}

impl InputProof {
    /// The points that are set aside.
    pub fn touched(&self) -> Option<&Touched> {
        match self {
            Self::Vectors(proof) => Some(&proof.touched),
            Self::Same | Self::Unsaid => None,
        }
    }
}

/// The proof for two sides whose holders stand at these positions.
///
/// # Errors
/// What the bucket says. What makes the proof short is no error.
pub async fn prove(
    state: &StateOf<'_>,
    left: &[Positions],
    right: &[Positions],
) -> Result<VectorProof> {
    let ledger = Ledger::new(state.bucket.clone());
    let mut proof = VectorProof {
        left: least(left),
        right: least(right),
        ..VectorProof::default()
    };
    let chains: BTreeSet<&Chain> = left.iter().chain(right).flat_map(Positions::keys).collect();
    let mut claims = Claims::default();
    for chain in chains {
        let genesis = ledger.genesis(chain).await?;
        let Some(genesis) = genesis else {
            let words = format!(
                "the ledger does not know {chain}: what one side has read of it is not in state"
            );
            proof.short.push(words);
            continue;
        };
        let all = left.iter().chain(right);
        let at = all.map(|positions| positions.get(chain).copied().unwrap_or(genesis.start));
        let (from, to) = at.fold((Offset(i64::MAX), Offset(0)), |(from, to), at| {
            (from.min(at), to.max(at))
        });
        if from >= to {
            continue;
        }
        let span = Span::new(from, to);
        claim(&ledger, (chain, span), &mut claims, &mut proof.short).await?;
    }
    match read_claims(state, &claims).await {
        Ok(read) => {
            proof.touched = read.touched;
            proof.short.extend(read.short);
        }
        Err(error) => proof.short.push(words_of_damage(error)?),
    }
    Ok(proof)
}

/// A damage of state makes the proof short; anything else is an error.
fn words_of_damage(error: Error) -> Result<String> {
    match error.kind() {
        skein_shared::ErrorKind::Corrupt => Ok(format!("state between the positions: {error}")),
        skein_shared::ErrorKind::Transient
        | skein_shared::ErrorKind::Fenced
        | skein_shared::ErrorKind::Invalid => Err(error),
    }
}

/// Takes in which frames count in `span` of a chain.
async fn claim(
    ledger: &Ledger,
    (chain, span): (&Chain, Span),
    claims: &mut Claims,
    short: &mut Vec<String>,
) -> Result<()> {
    let entries = ledger.entries_within(chain, span).await?;
    let end = entries.last().map_or(span.from, |entry| entry.span.to);
    if end < span.to {
        short.push(format!(
            "state of {chain} ends at offset {end}, one side has read up to {}: wait for the connector",
            span.to
        ));
    }
    for entry in entries {
        let Some(inside) = entry.span.overlap(span) else {
            continue;
        };
        match &entry.kind {
            EntryKind::Flushed { flush, tenure } => {
                claims.add(*flush, (chain, *tenure), inside);
            }
            EntryKind::LostSpan { .. } => short.push(format!(
                "the records {inside} of {chain} are recorded as lost: nobody knows their points"
            )),
        }
    }
    Ok(())
}

/// Of several holders the one that has read least of each chain counts.
fn least(of: &[Positions]) -> Positions {
    let mut least = BTreeMap::new();
    for positions in of {
        for (chain, at) in positions {
            let lowest = least.entry(chain.clone()).or_insert(*at);
            *lowest = (*lowest).min(*at);
        }
    }
    least.retain(|chain, _| of.iter().all(|positions| positions.contains_key(chain)));
    least
}
