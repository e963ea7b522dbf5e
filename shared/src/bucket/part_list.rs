//! What the store has of an upload's parts: who completes it must name each part as it was stored last.
//!
//! A part that was sent twice (a try that timed out, a hedge) has the same bytes both times, but where the
//! store encrypts, each arrival gets an `ETag` of its own and the last to arrive stands. So a completion that
//! names an earlier one is refused, and the store is asked what it has.

use aws_sdk_s3::types::Part;

use super::attempt::Attempt;
use super::checksum_header;
use super::request_count::Operation;
use super::s3::Store;
use crate::error::{BucketCause, Error, Result};

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// Its number, from 1.
    pub number: u32,
    /// Its size.
    pub part_bytes: u64,
    /// Its CRC32C.
    pub crc32c: u32,
    /// The store's name for its content.
    pub etag: String,
}

/// Which upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct UploadPlace<'a> {
    pub(super) full_key: &'a str,
    pub(super) id: &'a str,
}

/// The same parts with the names that the store has for them now. Only a part whose size and, where the
/// store keeps one, checksum are those that were sent is taken: a name alone proves nothing.
pub(super) async fn as_stored(
    store: &Store,
    place: UploadPlace<'_>,
    parts: &[&UploadedPart],
    refused: Error,
) -> Result<Vec<UploadedPart>> {
    let stored = list(store, place).await?;
    let mut current = Vec::with_capacity(parts.len());
    for part in parts {
        let Some(found) = stored.iter().find(|found| is_same(found, part)) else {
            return Err(refused);
        };
        let etag = found.e_tag().unwrap_or(&part.etag).to_owned();
        current.push(UploadedPart {
            etag,
            ..(*part).clone()
        });
    }
    Ok(current)
}

fn is_same(found: &Part, part: &UploadedPart) -> bool {
    let crc = found.checksum_crc32_c().and_then(checksum_header::read);
    found.part_number() == i32::try_from(part.number).ok()
        && found.size() == Some(part.part_bytes.cast_signed())
        && crc.is_none_or(|crc| crc == part.crc32c)
}

async fn list(store: &Store, place: UploadPlace<'_>) -> Result<Vec<Part>> {
    let attempt = Attempt::bare(Operation::List, place.full_key);
    let mut parts = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page_once = || {
            let request = store
                .client()
                .list_parts()
                .bucket(store.bucket())
                .key(place.full_key)
                .upload_id(place.id)
                .set_part_number_marker(after.clone());
            store.send(attempt, request.send())
        };
        let page = store.retrying(page_once).await?;
        parts.extend_from_slice(page.parts());
        after = page.next_part_number_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            return Ok(parts);
        }
        if after.is_none() {
            let reason = "the list of parts goes on but does not say where";
            return Err(attempt.failed(BucketCause::Refused, reason));
        }
    }
}
