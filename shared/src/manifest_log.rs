//! A shard's manifests in the bucket: the newest one, and the commit of the next.

use futures::future::BoxFuture;

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::format::object_key::{ObjectKey, Prefix};
use crate::format::shard_manifest::ShardManifest;
use crate::ids::{Generation, ShardId, WriteId};

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
        let (_, manifest) = ShardManifest::decode(&bytes).map_err(|error| error.in_object(&key))?;
        if manifest.shard != shard || manifest.generation != generation {
            let reason = format!(
                "holds generation {} of {}, its key says {generation} of {shard}",
                manifest.generation, manifest.shard
            );
            return Err(Error::decode("shard manifest", 0, reason).in_object(&key));
        }
        Ok(manifest)
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
