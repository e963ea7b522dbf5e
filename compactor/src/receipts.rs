//! Keeps the receipts of deletes: that no live segment holds any of their points.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use skein_shared::bucket::Bucket;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::delete_receipt::{DeleteReceipt, ShardReceipt};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::ShardId;
use skein_shared::{delete_log, manifest_log, shard_map_log};

use crate::error::Result;
use crate::metrics;

/// Keeps a receipt of every delete that is done and has none; answers how many. Costs one listing when there is nothing
/// to do. Done again, or by two at once, it does no harm.
///
/// # Errors
/// The bucket's; corrupt when a delete or a manifest does not read back.
pub fn keep(bucket: &Bucket) -> BoxFuture<'_, Result<u64>> {
    Box::pin(async move {
        let log = delete_log::load(bucket).await?;
        let is_open = |delete: &&DeleteEntry| !log.receipts.contains(&delete.number);
        let open: Vec<&DeleteEntry> = log.entries.iter().filter(is_open).collect();
        if open.is_empty() {
            return Ok(0);
        }
        let Some(map) = shard_map_log::load(bucket).await? else {
            return Ok(0);
        };
        let mut manifests: BTreeMap<ShardId, ShardManifest> = BTreeMap::new();
        let mut kept = 0;
        for delete in open {
            let shards = map.shards_of(delete.selector.org);
            let known = |shard: &ShardId| manifests.contains_key(shard);
            let unread: Vec<ShardId> = shards.iter().copied().filter(|s| !known(s)).collect();
            for shard in unread {
                manifests.insert(shard, manifest_log::newest(bucket, shard).await?);
            }
            let of_org = || shards.iter().filter_map(|shard| manifests.get(shard));
            if !delete_log::is_gone(delete, of_org()) {
                continue;
            }
            let receipt = DeleteReceipt {
                number: delete.number,
                at: bucket.now().await?,
                shards: of_org().map(|manifest| dropped(delete, manifest)).collect(),
            };
            delete_log::keep_receipt(bucket, &receipt).await?;
            metrics::delete_done(delete.number);
            kept += 1;
        }
        Ok(kept)
    })
}

fn dropped(delete: &DeleteEntry, manifest: &ShardManifest) -> ShardReceipt {
    ShardReceipt {
        shard: manifest.shard,
        generation: manifest.generation,
        points: manifest.deleted.get(&delete.number).copied().unwrap_or(0),
    }
}
