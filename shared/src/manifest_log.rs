//! A shard's manifests in the bucket: the newest one, and the commit of the next.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::format::checksum;
use crate::format::object_key::{Attempt, ObjectKey, Prefix};
use crate::format::shard_manifest::{LeafRef, ManifestLeaf, ManifestRoot, ShardManifest};
use crate::ids::{Generation, ShardId, WriteId};

/// Leaves of a manifest that are fetched at the same time.
const CONCURRENT_GETS: usize = 16;

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The generation is ours.
    Ours,
    /// Another process has committed a generation of this number: read again and decide anew.
    Lost,
}

/// The newest manifest of `shard`; [`ShardManifest::empty`] when it has none.
///
/// # Errors
/// [`Error::Bucket`], or [`Error::Decode`] when the object breaks its format or is another's.
pub fn newest(bucket: &Bucket, shard: ShardId) -> BoxFuture<'_, Result<ShardManifest>> {
    Box::pin(async move {
        // Generations are inverted in keys: the first key listed is the newest.
        let page = bucket.list_page(&Prefix::manifests(shard), None, 1).await?;
        let Some(listed) = page.objects.first() else {
            return Ok(ShardManifest::empty(shard));
        };
        let generation = generation_of(&listed.key, shard)?;
        load(bucket, shard, generation).await
    })
}

/// One generation of `shard`.
///
/// # Errors
/// As [`newest`]; a missing one is [`Error::Bucket`] with cause `NotFound`.
pub fn load(
    bucket: &Bucket,
    shard: ShardId,
    generation: Generation,
) -> BoxFuture<'_, Result<ShardManifest>> {
    Box::pin(async move {
        let key = ObjectKey::Manifest { shard, generation }.to_string();
        let bytes = bucket.get(&key).await?;
        let (_, root) = ManifestRoot::decode(&bytes).map_err(|error| error.in_object(&key))?;
        if (root.shard(), root.generation()) != (shard, generation) {
            let reason = format!(
                "holds generation {} of {}, its key says {generation} of {shard}",
                root.generation(),
                root.shard()
            );
            return Err(Error::decode("shard manifest", 0, reason).in_object(&key));
        }
        let leaves = stream::iter(root.leaves().to_vec())
            .map(|leaf| load_leaf(bucket, leaf))
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        root.join(leaves).map_err(|error| error.in_object(&key))
    })
}

async fn load_leaf(bucket: &Bucket, named: LeafRef) -> Result<ManifestLeaf> {
    let bytes = bucket.get(&named.key).await?;
    let leaf = ManifestLeaf::decode(&bytes).map(|(_, leaf)| leaf);
    leaf.map_err(|error| error.in_object(&named.key))
}

/// Stores the parts of `manifest` that no longer change as leaves, and names them in it: to be done before a commit of it,
/// which then is smaller. Safe to repeat with the same `id` after any error.
///
/// # Errors
/// [`Error::Bucket`].
pub fn store_leaves<'a>(
    bucket: &'a Bucket,
    manifest: &'a mut ShardManifest,
    id: WriteId,
) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let (_, attempt) = id.0.as_u64_pair();
        for (number, leaf) in (0_u32..).zip(manifest.new_leaves()) {
            let key = ObjectKey::Leaf {
                shard: manifest.shard,
                generation: manifest.generation,
                attempt: Attempt(attempt),
                number,
            };
            let (key, bytes) = (key.to_string(), leaf.encode(id));
            let crc32c = checksum::crc32c(&bytes);
            bucket.put(&key, bytes, id).await?;
            manifest.leaves.retain(|known| known.scope != leaf.scope);
            manifest.leaves.push(LeafRef {
                key,
                crc32c,
                scope: leaf.scope,
                content: leaf.content(),
            });
        }
        Ok(())
    })
}

/// Every generation of `shard`, newest first.
///
/// # Errors
/// [`Error::Bucket`], or [`Error::Decode`] when a key is none of ours.
pub async fn generations(bucket: &Bucket, shard: ShardId) -> Result<Vec<Generation>> {
    let listed = bucket.list(&Prefix::manifests(shard), None).await?;
    listed
        .iter()
        .map(|object| generation_of(&object.key, shard))
        .collect()
}

/// Every shard that has a manifest, in the order of [`ShardId`].
///
/// # Errors
/// [`Error::Bucket`], or [`Error::Decode`] when a folder is no shard's.
pub fn shards(bucket: &Bucket) -> BoxFuture<'_, Result<Vec<ShardId>>> {
    Box::pin(async move {
        let folders = bucket.list_folders(Prefix::MANIFESTS).await?;
        let mut shards = folders
            .iter()
            .map(|name| {
                name.parse().map_err(|reason: String| {
                    Error::decode("manifest key", 0, reason)
                        .in_object(&format!("{}{name}/", Prefix::MANIFESTS))
                })
            })
            .collect::<Result<Vec<ShardId>>>()?;
        shards.sort_unstable();
        Ok(shards)
    })
}

/// Commits `manifest` as the next generation (SK-9). Safe to repeat with the same `id` after any error.
///
/// # Errors
/// [`Error::Bucket`]. Of kind `Transient` it leaves open whether the commit stands.
///
/// # Panics
/// If the generation is 0, which stands for "nothing committed yet".
pub fn commit<'a>(
    bucket: &'a Bucket,
    manifest: &'a ShardManifest,
    id: WriteId,
) -> BoxFuture<'a, Result<Committed>> {
    Box::pin(async move {
        let ShardManifest {
            shard, generation, ..
        } = manifest;
        assert!(
            generation.0 > 0,
            "a commit needs a generation; shard=`{shard}`"
        );
        let key = ObjectKey::Manifest {
            shard: *shard,
            generation: *generation,
        };
        let created = bucket
            .create(&key.to_string(), manifest.encode(id), id)
            .await?;
        match created {
            Created::Taken => Ok(Committed::Lost),
            Created::Ours => is_in_the_log(bucket, *shard, *generation).await,
        }
    })
}

/// Whether the generation that was created counts: its number may have been free only because it was deleted.
async fn is_in_the_log(
    bucket: &Bucket,
    shard: ShardId,
    generation: Generation,
) -> Result<Committed> {
    let newest = newest(bucket, shard).await?;
    if newest.kept_from <= generation {
        return Ok(Committed::Ours);
    }
    Ok(Committed::Lost)
}

fn generation_of(key: &str, shard: ShardId) -> Result<Generation> {
    match key.parse() {
        Ok(ObjectKey::Manifest {
            shard: found,
            generation,
        }) if found == shard => Ok(generation),
        Ok(_) | Err(_) => {
            Err(
                Error::decode("manifest key", 0, format!("is not a manifest of {shard}"))
                    .in_object(key),
            )
        }
    }
}
