//! What keeps state from being deleted: quarantined records, undecided damages, and replays that read it.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::format::replay_job::{ReplayInto, ReplayJob};
use skein_shared::format::replay_step::{ReplayStep, StepState};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{Chain, JobId};
use skein_shared::offset::Offset;

use crate::error::Result;
use crate::quarantine_list;

/// Keys of the state objects that hold records in quarantine, or that are damaged and wait for a decision.
///
/// # Errors
/// The bucket's; corrupt when a list does not read back.
pub async fn held_objects<'a>(
    bucket: &Bucket,
    manifests: impl Iterator<Item = &'a ShardManifest>,
) -> Result<BTreeSet<String>> {
    let mut held = BTreeSet::new();
    for manifest in manifests {
        let damaged = manifest.undecided().map(|damage| damage.object.clone());
        held.extend(damaged);
        for list in manifest.quarantine.iter().filter(|list| list.records > 0) {
            let list = quarantine_list::read(bucket, &list.key).await?;
            held.extend(list.records.into_iter().map(|record| record.object_key));
        }
    }
    Ok(held)
}

/// From where on replays that are not over read state, per chain.
///
/// # Errors
/// The bucket's; corrupt when a replay does not read back.
pub async fn replayed_from(bucket: &Bucket) -> Result<BTreeMap<Chain, Offset>> {
    let mut from: BTreeMap<Chain, Offset> = BTreeMap::new();
    for folder in bucket.list_folders(Prefix::REPLAYS).await? {
        let key = format!("{}{folder}/plan", Prefix::REPLAYS);
        let Ok(ObjectKey::ReplayJob(id)) = key.parse() else {
            continue;
        };
        let Some(bytes) = bucket.find(&key).await? else {
            continue;
        };
        let (_, job) = ReplayJob::decode(&bytes).map_err(|error| error.in_object(&key))?;
        let reads_state = matches!(job.into, ReplayInto::Topic(_));
        if !reads_state || is_over(bucket, id).await? {
            continue;
        }
        for (chain, span) in job.spans {
            let least = from.entry(chain).or_insert(span.from);
            *least = span.from.min(*least);
        }
    }
    Ok(from)
}

async fn is_over(bucket: &Bucket, job: JobId) -> Result<bool> {
    // Steps are inverted in keys: the first key listed is the newest.
    let page = bucket.list_page(&Prefix::replay(job), None, 1).await?;
    let Some(key) = page.objects.into_iter().next().map(|listed| listed.key) else {
        return Ok(false);
    };
    if !matches!(key.parse(), Ok(ObjectKey::ReplayStep { .. })) {
        return Ok(false);
    }
    let bytes = bucket.get(&key).await?;
    let (_, step) = ReplayStep::decode(&bytes).map_err(|error| error.in_object(&key))?;
    Ok(step.state != StepState::Running)
}
