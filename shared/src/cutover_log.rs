//! The versions of every org's cutover, and their seals: gapless, created if absent, never changed; each names the hash of
//! the one before.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::format::cutover_seal::CutoverSeal;
use crate::format::cutover_version::CutoverVersion;
use crate::format::delete_entry::EntryHash;
use crate::format::envelope::Kind;
use crate::format::object_key::{CutoverKey, Prefix};
use crate::ids::{OrgId, WriteId};

const CONCURRENT_GETS: usize = 16;

/// A version, and the hash of its object.
pub type Hashed = (CutoverVersion, EntryHash);

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The version is the org's newest.
    Ours(EntryHash),
    /// Somebody else's has its number: read again and decide anew.
    Lost,
}

/// The newest version of `org`; `None` when it has none.
///
/// # Errors
/// `Corrupt` when it is damaged or another's, and what the bucket says.
pub fn newest(bucket: &Bucket, org: OrgId) -> BoxFuture<'_, Result<Option<Hashed>>> {
    Box::pin(async move {
        // Versions are inverted in keys: the first key listed is the newest.
        let page = bucket.list_page(&Prefix::cutover(org), None, 1).await?;
        let Some(listed) = page.objects.into_iter().next() else {
            return Ok(None);
        };
        Ok(Some(read(bucket, listed.key).await?))
    })
}

/// One version of `org`.
///
/// # Errors
/// As [`newest`]; a missing one is [`Error::Bucket`] with cause `NotFound`.
pub fn load(bucket: &Bucket, org: OrgId, version: u64) -> BoxFuture<'_, Result<Hashed>> {
    let key = CutoverKey::Version { org, version };
    Box::pin(read(bucket, key.to_string()))
}

/// Every version of `org`, the first one first; each follows the one before it.
///
/// # Errors
/// As [`newest`]; `Corrupt`, too, when one is missing or does not name the one before it.
pub fn history(bucket: &Bucket, org: OrgId) -> BoxFuture<'_, Result<Vec<Hashed>>> {
    Box::pin(async move {
        let listed = bucket.list(&Prefix::cutover(org), None).await?;
        let keys = listed.into_iter().rev().map(|object| object.key);
        let versions: Vec<Hashed> = stream::iter(keys)
            .map(|key| read(bucket, key))
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        let mut previous = EntryHash::default();
        for ((version, hash), expected) in versions.iter().zip(1..) {
            let refuse = |reason: &str| {
                let key = CutoverKey::Version {
                    org,
                    version: version.version,
                };
                let error = Error::decode(Kind::CutoverVersion.name(), 0, reason);
                Err(error.in_object(&key.to_string()))
            };
            if version.version != expected {
                return refuse(&format!("version {expected} is missing before it"));
            }
            if version.previous != previous {
                return refuse("it was made after another version than the one before it");
            }
            previous = *hash;
        }
        Ok(versions)
    })
}

/// The orgs that have versions, ascending.
///
/// # Errors
/// What the bucket says; `Invalid` when a folder is no org's.
pub fn orgs(bucket: &Bucket) -> BoxFuture<'_, Result<Vec<OrgId>>> {
    Box::pin(async move {
        let folders = bucket.list_folders(Prefix::CUTOVER).await?;
        let org = |folder: String| {
            let name = folder.trim_start_matches(Prefix::CUTOVER);
            let number = name.trim_end_matches('/').parse();
            number.map(OrgId).map_err(|_| Error::Invalid {
                what: "object key",
                input: folder.clone(),
                reason: "no org has such a folder".to_owned(),
            })
        };
        folders.into_iter().map(org).collect()
    })
}

/// Makes `version` the next one of its org.
///
/// # Errors
/// What the bucket says.
///
/// # Panics
/// If it has no number.
pub fn append<'a>(
    bucket: &'a Bucket,
    version: &'a CutoverVersion,
) -> BoxFuture<'a, Result<Appended>> {
    Box::pin(async move {
        assert!(version.version > 0, "versions begin with 1");
        let key = CutoverKey::Version {
            org: version.org,
            version: version.version,
        };
        let id = WriteId::random();
        let bytes = version.encode(id);
        let hash = EntryHash::of(&bytes);
        match bucket.create(&key.to_string(), bytes, id).await? {
            Created::Ours => Ok(Appended::Ours(hash)),
            Created::Taken => Ok(Appended::Lost),
        }
    })
}

/// Keeps a seal for the version that is to name it; the first one that is kept stands, and is answered.
///
/// # Errors
/// As [`newest`].
pub fn keep_seal<'a>(
    bucket: &'a Bucket,
    seal: &'a CutoverSeal,
) -> BoxFuture<'a, Result<CutoverSeal>> {
    Box::pin(async move {
        let key = CutoverKey::Seal {
            org: seal.org,
            version: seal.version,
        };
        let id = WriteId::random();
        match bucket.create(&key.to_string(), seal.encode(id), id).await? {
            Created::Ours => Ok(seal.clone()),
            Created::Taken => load_seal(bucket, seal.org, seal.version).await,
        }
    })
}

/// The seal of a version.
///
/// # Errors
/// As [`load`].
pub fn load_seal(bucket: &Bucket, org: OrgId, version: u64) -> BoxFuture<'_, Result<CutoverSeal>> {
    Box::pin(async move {
        let key = CutoverKey::Seal { org, version }.to_string();
        let bytes = bucket.get(&key).await?;
        let (_, seal) = CutoverSeal::decode(&bytes).map_err(|error| error.in_object(&key))?;
        if (seal.org, seal.version) == (org, version) {
            return Ok(seal);
        }
        let reason = format!(
            "is the seal of version {} of org {}",
            seal.version, seal.org
        );
        Err(Error::decode(Kind::CutoverSeal.name(), 0, reason).in_object(&key))
    })
}

async fn read(bucket: &Bucket, key: String) -> Result<Hashed> {
    let bytes = bucket.get(&key).await?;
    let (_, version) = CutoverVersion::decode(&bytes).map_err(|error| error.in_object(&key))?;
    let own = CutoverKey::Version {
        org: version.org,
        version: version.version,
    };
    if own.to_string() != key {
        let reason = format!("holds version {} of org {}", version.version, version.org);
        return Err(Error::decode(Kind::CutoverVersion.name(), 0, reason).in_object(&key));
    }
    Ok((version, EntryHash::of(&bytes)))
}
