//! The list of what a step could not read: written beside its segments, read again when a damage is decided.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::bucket::Bucket;
use skein_shared::format::checksum;
use skein_shared::format::damage::{Damage, DamageId, DamageRef};
use skein_shared::format::object_key::{Attempt, ObjectKey};
use skein_shared::format::quarantine::{QuarantineList, QuarantinedRecord};
use skein_shared::format::shard_manifest::{QuarantineRef, ShardManifest};
use skein_shared::ids::{Generation, ShardId, WriteId};

use crate::error::{Error, Result};

/// A list as a manifest names it, with the damages in it.
#[derive(Debug, Default)]
pub struct Listed {
    /// The list; `None` when there was nothing to list.
    pub list: Option<QuarantineRef>,
    /// Its damages, undecided.
    pub damages: Vec<DamageRef>,
}

/// Writes the list of one step, unless it would be empty.
///
/// # Errors
/// The bucket's.
pub async fn write(
    bucket: &Bucket,
    (shard, generation, attempt): (ShardId, Generation, Attempt),
    mut records: Vec<QuarantinedRecord>,
    mut damages: Vec<Damage>,
) -> Result<Listed> {
    if records.is_empty() && damages.is_empty() {
        return Ok(Listed::default());
    }
    records.sort_by(|a, b| a.position.cmp(&b.position));
    damages.sort_by(|a, b| (&a.object_key, a.at).cmp(&(&b.object_key, b.at)));
    let key = ObjectKey::Quarantine {
        shard,
        generation,
        attempt,
    };
    let key = key.to_string();
    let list = QuarantineList {
        shard,
        expected_generation: generation,
        records,
        damages,
    };
    let write_id = WriteId::random();
    let bytes = list.encode(write_id);
    let crc32c = checksum::crc32c(&bytes);
    bucket.put(&key, bytes, write_id).await?;
    let named = |damage: &Damage| damage.named(shard, &key);
    let damages = list.damages.iter().map(named).collect();
    let list = QuarantineRef {
        records: list.records.len() as u64,
        key,
        crc32c,
    };
    Ok(Listed {
        list: Some(list),
        damages,
    })
}

/// A list.
///
/// # Errors
/// The bucket's; corrupt when it does not read back.
pub async fn read(bucket: &Bucket, key: &str) -> Result<QuarantineList> {
    let bytes = bucket.get(key).await?;
    let (_, list) = QuarantineList::decode(&bytes).map_err(|error| error.in_object(key))?;
    Ok(list)
}

/// All that the shard's lists say about those of its damages that `is_meant` picks.
///
/// # Errors
/// The bucket's; corrupt when a list is not the one that the manifest names.
pub async fn damages(
    bucket: &Bucket,
    manifest: &ShardManifest,
    is_meant: impl Fn(&DamageRef) -> bool,
) -> Result<BTreeMap<DamageId, Damage>> {
    let meant = manifest.damages.iter().filter(|damage| is_meant(damage));
    let mut wanted: BTreeMap<&str, BTreeSet<DamageId>> = BTreeMap::new();
    for damage in meant {
        wanted.entry(&damage.list).or_default().insert(damage.id);
    }
    let mut found = BTreeMap::new();
    for (key, ids) in wanted {
        let list = read(bucket, key).await?;
        let listed = list.damages.into_iter();
        let listed = listed.map(|damage| (damage.id(manifest.shard), damage));
        let before = found.len();
        found.extend(listed.filter(|(id, _)| ids.contains(id)));
        if found.len() - before != ids.len() {
            return Err(Error::ObjectDiffers {
                object: key.to_owned(),
                reason: "it does not list the damages that the shard's manifest says".into(),
            });
        }
    }
    Ok(found)
}

/// Deletes lists that nobody has seen.
///
/// # Errors
/// The bucket's.
pub async fn discard(bucket: &Bucket, lists: &[QuarantineRef]) -> Result<()> {
    for list in lists {
        bucket.delete(&list.key).await?;
    }
    Ok(())
}
