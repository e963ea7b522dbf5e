//! Damage that is planted to see it found.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use skein_shared::bucket::Bucket;
use skein_shared::format::ledger_entry::LedgerEntry;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{Chain, WriteId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::Span;

use crate::error::{Error, Result};

/// What to damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// One bit of the largest segment is flipped.
    Flip,
    /// The last entry of the longest ledger chain is removed, so that its records do not count.
    Drop,
    /// A second ledger entry covers offsets that the first one covers, so that records would count twice.
    Dup,
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "flip" => Ok(Self::Flip),
            "drop" => Ok(Self::Drop),
            "dup" => Ok(Self::Dup),
            _ => Err(format!("`{text}` is none of flip, drop, dup")),
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flip => "flip",
            Self::Drop => "drop",
            Self::Dup => "dup",
        })
    }
}

/// Flips a bit in the middle of the object `key`.
pub(super) async fn flip_bit(bucket: &Bucket, key: &str) -> Result<()> {
    let mut bytes = bucket.get(key).await?.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(bucket.put(key, bytes.into(), WriteId::random()).await?)
}

/// Removes the last entry of the longest chain.
pub(super) async fn drop_entry(bucket: &Bucket) -> Result<()> {
    let (chain, entry) = longest_chain(bucket).await?;
    Ok(bucket.delete(&entry_key(&chain, entry.span)).await?)
}

/// Adds an entry that begins inside the last one of the longest chain.
pub(super) async fn double_entry(bucket: &Bucket) -> Result<()> {
    let (chain, mut entry) = longest_chain(bucket).await?;
    entry.span = Span::new(entry.span.from.next(), entry.span.to);
    let id = WriteId::random();
    let key = entry_key(&chain, entry.span);
    Ok(bucket.put(&key, entry.encode(id), id).await?)
}

/// The chain that reaches furthest, and its last entry.
async fn longest_chain(bucket: &Bucket) -> Result<(Chain, LedgerEntry)> {
    let ledger = Ledger::new(bucket.clone());
    let mut longest: Option<(Chain, LedgerEntry)> = None;
    for chain in ledger.chains().await? {
        let last = ledger.end(&chain, None).await?.and_then(|end| end.last);
        let Some(last) = last else { continue };
        if longest
            .as_ref()
            .is_none_or(|(_, entry)| entry.span.to < last.span.to)
        {
            longest = Some((chain, last));
        }
    }
    longest.ok_or(Error::NothingToDamage)
}

fn entry_key(chain: &Chain, span: Span) -> String {
    ObjectKey::LedgerEntry {
        chain: chain.clone(),
        from: span.from,
    }
    .to_string()
}
