//! What the old pipeline keeps in the bucket: a file for each metric and flush, and how far it has come in each partition.
//!
//! A flush writes its files first and then, for its partition, the next progress, which is created if absent. So there is one
//! order of progress in a partition, whoever reads it. A file counts once the progress has passed its records; one that a
//! process wrote before it ended too early may count beside those of the process that went on, and holds the same points of
//! the same records.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::format::envelope::Kind;
use crate::format::object_key::{ObjectKey, OldFileName, OldKey, Prefix};
use crate::format::old_file::OldFile;
use crate::format::old_progress::OldProgress;
use crate::ids::{Chain, OrgId, WriteId};
use crate::ledger;
use crate::offset::Offset;

const CONCURRENT_GETS: usize = 16;

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedOldFile {
    /// What its key says.
    pub name: OldFileName,
    /// Its size.
    pub object_bytes: u64,
}

/// Writes a file; answers its size.
///
/// # Errors
/// What the bucket says.
pub fn write_file<'a>(bucket: &'a Bucket, file: &'a OldFile) -> BoxFuture<'a, Result<u64>> {
    Box::pin(async move {
        let key = OldKey::File(file.name.clone()).to_string();
        let id = WriteId::random();
        let bytes = file.encode(id);
        let object_bytes = bytes.len() as u64;
        // Nobody else's key has this attempt.
        bucket.put(&key, bytes, id).await?;
        Ok(object_bytes)
    })
}

/// Makes `progress` the newest of its partition, unless its number is taken.
///
/// # Errors
/// What the bucket says.
pub fn append<'a>(bucket: &'a Bucket, progress: &'a OldProgress) -> BoxFuture<'a, Result<Created>> {
    Box::pin(async move {
        let key = OldKey::Progress {
            chain: progress.chain.clone(),
            number: progress.number,
        };
        let id = WriteId::random();
        let bytes = progress.encode(id);
        bucket.create(&key.to_string(), bytes, id).await
    })
}

/// The newest progress of a partition; `None` of one that the old pipeline has not begun.
///
/// # Errors
/// `Corrupt` when it is damaged or another's, and what the bucket says.
pub fn newest<'a>(
    bucket: &'a Bucket,
    chain: &'a Chain,
) -> BoxFuture<'a, Result<Option<OldProgress>>> {
    Box::pin(async move {
        // Numbers are inverted in keys: the first key listed is the newest.
        let prefix = Prefix::old_progress(chain);
        let page = bucket.list_page(&prefix, None, 1).await?;
        let Some(listed) = page.objects.first() else {
            return Ok(None);
        };
        let key = listed.key.as_str();
        let bytes = bucket.get(key).await?;
        let (_, progress) = OldProgress::decode(&bytes).map_err(|error| error.in_object(key))?;
        let own = OldKey::Progress {
            chain: progress.chain.clone(),
            number: progress.number,
        };
        if own.to_string() == key {
            return Ok(Some(progress));
        }
        let (chain, number) = (&progress.chain, progress.number);
        let reason = format!("holds progress {number} of {chain}");
        Err(Error::decode(Kind::OldProgress.name(), 0, reason).in_object(key))
    })
}

/// The newest progress of every partition that the old pipeline has begun.
///
/// # Errors
/// As [`newest`].
pub fn progress(bucket: &Bucket) -> BoxFuture<'_, Result<BTreeMap<Chain, OldProgress>>> {
    Box::pin(async move {
        let chains = ledger::chains_under(bucket, Prefix::OLD_PROGRESS).await?;
        let newest: Vec<Option<OldProgress>> = stream::iter(chains)
            .map(|chain| async move { newest(bucket, &chain).await })
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        let newest = newest.into_iter().flatten();
        Ok(newest.map(|it| (it.chain.clone(), it)).collect())
    })
}

/// Up to which offset of every partition all that the old pipeline writes is in files.
///
/// # Errors
/// As [`newest`].
pub fn positions(bucket: &Bucket) -> BoxFuture<'_, Result<BTreeMap<Chain, Offset>>> {
    Box::pin(async move {
        let progress = progress(bucket).await?.into_iter();
        Ok(progress.map(|(chain, newest)| (chain, newest.to)).collect())
    })
}

/// The orgs of which there is a file, ascending.
///
/// # Errors
/// What the bucket says; `Invalid` when a folder is no org's.
pub fn orgs(bucket: &Bucket) -> BoxFuture<'_, Result<Vec<OrgId>>> {
    Box::pin(async move {
        let folders = bucket.list_folders(Prefix::OLD_FILES).await?;
        let org = |folder: String| {
            let number = folder.parse().map(OrgId);
            number.map_err(|_| Error::Invalid {
                what: "object key",
                input: format!("{}{folder}/", Prefix::OLD_FILES),
                reason: "no org has such a folder".to_owned(),
            })
        };
        folders.into_iter().map(org).collect()
    })
}

/// The files under `prefix`, in the order of their keys, whether they count or not.
///
/// # Errors
/// `Invalid` when something else lies there, and what the bucket says.
pub fn files<'a>(bucket: &'a Bucket, prefix: &'a str) -> BoxFuture<'a, Result<Vec<ListedOldFile>>> {
    Box::pin(async move {
        let listed = bucket.list(prefix, None).await?.into_iter();
        let file = |object: crate::bucket::Listed| {
            let ObjectKey::Old(OldKey::File(name)) = object.key.parse()? else {
                return Err(Error::Invalid {
                    what: "object key",
                    input: object.key,
                    reason: "no file of the old pipeline has such a key".to_owned(),
                });
            };
            Ok(ListedOldFile {
                name,
                object_bytes: object.object_bytes,
            })
        };
        listed.map(file).collect()
    })
}

/// Reads a file.
///
/// # Errors
/// `Corrupt` when it is damaged or another's, and what the bucket says.
pub fn load<'a>(bucket: &'a Bucket, name: &'a OldFileName) -> BoxFuture<'a, Result<OldFile>> {
    Box::pin(async move {
        let key = OldKey::File(name.clone()).to_string();
        let bytes = bucket.get(&key).await?;
        let (_, file) = OldFile::decode(&bytes).map_err(|error| error.in_object(&key))?;
        if file.name == *name {
            return Ok(file);
        }
        let reason = format!("holds `{}`", OldKey::File(file.name));
        Err(Error::decode(Kind::OldFile.name(), 0, reason).in_object(&key))
    })
}
