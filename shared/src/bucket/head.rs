//! What the store says about an object: the proof of whose it is.

use aws_sdk_s3::types::ChecksumMode;
use uuid::Uuid;

use super::attempt::Attempt;
use super::checksum_header;
use super::refusal;
use super::request_count::Operation;
use super::s3::Store;
use crate::error::{BucketCause, Result};
use crate::ids::WriteId;
use crate::window::TimestampMs;

/// The metadata entry that holds the write id.
pub(super) const WRITE_ID: &str = "skein-write-id";

/// What the store says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Size.
    pub object_bytes: u64,
    /// Id of the write that made it; `None` for an object that Skein did not write.
    pub write_id: Option<WriteId>,
    /// CRC32C of the whole object, where the store keeps one.
    pub crc32c: Option<u32>,
    /// When it was written, by the store's clock.
    pub last_modified: Option<TimestampMs>,
}

/// What an object is when a write of ours made it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) write_id: WriteId,
    pub(super) object_bytes: u64,
    pub(super) crc32c: u32,
}

/// Whose an object is, after a write of ours had an unclear end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    Another,
    /// There is no object.
    Nobody,
}

/// What the store says about `key`, with retries.
pub(super) async fn head(store: &Store, key: &str) -> Result<Option<ObjectMeta>> {
    let key = store.full_key(key)?;
    store.retrying(|| head_once(store, &key)).await
}

/// Asks once whose the object at the full key is, by write id, size and checksum.
pub(super) async fn whose(store: &Store, key: &str, expected: Expected) -> Result<Whose> {
    let meta = head_once(store, key).await?;
    judge(key, meta.as_ref(), expected)
}

/// Whose an object is of which the store says this; `None` when there is none.
pub(super) fn judge(key: &str, meta: Option<&ObjectMeta>, expected: Expected) -> Result<Whose> {
    let Some(meta) = meta else {
        return Ok(Whose::Nobody);
    };
    if meta.write_id != Some(expected.write_id) {
        return Ok(Whose::Another);
    }
    let crc_differs = meta.crc32c.is_some_and(|crc| crc != expected.crc32c);
    if meta.object_bytes != expected.object_bytes || crc_differs {
        let reason = format!("has our write id but is not what was sent: {meta:?}, {expected:?}");
        return Err(Attempt::bare(Operation::Head, key).failed(BucketCause::Damaged, reason));
    }
    Ok(Whose::Ours)
}

async fn head_once(store: &Store, key: &str) -> Result<Option<ObjectMeta>> {
    let attempt = Attempt::bare(Operation::Head, key);
    let request = store
        .client()
        .head_object()
        .bucket(store.bucket())
        .key(key)
        .checksum_mode(ChecksumMode::Enabled);
    let answer = match store.send_and_look(attempt, request.send()).await? {
        Ok(answer) => answer,
        Err(refusal) if refusal::status(&refusal) == Some(404) => return Ok(None),
        Err(refusal) => return Err(attempt.refused(&refusal)),
    };
    let object_bytes = answer
        .content_length()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| attempt.failed(BucketCause::Refused, "the answer has no Content-Length"))?;
    let write_id = answer
        .metadata()
        .and_then(|entries| entries.get(WRITE_ID))
        .and_then(|text| Uuid::try_parse(text).ok())
        .map(WriteId);
    Ok(Some(ObjectMeta {
        object_bytes,
        write_id,
        crc32c: answer.checksum_crc32_c().and_then(checksum_header::read),
        last_modified: answer
            .last_modified()
            .and_then(|time| time.to_millis().ok())
            .map(TimestampMs),
    }))
}
