//! What came in later for spans that the ledger holds as lost: per hole a chain of fills that begins at the
//! hole's first offset, each created if absent at the end of the one before, none ever changed or deleted.
//!
//! # The rule of truth
//! A frame of a fill counts if and only if a fill of a hole names its flush, its tenure and a span that holds its
//! offset. So two replays of one hole add nothing twice, and what the ledger covers is never filled.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::format::fill_entry::FillEntry;
use crate::format::ledger_entry::{EntryKind, LedgerEntry};
use crate::format::object_key::{ObjectKey, Prefix};
use crate::ids::{Hole, WriteId};
use crate::offset::{Offset, Span};

const FORMAT: &str = "fills";
const CONCURRENT_GETS: usize = 32;

/// The fills of one bucket.
#[derive(Debug, Clone)]
pub struct Fills {
    bucket: Bucket,
}

/// What became of an attempt to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filled {
    /// The entry stands.
    Ours,
    /// Another replay's entry begins at that offset.
    Taken(FillEntry),
}

/// The end of a hole's fills.
pub fn end_of(hole: &Hole, fills: &[FillEntry]) -> Offset {
    fills.last().map_or(hole.from, |fill| fill.entry.span.to)
}

impl Fills {
    /// The fills in `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// Every hole that has any fill, in order. One request when there is none.
    ///
    /// # Errors
    /// `Invalid` when a folder under `fills/` is none of ours.
    pub async fn holes(&self) -> Result<Vec<Hole>> {
        let mut prefixes = vec![Prefix::FILLS.to_owned()];
        // source, topic, incarnation, partition, hole
        for _ in 0..5 {
            prefixes = futures::stream::iter(prefixes)
                .map(|prefix| self.folders_in(prefix))
                .buffered(CONCURRENT_GETS)
                .try_concat()
                .await?;
        }
        let mut holes: Vec<Hole> = prefixes
            .iter()
            .map(|prefix| hole_of(prefix))
            .collect::<Result<_>>()?;
        holes.sort();
        Ok(holes)
    }

    /// The span of a hole, as the ledger holds it.
    ///
    /// # Errors
    /// `NotFound` when no entry begins there; `Corrupt` when the one that does is damaged or not of a lost span.
    pub async fn span_of(&self, hole: &Hole) -> Result<Span> {
        let (chain, from) = (hole.chain.clone(), hole.from);
        let key = ObjectKey::LedgerEntry { chain, from }.to_string();
        let bytes = self.bucket.get(&key).await?;
        let (_, entry) = LedgerEntry::decode(&bytes).map_err(|error| error.in_object(&key))?;
        match entry.kind {
            EntryKind::LostSpan { .. } => Ok(entry.span),
            EntryKind::Flushed { .. } => {
                let reason = format!("has fills, but {} is not lost", entry.span);
                Err(Error::decode(FORMAT, 0, reason).in_object(&key))
            }
        }
    }

    /// The fills of a hole, in order.
    ///
    /// # Errors
    /// `Corrupt` when one is damaged, they are not contiguous from the hole's beginning on, or they reach beyond
    /// what the ledger holds as lost.
    pub async fn entries(&self, hole: &Hole) -> Result<Vec<FillEntry>> {
        let lost = self.span_of(hole).await?;
        let listed = self.bucket.list(&Prefix::hole(hole), None).await?;
        let fills: Vec<FillEntry> = futures::stream::iter(listed)
            .map(|object| self.read(object.key))
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        let mut expected = hole.from;
        for fill in &fills {
            let span = fill.entry.span;
            if span.from != expected || span.to > lost.to {
                let reason = format!("{span} in {lost}, filled to {expected}: run `skein verify`");
                return Err(Error::decode(FORMAT, 0, reason).in_object(&key_of(fill)));
            }
            expected = span.to;
        }
        Ok(fills)
    }

    /// Appends `fill`, which begins at the end of its hole's fills. A repeated call with the same `write_id`
    /// after an error is safe.
    ///
    /// # Errors
    /// `Corrupt` when the entry that took the place is damaged.
    pub async fn append(&self, fill: &FillEntry, write_id: WriteId) -> Result<Filled> {
        let key = key_of(fill);
        let body = fill.encode(write_id);
        match self.bucket.create(&key, body, write_id).await? {
            Created::Ours => Ok(Filled::Ours),
            Created::Taken => self.read(key).await.map(Filled::Taken),
        }
    }

    async fn read(&self, key: String) -> Result<FillEntry> {
        let bytes: Bytes = self.bucket.get(&key).await?;
        let (_, fill) = FillEntry::decode(&bytes).map_err(|error| error.in_object(&key))?;
        if key_of(&fill) == key {
            return Ok(fill);
        }
        let reason = format!("holds the fill of {} {}", fill.hole(), fill.entry.span);
        Err(Error::decode(FORMAT, 0, reason).in_object(&key))
    }

    async fn folders_in(&self, prefix: String) -> Result<Vec<String>> {
        let names = self.bucket.list_folders(&prefix).await?;
        let folders = names.into_iter().map(|name| format!("{prefix}{name}/"));
        Ok(folders.collect())
    }
}

/// Where a fill lies.
pub fn key_of(fill: &FillEntry) -> String {
    let (hole, from) = (fill.hole(), fill.entry.span.from);
    ObjectKey::Fill { hole, from }.to_string()
}

fn hole_of(prefix: &str) -> Result<Hole> {
    // A folder's name and any key in it say the same.
    let key = format!("{prefix}{:020}", 0);
    match key.parse::<ObjectKey>() {
        Ok(ObjectKey::Fill { hole, .. }) => Ok(hole),
        Ok(_) | Err(_) => Err(Error::Invalid {
            what: "folder of fills",
            input: prefix.to_owned(),
            reason: "it is not `fills/<source>/<topic>/<incarnation>/<partition>/<from>/`".into(),
        }),
    }
}
