//! Deletes are all there, one after the other as they were made, and so are the receipts of those that are done.

use skein_shared::bucket::Bucket;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::promise::Promise;
use skein_shared::{Error, Result, delete_log};

use crate::inspect::finding::{Duty, Finding};
use crate::inspect::verify::Check;
use crate::inspect::verify::manifests::Manifests;

/// A delete is permanent.
const DELETE: Duty = Duty {
    promise: Promise::CompleteOrInvisible,
    what_to_do: "restore the delete's object from a copy of the bucket: without it deleted points are shown again",
};

/// Reads every delete and receipt; answers the deletes, or none of them when one is wrong.
pub(super) async fn check_deletes(
    check: &mut Check<'_>,
    manifests: &Manifests,
) -> Result<Vec<DeleteEntry>> {
    let log = match delete_log::load(&check.bucket).await {
        Ok(log) => log,
        Err(error) => {
            blame(check, error).await?;
            return Ok(Vec::new());
        }
    };
    for number in &log.receipts {
        if let Err(error) = delete_log::receipt(&check.bucket, *number).await {
            blame(check, error).await?;
        }
    }
    let applied = manifests.values().map(|manifest| manifest.deletes_applied);
    let known = applied
        .max()
        .unwrap_or(0)
        .max(log.receipts.last().copied().unwrap_or(0));
    if known > log.newest() {
        let key = ObjectKey::Delete(log.newest() + 1).to_string();
        let what = format!("the object is missing; delete {known} has been carried out");
        check.find(DELETE.broken(key, None, what));
    }
    Ok(log.entries)
}

/// Reads the deletes again where `manifests` have carried out more than these.
pub(super) async fn newer_deletes(
    check: &mut Check<'_>,
    manifests: &Manifests,
    deletes: &mut Vec<DeleteEntry>,
) -> Result<()> {
    let applied = manifests.values().map(|manifest| manifest.deletes_applied);
    let known = deletes.last().map_or(0, |delete| delete.number);
    if applied.max().unwrap_or(0) <= known {
        return Ok(());
    }
    match delete_log::load(&check.bucket).await {
        Ok(log) => *deletes = log.entries,
        Err(error) => {
            let finding = finding(&check.bucket, error).await?;
            // It may have been wrong at first.
            if !check.findings.contains(&finding) {
                check.find(finding);
            }
        }
    }
    Ok(())
}

async fn blame(check: &mut Check<'_>, error: Error) -> Result<()> {
    let finding = finding(&check.bucket, error).await?;
    check.find(finding);
    Ok(())
}

async fn finding(bucket: &Bucket, error: Error) -> Result<Finding> {
    let object = match &error {
        Error::Decode { object, .. } => object.clone(),
        Error::Bucket { key, .. } => key.clone(),
        Error::Invalid { .. } | Error::Taken { .. } | Error::Unfit { .. } => String::new(),
    };
    DELETE.blame(bucket, &object, error).await
}
