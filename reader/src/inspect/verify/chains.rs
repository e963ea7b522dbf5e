//! The ledger: every chain is contiguous from its genesis on.

use std::collections::BTreeMap;

use futures::StreamExt;
use skein_shared::Result;
use skein_shared::format::frame::Stream;
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{Chain, FlushId, Hole};
use skein_shared::ledger::{ChainFault, Ledger};
use skein_shared::offset::{Offset, Span};
use skein_shared::promise::Promise;

use crate::inspect::finding::{Finding, LEDGER};
use crate::inspect::verify::Check;

const CONCURRENT_CHAINS: usize = 8;

/// What the ledger says, chain by chain and flush by flush.
#[derive(Debug, Default)]
pub(super) struct LedgerFacts {
    pub(super) chains: BTreeMap<Chain, ChainFacts>,
    /// Every span that is lost.
    pub(super) lost: BTreeMap<Hole, Span>,
    /// The fills of those that have any.
    pub(super) fills: BTreeMap<Hole, ChainFacts>,
    pub(super) flushes: BTreeMap<FlushId, Vec<Claim>>,
}

/// One chain.
#[derive(Debug, Default)]
pub(super) struct ChainFacts {
    /// First offset that no entry covers; `None` when there are no entries that read back.
    pub(super) end: Option<Offset>,
    /// Whether nothing is wrong with the chain by itself.
    pub(super) is_sound: bool,
}

/// An entry of the ledger, or of a hole's fills, that says that a span of a flush counts.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) stream: Stream,
    pub(super) span: Span,
    /// First offset of the hole, when it is a fill.
    pub(super) hole: Option<Offset>,
    pub(super) frames: u64,
}

impl Claim {
    /// Key of the entry.
    pub(super) fn key(&self) -> String {
        let (chain, from) = (self.stream.chain.clone(), self.span.from);
        let key = match self.hole {
            None => ObjectKey::LedgerEntry { chain, from },
            Some(hole) => ObjectKey::Fill {
                hole: Hole { chain, from: hole },
                from,
            },
        };
        key.to_string()
    }
}

impl LedgerFacts {
    /// Takes an entry in; `hole` when it is a fill.
    pub(super) fn add(&mut self, entry: LedgerEntry, hole: Option<Offset>) {
        let (chain, span) = (entry.chain, entry.span);
        let claim = |tenure| Claim {
            stream: Stream {
                chain: chain.clone(),
                tenure,
            },
            span,
            hole,
            frames: entry.frames,
        };
        match (entry.kind, hole) {
            (EntryKind::Flushed { flush, tenure }, _) => {
                self.flushes.entry(flush).or_default().push(claim(tenure));
            }
            (EntryKind::LostSpan { .. }, None) => {
                let from = span.from;
                self.lost.insert(Hole { chain, from }, span);
            }
            // Given up for good.
            (EntryKind::LostSpan { .. }, Some(_)) => {}
        }
    }
}

pub(super) async fn check_chains(check: &mut Check<'_>) -> Result<LedgerFacts> {
    let ledger = &Ledger::new(check.bucket.clone());
    let mut facts = LedgerFacts::default();
    let mut checks = futures::stream::iter(ledger.chains().await?)
        .map(|chain| async move { (ledger.check_chain(&chain).await, chain) })
        .buffered(CONCURRENT_CHAINS);
    while let Some((checked, chain)) = checks.next().await {
        let (findings, entries) = checked?;
        let is_sound = findings.is_empty();
        for finding in findings {
            check.find(located(&finding.key, &finding.fault));
        }
        check.checked.chains += 1;
        check.checked.ledger_entries += entries.len() as u64;
        let end = entries.iter().map(|entry| entry.span.to).max();
        for entry in entries {
            facts.add(entry, None);
        }
        facts.chains.insert(chain, ChainFacts { end, is_sound });
    }
    Ok(facts)
}

fn located(key: &str, fault: &ChainFault) -> Finding {
    let promise = match fault {
        ChainFault::NoGenesis | ChainFault::Gap(_) | ChainFault::Overlap(_) => {
            Promise::LedgerContiguous
        }
        ChainFault::Damaged { .. } => Promise::CompleteOrInvisible,
    };
    let at = match fault {
        ChainFault::Damaged { at, .. } => *at,
        ChainFault::NoGenesis | ChainFault::Gap(_) | ChainFault::Overlap(_) => None,
    };
    Finding {
        promise,
        ..LEDGER.broken(key, at, fault.to_string())
    }
}
