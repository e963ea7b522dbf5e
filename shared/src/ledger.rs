//! The ledger in the bucket: per chain a genesis and contiguous entries, each created if absent, none
//! ever changed or deleted.

mod check;
mod end;

pub use check::{ChainFault, ChainFinding};
pub use end::ChainEnd;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};

use crate::bucket::{Bucket, Created};
use crate::error::{BucketCause, Error, Result};
use crate::format::ledger_entry::{Genesis, LedgerEntry};
use crate::format::object_key::{ObjectKey, Prefix};
use crate::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName, WriteId};
use crate::offset::{Offset, Span};

const FORMAT: &str = "ledger";
const CONCURRENT_GETS: usize = 32;

/// The ledger of one bucket.
#[derive(Debug, Clone)]
pub struct Ledger {
    bucket: Bucket,
}

/// What became of an attempt to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// The entry stands.
    Ours,
    /// Another worker's entry begins at that offset.
    Taken(LedgerEntry),
}

impl Ledger {
    /// The ledger in `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// Every chain that has any object, in order, with or without a genesis.
    ///
    /// # Errors
    /// `Invalid` when a folder under `ledger/` is none of ours.
    pub fn chains(&self) -> BoxFuture<'_, Result<Vec<Chain>>> {
        Box::pin(chains_under(&self.bucket, Prefix::LEDGER))
    }

    /// The chain's genesis; `None` when it has none yet.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged.
    pub fn genesis<'a>(&'a self, chain: &'a Chain) -> BoxFuture<'a, Result<Option<Genesis>>> {
        Box::pin(async move {
            let key = ObjectKey::Genesis(chain.clone()).to_string();
            match self.get(&key).await {
                Ok(bytes) => read_genesis(&key, &bytes, chain).map(Some),
                Err(Error::Bucket {
                    cause: BucketCause::NotFound,
                    ..
                }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// The genesis of a chain that is known to have begun, because an object of it was seen.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged or missing: without it nobody knows where the chain begins.
    pub fn known_genesis<'a>(&'a self, chain: &'a Chain) -> BoxFuture<'a, Result<Genesis>> {
        Box::pin(async move {
            self.genesis(chain).await?.ok_or_else(|| {
                let reason =
                    "the chain has entries and no genesis: restore it from the store's versions";
                let key = ObjectKey::Genesis(chain.clone()).to_string();
                Error::decode(FORMAT, 0, reason).in_object(&key)
            })
        })
    }

    /// Creates the chain's genesis unless there is one, and gives the one that stands.
    ///
    /// # Errors
    /// `Corrupt` when the one that stands is damaged.
    pub fn create_genesis<'a>(&'a self, genesis: &'a Genesis) -> BoxFuture<'a, Result<Genesis>> {
        Box::pin(async move {
            let key = ObjectKey::Genesis(genesis.chain.clone()).to_string();
            let id = WriteId::random();
            match self.bucket.create(&key, genesis.encode(id), id).await? {
                Created::Ours => Ok(genesis.clone()),
                Created::Taken => {
                    let bytes = self.get(&key).await?;
                    read_genesis(&key, &bytes, &genesis.chain)
                }
            }
        })
    }

    /// The entries from `from` to the chain's end. `from` is the genesis' start or an entry's end.
    ///
    /// # Errors
    /// `Corrupt` when an entry is damaged or they are not contiguous from `from` on (SK-2).
    pub fn entries<'a>(
        &'a self,
        chain: &'a Chain,
        from: Offset,
    ) -> BoxFuture<'a, Result<Vec<LedgerEntry>>> {
        Box::pin(async move {
            let prefix = Prefix::chain(chain);
            let after = (from.0 > 0).then(|| entry_key(chain, Offset(from.0 - 1)));
            let listed = self.bucket.list(&prefix, after.as_deref()).await?;
            let keys = listed.into_iter().map(|object| object.key);
            let entries: Vec<LedgerEntry> = futures::stream::iter(keys.filter(|key| is_entry(key)))
                .map(|key| self.read_entry(key))
                .buffered(CONCURRENT_GETS)
                .try_collect()
                .await?;
            check_contiguous(chain, from, &entries)?;
            Ok(entries)
        })
    }

    /// The entries that hold any offset of `span`, in order. Keys say where an entry begins, so that only those
    /// are read.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub fn entries_within<'a>(
        &'a self,
        chain: &'a Chain,
        span: Span,
    ) -> BoxFuture<'a, Result<Vec<LedgerEntry>>> {
        Box::pin(async move {
            let listed = self.bucket.list(&Prefix::chain(chain), None).await?;
            let mut keys: Vec<String> = listed.into_iter().map(|object| object.key).collect();
            keys.retain(|key| is_entry(key));
            let begins_by = |offset: Offset| {
                let bound = entry_key(chain, offset);
                keys.partition_point(|key| *key <= bound)
            };
            let first = begins_by(span.from).saturating_sub(1);
            let beyond = begins_by(Offset(span.to.0 - 1)).max(first);
            let keys = keys.drain(first..beyond).collect::<Vec<_>>();
            let entries: Vec<LedgerEntry> = futures::stream::iter(keys)
                .map(|key| self.read_entry(key))
                .buffered(CONCURRENT_GETS)
                .try_collect()
                .await?;
            if let Some(first) = entries.first() {
                check_contiguous(chain, first.span.from, &entries)?;
            }
            let inside =
                |entry: &LedgerEntry| span.from < entry.span.to && entry.span.from < span.to;
            Ok(entries.into_iter().filter(inside).collect())
        })
    }

    /// Appends `entry`, which begins at the chain's end. A repeated call with the same `write_id` after an
    /// error is safe: the entry is recognised as its own.
    ///
    /// # Errors
    /// `Corrupt` when the entry that took the place is damaged.
    pub fn append<'a>(
        &'a self,
        entry: &'a LedgerEntry,
        write_id: WriteId,
    ) -> BoxFuture<'a, Result<Appended>> {
        Box::pin(async move {
            let key = entry_key(&entry.chain, entry.span.from);
            match self
                .bucket
                .create(&key, entry.encode(write_id), write_id)
                .await?
            {
                Created::Ours => Ok(Appended::Ours),
                Created::Taken => self.read_entry(key).await.map(Appended::Taken),
            }
        })
    }

    /// The entry that begins at `from`.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged; [`Error::Bucket`] with cause `NotFound` when there is none.
    pub fn entry_at<'a>(
        &'a self,
        chain: &'a Chain,
        from: Offset,
    ) -> BoxFuture<'a, Result<LedgerEntry>> {
        Box::pin(async move { self.read_entry(entry_key(chain, from)).await })
    }

    async fn read_entry(&self, key: String) -> Result<LedgerEntry> {
        let bytes = self.get(&key).await?;
        read_entry(&key, &bytes)
    }

    /// Reads an object. One that the store calls damaged is read as it lies there, so that its own format
    /// refuses it and says where.
    async fn get(&self, key: &str) -> Result<Bytes> {
        match self.bucket.get(key).await {
            Err(Error::Bucket {
                cause: BucketCause::Damaged,
                ..
            }) => self.bucket.get_unchecked(key).await,
            read => read,
        }
    }
}

/// The chains that have folders under `prefix`, in order.
pub(crate) async fn chains_under(bucket: &Bucket, prefix: &str) -> Result<Vec<Chain>> {
    let mut folders = vec![prefix.to_owned()];
    // source, topic, incarnation, partition
    for _ in 0..4 {
        folders = folders_under(bucket, folders).await?;
    }
    let chain = |folder: &String| chain_of(prefix, folder);
    let mut chains = folders.iter().map(chain).collect::<Result<Vec<_>>>()?;
    chains.sort();
    Ok(chains)
}

async fn folders_under(bucket: &Bucket, prefixes: Vec<String>) -> Result<Vec<String>> {
    let listings: Vec<Vec<String>> = futures::stream::iter(prefixes)
        .map(|prefix| async move {
            let names = bucket.list_folders(&prefix).await?;
            let folders = names.into_iter().map(|name| format!("{prefix}{name}/"));
            Ok::<_, Error>(folders.collect())
        })
        .buffered(CONCURRENT_GETS)
        .try_collect()
        .await?;
    Ok(listings.into_iter().flatten().collect())
}

fn check_contiguous(chain: &Chain, from: Offset, entries: &[LedgerEntry]) -> Result<()> {
    let mut expected = from;
    for entry in entries {
        if entry.span.from != expected {
            let key = entry_key(chain, entry.span.from);
            let reason = format!("the chain goes on at {expected}: run `skein verify`");
            return Err(Error::decode(FORMAT, 0, reason).in_object(&key));
        }
        expected = entry.span.to;
    }
    Ok(())
}

fn entry_key(chain: &Chain, from: Offset) -> String {
    let chain = chain.clone();
    ObjectKey::LedgerEntry { chain, from }.to_string()
}

/// Whether a key of a chain's listing is an entry's; the other one is the genesis'.
fn is_entry(key: &str) -> bool {
    !key.ends_with("/genesis")
}

fn read_entry(key: &str, bytes: &[u8]) -> Result<LedgerEntry> {
    let (_, entry) = LedgerEntry::decode(bytes).map_err(|error| error.in_object(key))?;
    if entry_key(&entry.chain, entry.span.from) == key {
        return Ok(entry);
    }
    let reason = format!("holds the entry of {} {}", entry.chain, entry.span);
    Err(Error::decode(FORMAT, 0, reason).in_object(key))
}

fn read_genesis(key: &str, bytes: &[u8], chain: &Chain) -> Result<Genesis> {
    let (_, genesis) = Genesis::decode(bytes).map_err(|error| error.in_object(key))?;
    if genesis.chain == *chain {
        return Ok(genesis);
    }
    let reason = format!("holds the genesis of {}", genesis.chain);
    Err(Error::decode(FORMAT, 0, reason).in_object(key))
}

fn chain_of(prefix: &str, folder: &str) -> Result<Chain> {
    let refuse = |reason: String| Error::Invalid {
        what: "ledger folder",
        input: folder.to_owned(),
        reason,
    };
    let not_ours = || {
        refuse(format!(
            "it is not `{prefix}<source>/<topic>/<incarnation>/<partition>/`"
        ))
    };
    let names = folder.strip_prefix(prefix).unwrap_or_default();
    let parts: Vec<&str> = names.trim_end_matches('/').split('/').collect();
    let [source, topic, incarnation, partition] = parts.as_slice() else {
        return Err(not_ours());
    };
    Ok(Chain {
        source: SourceName::new(*source).map_err(refuse)?,
        topic: TopicName::new(*topic).map_err(refuse)?,
        incarnation: Incarnation(incarnation.parse().map_err(|_| not_ours())?),
        partition: PartitionId(partition.parse().map_err(|_| not_ours())?),
    })
}
