//! The records of compactions in the bucket: the newest are listed first, and only so many are kept.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::object_key::{Attempt, ObjectKey, Prefix};
use crate::format::run_record::RunRecord;
use crate::ids::WriteId;
use crate::window::TimestampMs;

const CONCURRENT_REQUESTS: usize = 16;

/// Records that one writer deletes at most: after `keep` was made smaller it takes several.
const MOST_DELETED: usize = 1000;

/// Keeps `record`, and of those before it so many that there are `keep`, which is at least 1. The bucket's clock counts
/// seconds: a record that would not be later than the newest becomes so by a millisecond. Any number may do so at once.
///
/// # Errors
/// What the bucket says.
pub fn append(bucket: &Bucket, mut record: RunRecord, keep: usize) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let listed = bucket.list(Prefix::RUNS, None).await?;
        let newest = listed.first().map(|newest| newest.key.parse());
        if let Some(ObjectKey::RunRecord { at, .. }) = newest.transpose()? {
            record.at = record.at.max(TimestampMs(at.0.saturating_add(1)));
        }
        let id = WriteId::random();
        bucket
            .put(&key_of(&record).to_string(), record.encode(id), id)
            .await?;
        let before = keep.saturating_sub(1);
        let too_old = listed.into_iter().skip(before).rev().take(MOST_DELETED);
        futures::stream::iter(too_old)
            .map(|object| async move { bucket.delete(&object.key).await })
            .buffer_unordered(CONCURRENT_REQUESTS)
            .try_collect::<()>()
            .await
    })
}

/// The newest `most` records, the newest first.
///
/// # Errors
/// `Corrupt` when one does not read back, and what the bucket says.
pub fn newest(bucket: &Bucket, most: u16) -> BoxFuture<'_, Result<Vec<RunRecord>>> {
    Box::pin(async move {
        let page = bucket.list_page(Prefix::RUNS, None, most).await?;
        futures::stream::iter(page.objects)
            .map(|object| load(bucket, object.key))
            .buffered(CONCURRENT_REQUESTS)
            .try_collect()
            .await
    })
}

/// The record of one run; `None` when there is none, or none any more.
///
/// # Errors
/// As [`newest`].
pub fn find(bucket: &Bucket, run: Attempt) -> BoxFuture<'_, Result<Option<RunRecord>>> {
    Box::pin(async move {
        for listed in bucket.list(Prefix::RUNS, None).await? {
            if matches!(listed.key.parse()?, ObjectKey::RunRecord { run: found, .. } if found == run)
            {
                return load(bucket, listed.key).await.map(Some);
            }
        }
        Ok(None)
    })
}

/// Where a record lies.
pub fn key_of(record: &RunRecord) -> ObjectKey {
    ObjectKey::RunRecord {
        at: record.at,
        run: record.run,
    }
}

async fn load(bucket: &Bucket, key: String) -> Result<RunRecord> {
    let bytes = bucket.get(&key).await?;
    let (_, record) = RunRecord::decode(&bytes).map_err(|error| error.in_object(&key))?;
    let own = key_of(&record).to_string();
    if own == key {
        return Ok(record);
    }
    let reason = format!("holds what belongs to `{own}`");
    Err(Error::decode("run record", 0, reason).in_object(&key))
}
