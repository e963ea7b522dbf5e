//! The deletes of a bucket: gapless, created if absent, never changed; each names the hash of the one before. And their
//! positions and receipts.
//!
//! A delete comes into force with its entry, and its positions are read after that. Until they are kept, too, reads take
//! it to reach as far as any record. Whoever is about to write by it keeps them first, see [`load_complete`].

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};

use crate::bucket::{Bucket, Created};
use crate::delete_rule::pending;
use crate::error::{Error, Result};
use crate::format::delete_entry::{DeleteEntry, DeleteSelector, EntryHash, Statement};
use crate::format::delete_positions::DeletePositions;
use crate::format::delete_receipt::DeleteReceipt;
use crate::format::object_key::{ObjectKey, Prefix};
use crate::format::shard_manifest::ShardManifest;
use crate::ids::{Chain, WriteId};
use crate::ledger::Ledger;
use crate::offset::Offset;
use crate::units::Millis;
use crate::window::TimestampMs;

const FORMAT: &str = "deletes";
const CONCURRENT_REQUESTS: usize = 32;

/// Deletes in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteLog {
    /// In the order of their numbers, without a gap.
    pub entries: Vec<DeleteEntry>,
    /// Which of them have a receipt.
    pub receipts: BTreeSet<u64>,
    /// Of the newest entry and its positions.
    newest_hash: EntryHash,
}

/// What a delete is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelete {
    /// Which points.
    pub selector: DeleteSelector,
    /// Who and why.
    pub stated: Statement,
    /// How long segments may hold on to them.
    pub deadline_after: Millis,
}

/// Loads every delete; the newest may be without its positions.
///
/// # Errors
/// `Corrupt` when one is damaged, missing or does not name the one before it, or its positions are.
pub fn load(bucket: &Bucket) -> BoxFuture<'_, Result<DeleteLog>> {
    load_after(bucket, 0)
}

/// As [`load`], and every delete has its positions: where they were not kept yet, they are now.
///
/// # Errors
/// As [`load`]; what the bucket says.
pub fn load_complete(bucket: &Bucket) -> BoxFuture<'_, Result<DeleteLog>> {
    Box::pin(async move {
        loop {
            let log = load(bucket).await?;
            let is_open = |entry: &&DeleteEntry| entry.positions.is_none();
            let Some(open) = log.entries.iter().find(is_open) else {
                return Ok(log);
            };
            keep_positions(bucket, open.number).await?;
        }
    })
}

/// Loads the deletes behind number `after`: of those up to it nothing is in any segment that the caller is to look at.
///
/// # Errors
/// As [`load`].
pub fn load_after(bucket: &Bucket, after: u64) -> BoxFuture<'_, Result<DeleteLog>> {
    Box::pin(async move {
        let start_after = (after > 0).then(|| ObjectKey::Delete(after).to_string());
        let listed = bucket.list(Prefix::DELETES, start_after.as_deref()).await?;
        let mut log = DeleteLog::default();
        let mut keys = Vec::new();
        for object in listed {
            let key = object.key.parse()?;
            if let ObjectKey::DeleteReceipt(number) = key {
                log.receipts.insert(number);
            } else if !matches!(key, ObjectKey::DeletePositions(_)) {
                // Positions are looked for with their delete: they may have come since.
                keys.push(object.key);
            }
        }
        let mut reads = futures::stream::iter(keys)
            .map(|key| read(bucket, key))
            .buffered(CONCURRENT_REQUESTS);
        let mut expected = after + 1;
        while let Some((key, entry, hash)) = reads.try_next().await? {
            let refuse = |reason: &str| Err(Error::decode(FORMAT, 0, reason).in_object(&key));
            if entry.number != expected {
                return refuse(&format!("delete {expected} is missing before it"));
            }
            if entry.positions.is_none() && log.receipts.contains(&entry.number) {
                return refuse("it has a receipt, and its positions are missing");
            }
            // What stands before the first one loaded is not at hand.
            if (after == 0 || expected > after + 1) && entry.previous != log.newest_hash {
                return refuse(
                    "it was made after another delete, or other positions, than those before it",
                );
            }
            log.newest_hash = hash;
            log.entries.push(entry);
            expected += 1;
        }
        Ok(log)
    })
}

/// Appends a delete of all that the ledger names now: of every record that is durable when its entry is created. What
/// becomes durable while this runs may be deleted or not, and stays what it then is.
///
/// # Errors
/// As [`load`]; what the bucket says. The delete may be in force then: the next one to write by it keeps its positions.
pub fn append(bucket: &Bucket, new: NewDelete) -> BoxFuture<'_, Result<DeleteEntry>> {
    Box::pin(async move {
        loop {
            let log = load_complete(bucket).await?;
            let at = bucket.now().await?;
            let entry = DeleteEntry {
                number: log.newest() + 1,
                selector: new.selector,
                positions: None,
                stated: new.stated.clone(),
                at,
                deadline: TimestampMs(at.0.saturating_add_unsigned(new.deadline_after.0)),
                previous: log.newest_hash,
            };
            let (key, id) = (
                ObjectKey::Delete(entry.number).to_string(),
                WriteId::random(),
            );
            match bucket.create(&key, entry.encode(id), id).await? {
                Created::Ours => {
                    keep_positions(bucket, entry.number).await?;
                    let (_, entry, _) = read(bucket, key).await?;
                    return Ok(entry);
                }
                // Somebody else's has the number: this one comes after it.
                Created::Taken => {}
            }
        }
    })
}

/// Keeps where the ledger ends as the positions of a delete, which is there; the first that are kept stand.
async fn keep_positions(bucket: &Bucket, number: u64) -> Result<()> {
    let positions = DeletePositions {
        number,
        positions: positions(bucket).await?,
    };
    let key = ObjectKey::DeletePositions(number).to_string();
    let id = WriteId::random();
    match bucket.create(&key, positions.encode(id), id).await? {
        Created::Ours | Created::Taken => Ok(()),
    }
}

/// Where the ledger of every chain ends.
async fn positions(bucket: &Bucket) -> Result<BTreeMap<Chain, Offset>> {
    let ledger = Ledger::new(bucket.clone());
    let ends: Vec<Option<(Chain, Offset)>> = futures::stream::iter(ledger.chains().await?)
        .map(|chain| end_of(&ledger, chain))
        .buffered(CONCURRENT_REQUESTS)
        .try_collect()
        .await?;
    Ok(ends.into_iter().flatten().collect())
}

async fn end_of(ledger: &Ledger, chain: Chain) -> Result<Option<(Chain, Offset)>> {
    let end = ledger.end(&chain, None).await?;
    Ok(end.map(|end| (chain, end.offset)))
}

/// The receipt of a delete; `None` while it has none.
///
/// # Errors
/// `Corrupt` when it is damaged or another's.
pub fn receipt(bucket: &Bucket, number: u64) -> BoxFuture<'_, Result<Option<DeleteReceipt>>> {
    Box::pin(async move {
        let key = ObjectKey::DeleteReceipt(number).to_string();
        let Some(bytes) = bucket.find(&key).await? else {
            return Ok(None);
        };
        let (_, receipt) = DeleteReceipt::decode(&bytes).map_err(|error| error.in_object(&key))?;
        if receipt.number == number {
            return Ok(Some(receipt));
        }
        let reason = format!("is the receipt of delete {}", receipt.number);
        Err(Error::decode(FORMAT, 0, reason).in_object(&key))
    })
}

/// Keeps a receipt; the first one stands.
///
/// # Errors
/// What the bucket says.
pub fn keep_receipt<'a>(
    bucket: &'a Bucket,
    receipt: &'a DeleteReceipt,
) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let key = ObjectKey::DeleteReceipt(receipt.number).to_string();
        let id = WriteId::random();
        match bucket.create(&key, receipt.encode(id), id).await? {
            Created::Ours | Created::Taken => Ok(()),
        }
    })
}

/// A delete, with its positions if they are there.
async fn read(bucket: &Bucket, key: String) -> Result<(String, DeleteEntry, EntryHash)> {
    let bytes = bucket.get(&key).await?;
    let (_, mut entry) = DeleteEntry::decode(&bytes).map_err(|error| error.in_object(&key))?;
    if ObjectKey::Delete(entry.number).to_string() != key {
        let reason = format!("holds delete {}", entry.number);
        return Err(Error::decode(FORMAT, 0, reason).in_object(&key));
    }
    if entry.positions.is_some() {
        return Ok((key, entry, EntryHash::of(&bytes)));
    }
    let apart = ObjectKey::DeletePositions(entry.number).to_string();
    let Some(positions_bytes) = bucket.find(&apart).await? else {
        return Ok((key, entry, EntryHash::of(&bytes)));
    };
    let read = DeletePositions::decode(&positions_bytes);
    let (_, positions) = read.map_err(|error| error.in_object(&apart))?;
    if positions.number != entry.number {
        let reason = format!("holds positions of delete {}", positions.number);
        return Err(Error::decode(FORMAT, 0, reason).in_object(&apart));
    }
    entry.positions = Some(positions.positions);
    let hash = EntryHash::of_both(&bytes, &positions_bytes);
    Ok((key, entry, hash))
}

impl DeleteLog {
    /// Number of the newest delete; 0 when there is none.
    pub fn newest(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.number)
    }

    /// The delete with this number.
    pub fn entry(&self, number: u64) -> Option<&DeleteEntry> {
        self.entries.iter().find(|entry| entry.number == number)
    }
}

/// Whether nothing of the delete is in any live segment of these manifests, nor ever will be again.
pub fn is_gone<'a>(
    delete: &DeleteEntry,
    mut manifests: impl Iterator<Item = &'a ShardManifest>,
) -> bool {
    let deletes = std::slice::from_ref(delete);
    manifests.all(|manifest| {
        let is_held = |rollup| pending(deletes, manifest, rollup).next().is_some();
        manifest.deletes_applied >= delete.number && !manifest.lone_rollups().any(is_held)
    })
}
