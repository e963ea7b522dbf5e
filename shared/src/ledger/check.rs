//! Checking a chain: every fault is found and located, and none hides the next.

use std::fmt;

use futures::StreamExt;

use crate::error::{BucketCause, Error, Result};
use crate::format::ledger_entry::LedgerEntry;
use crate::format::object_key::{ObjectKey, Prefix};
use crate::ids::Chain;
use crate::ledger::{CONCURRENT_GETS, Ledger, entry_key, is_entry};
use crate::offset::{Offset, Span};

/// A fault of a chain and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFinding {
    /// Key of the object that is wrong, or that should be there.
    pub key: String,
    /// What is wrong.
    pub fault: ChainFault,
}

/// What can be wrong with a chain (SK-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainFault {
    /// There are entries but no genesis, or it was deleted.
    NoGenesis,
    /// No entry covers these offsets, though later ones are covered.
    Gap(Span),
    /// The entry at the key covers these offsets, and so does an earlier one.
    Overlap(Span),
    /// The object does not read back.
    Damaged {
        /// Byte in the object, where one can be named.
        at: Option<u64>,
        /// What is wrong there.
        reason: String,
    },
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGenesis => f.write_str("the chain has no genesis"),
            Self::Gap(span) => write!(f, "no entry covers the offsets {span}"),
            Self::Overlap(span) => write!(f, "an earlier entry covers the offsets {span} too"),
            Self::Damaged { reason, .. } => write!(f, "does not read back: {reason}"),
        }
    }
}

impl Ledger {
    /// Reads the whole chain: its faults, and the entries that read back, in order.
    ///
    /// # Errors
    /// What the bucket says; faults of the chain are findings, not errors.
    pub async fn check_chain(
        &self,
        chain: &Chain,
    ) -> Result<(Vec<ChainFinding>, Vec<LedgerEntry>)> {
        let mut findings = Vec::new();
        let genesis_key = ObjectKey::Genesis(chain.clone()).to_string();
        let mut expected = None;
        match self
            .fault_of(&genesis_key, self.genesis(chain).await)
            .await?
        {
            Ok(Some(genesis)) => expected = Some(genesis.start),
            Ok(None) => findings.push(ChainFinding {
                key: genesis_key,
                fault: ChainFault::NoGenesis,
            }),
            Err(fault) => findings.push(ChainFinding {
                key: genesis_key,
                fault,
            }),
        }
        let listed = self.bucket.list(&Prefix::chain(chain), None).await?;
        let keys = listed.into_iter().map(|object| object.key);
        let mut reads = futures::stream::iter(keys.filter(|key| is_entry(key)))
            .map(|key| async move { (key.clone(), self.read_entry(key).await) })
            .buffered(CONCURRENT_GETS);
        let mut entries = Vec::new();
        while let Some((key, read)) = reads.next().await {
            match self.fault_of(&key, read).await? {
                Ok(entry) => {
                    findings.extend(misfit(chain, expected, entry.span));
                    expected = expected.max(Some(entry.span.to));
                    entries.push(entry);
                }
                Err(fault) => {
                    findings.push(ChainFinding { key, fault });
                    // What it covered is unknown: the next entry is taken as it is.
                    expected = None;
                }
            }
        }
        Ok((findings, entries))
    }

    /// Parts what is a fault of the object from what is a failure of the bucket. An object that cannot be
    /// read though the bucket answers is at fault itself.
    async fn fault_of<T>(
        &self,
        key: &str,
        read: Result<T>,
    ) -> Result<std::result::Result<T, ChainFault>> {
        let (at, reason) = match read {
            Ok(value) => return Ok(Ok(value)),
            Err(Error::Decode { at, reason, .. }) => (Some(at), reason),
            Err(Error::Bucket {
                cause: BucketCause::Damaged,
                reason,
                ..
            }) => (None, reason),
            Err(Error::Bucket {
                cause: BucketCause::Unavailable,
                reason,
                ..
            }) if self.bucket.head(key).await.is_ok() => (None, reason),
            Err(error) => return Err(error),
        };
        Ok(Err(ChainFault::Damaged { at, reason }))
    }
}

fn misfit(chain: &Chain, expected: Option<Offset>, span: Span) -> Option<ChainFinding> {
    let expected = expected?;
    if expected < span.from {
        return Some(ChainFinding {
            key: entry_key(chain, expected),
            fault: ChainFault::Gap(Span::new(expected, span.from)),
        });
    }
    (expected > span.from).then(|| ChainFinding {
        key: entry_key(chain, span.from),
        fault: ChainFault::Overlap(Span::new(span.from, expected.min(span.to))),
    })
}
