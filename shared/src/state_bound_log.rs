//! The bounds below which state may be gone: a number each, create-if-absent, none ever deleted.

use futures::future::BoxFuture;

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::format::object_key::{ObjectKey, Prefix};
use crate::format::state_bound::StateBound;
use crate::ids::WriteId;

const FORMAT: &str = "state bound";

/// The newest bound; the one that says nothing where there is none.
///
/// # Errors
/// `Corrupt` when one is damaged or another's, and what the bucket says.
pub fn newest(bucket: &Bucket) -> BoxFuture<'_, Result<StateBound>> {
    Box::pin(async move {
        let listed = bucket.list(Prefix::STATE_BOUNDS, None).await?;
        match listed.last() {
            None => Ok(StateBound::default()),
            Some(last) => read(bucket, &last.key).await,
        }
    })
}

/// Every bound, oldest first.
///
/// # Errors
/// As [`newest`].
pub fn all(bucket: &Bucket) -> BoxFuture<'_, Result<Vec<StateBound>>> {
    Box::pin(async move {
        let mut bounds = Vec::new();
        for listed in bucket.list(Prefix::STATE_BOUNDS, None).await? {
            bounds.push(read(bucket, &listed.key).await?);
        }
        Ok(bounds)
    })
}

/// Makes `bound` the next one; `false` when another took its number first: read again and decide anew.
///
/// # Errors
/// What the bucket says.
///
/// # Panics
/// If it has no number.
pub fn append<'a>(bucket: &'a Bucket, bound: &'a StateBound) -> BoxFuture<'a, Result<bool>> {
    Box::pin(async move {
        assert!(
            bound.number > 0,
            "the bound before the first is not written"
        );
        let (key, id) = (
            ObjectKey::StateBound(bound.number).to_string(),
            WriteId::random(),
        );
        let created = bucket.create(&key, bound.encode(id), id).await?;
        Ok(created == Created::Ours)
    })
}

async fn read(bucket: &Bucket, key: &str) -> Result<StateBound> {
    let bytes = bucket.get(key).await?;
    let (_, bound) = StateBound::decode(&bytes).map_err(|error| error.in_object(key))?;
    if ObjectKey::StateBound(bound.number).to_string() == key {
        return Ok(bound);
    }
    let reason = format!("holds bound {}", bound.number);
    Err(Error::decode(FORMAT, 0, reason).in_object(key))
}
