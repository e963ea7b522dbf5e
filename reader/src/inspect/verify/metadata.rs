//! Small objects that are read whole.

use std::collections::BTreeSet;

use futures::StreamExt;
use skein_shared::bucket::Bucket;
use skein_shared::error::BucketCause;
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::format::retirement::Retirement;
use skein_shared::format::run_record::RunRecord;
use skein_shared::format::source_identity::SourceIdentity;
use skein_shared::format::state_bound::StateBound;
use skein_shared::format::worker_status::WorkerStatus;
use skein_shared::ids::WriteId;
use skein_shared::shard_map::ShardMap;
use skein_shared::{Error, Result, run_log, shard_map_log};

use crate::inspect::finding::{Duty, Finding, LEDGER, RUN_RECORD, STATUS};
use crate::inspect::verify::Check;
use crate::inspect::verify::chains::LedgerFacts;

/// Small objects that are read at the same time.
pub(super) const CONCURRENT_READS: usize = 32;

/// What became of reading an object: its value, or what is wrong with it.
pub(super) type Read<T> = std::result::Result<T, Finding>;

/// How the body of one kind of object is read.
pub(super) type Decode<T> = fn(&[u8]) -> Result<(WriteId, T)>;

/// Reads `key` whole. A body that the store itself calls damaged is read again without the store's
/// check, so that the format can say where.
pub(super) async fn read<T>(
    bucket: &Bucket,
    key: &str,
    duty: Duty,
    decode: Decode<T>,
) -> Result<Read<T>> {
    read_with(bucket, key, duty, |bytes| Ok(decode(bytes)?.1)).await
}

/// As [`read`], where it takes more than the bytes to read them.
pub(super) async fn read_with<T>(
    bucket: &Bucket,
    key: &str,
    duty: Duty,
    decode: impl Fn(&[u8]) -> Result<T>,
) -> Result<Read<T>> {
    let bytes = match bucket.get(key).await {
        Ok(bytes) => Ok(bytes),
        Err(Error::Bucket {
            cause: BucketCause::Damaged,
            ..
        }) => bucket.get_unchecked(key).await,
        Err(error) => Err(error),
    };
    let read = bytes.and_then(|bytes| decode(&bytes));
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(error) => duty.blame(bucket, key, error).await.map(Err),
    }
}

/// Every source reads back and lies under its own name, and every chain's source is there.
pub(super) async fn check_sources(check: &mut Check<'_>, ledger: &LedgerFacts) -> Result<()> {
    let named = ledger.chains.keys().map(|chain| &chain.source);
    let mut missing: BTreeSet<String> = named
        .map(|source| ObjectKey::Source(source.clone()).to_string())
        .collect();
    let listed = check.bucket.list(Prefix::SOURCES, None).await?;
    let bucket = &check.bucket.clone();
    let mut reads = futures::stream::iter(listed)
        .map(|object| async move {
            let read = read(bucket, &object.key, LEDGER, SourceIdentity::decode).await;
            (object.key, read)
        })
        .buffered(CONCURRENT_READS);
    while let Some((key, read)) = reads.next().await {
        missing.remove(&key);
        match read? {
            Ok(identity) if ObjectKey::Source(identity.source.clone()).to_string() != key => {
                let what = format!("holds source `{}`", identity.source);
                check.find(LEDGER.broken(key, None, what));
            }
            Ok(_) => {}
            Err(finding) => check.find(finding),
        }
    }
    for key in missing {
        check.find(LEDGER.broken(key, None, "the object is missing"));
    }
    Ok(())
}

/// Every retirement and every worker's status reads back and lies under its own key.
pub(super) async fn check_completeness(check: &mut Check<'_>) -> Result<()> {
    check_placed(check, Prefix::RETIRED, LEDGER, |bytes| {
        let (id, Retirement { chain, end, .. }) = Retirement::decode(bytes)?;
        Ok((id, ObjectKey::Retirement { chain, end }))
    })
    .await?;
    check_placed(check, Prefix::STATUS, STATUS, |bytes| {
        let (id, status) = WorkerStatus::decode(bytes)?;
        Ok((id, ObjectKey::Status(status.worker)))
    })
    .await
}

/// Every record of a compaction reads back and lies under its own key.
pub(super) async fn check_run_records(check: &mut Check<'_>) -> Result<()> {
    check_placed(check, Prefix::RUNS, RUN_RECORD, |bytes| {
        let (id, record) = RunRecord::decode(bytes)?;
        Ok((id, run_log::key_of(&record)))
    })
    .await
}

/// Reads all objects under `prefix`, of which `decode` says where each belongs.
async fn check_placed(
    check: &mut Check<'_>,
    prefix: &str,
    duty: Duty,
    decode: Decode<ObjectKey>,
) -> Result<()> {
    for object in check.bucket.list(prefix, None).await? {
        match read(&check.bucket, &object.key, duty, decode).await? {
            Ok(own) if own.to_string() == object.key => {}
            Ok(own) => {
                let what = format!("holds what belongs to `{own}`");
                check.find(duty.broken(object.key, None, what));
            }
            Err(finding) => check.find(finding),
        }
    }
    Ok(())
}

/// Every bound below which state may be gone says at least what the one before it says; answers the newest.
pub(super) async fn check_state_bounds(check: &mut Check<'_>) -> Result<StateBound> {
    let mut newest = StateBound::default();
    for listed in check.bucket.list(Prefix::STATE_BOUNDS, None).await? {
        match read(&check.bucket, &listed.key, LEDGER, StateBound::decode).await? {
            Ok(bound) if bound.number == newest.number + 1 && bound.follows(&newest) => {
                newest = bound;
            }
            Ok(_) => {
                let what = "does not follow the bound before it";
                check.find(LEDGER.broken(&listed.key, None, what));
            }
            Err(finding) => check.find(finding),
        }
    }
    Ok(newest)
}

/// Every version of the shard map that a flush was made with is there.
pub(super) async fn check_shard_map(
    check: &mut Check<'_>,
    newest_used: Option<u64>,
) -> Result<Option<ShardMap>> {
    let map = match shard_map_log::load(&check.bucket).await {
        Ok(map) => map,
        Err(error) => {
            let object = match &error {
                Error::Decode { object, .. } => object.clone(),
                Error::Bucket { key, .. } => key.clone(),
                Error::Invalid { .. } | Error::Taken { .. } | Error::Unfit { .. } => String::new(),
            };
            let finding = LEDGER.blame(&check.bucket, &object, error).await?;
            check.find(finding);
            return Ok(None);
        }
    };
    let known = map.as_ref().map_or(0, ShardMap::version_count) as u64;
    if let Some(used) = newest_used.filter(|used| *used >= known) {
        let key = ObjectKey::ShardMap(known).to_string();
        let what = format!("the object is missing; a flush was made with version {used}");
        check.find(LEDGER.broken(key, None, what));
    }
    Ok(map)
}
