//! Multipart uploads that somebody has begun and nobody has completed.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;

use super::attempt::Attempt;
use super::request_count::Operation;
use super::s3::Store;
use crate::error::{BucketCause, Result};
use crate::window::TimestampMs;

/// An upload under way, or one that was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// Key of the object that it was to become, without the settings' prefix.
    pub key: String,
    /// The store's name for it.
    pub upload_id: String,
    /// When it was started, by the store's clock.
    pub started: Option<TimestampMs>,
}

/// Every upload of a key that starts with `prefix`.
pub(super) async fn list(store: &Store, prefix: &str) -> Result<Vec<OpenUpload>> {
    let full_prefix = format!("{}{prefix}", store.prefix());
    let attempt = Attempt::bare(Operation::List, &full_prefix);
    let mut uploads = Vec::new();
    let mut markers = (None, None);
    loop {
        let ask_once = || {
            let request = store
                .client()
                .list_multipart_uploads()
                .bucket(store.bucket())
                .prefix(&full_prefix)
                .set_key_marker(markers.0.clone())
                .set_upload_id_marker(markers.1.clone());
            store.send(attempt, request.send())
        };
        let page = store.retrying(ask_once).await?;
        add(store, &page, &mut uploads);
        if page.is_truncated() != Some(true) {
            // SeaweedFS lists them in the order of their ids.
            uploads.sort_by(|one, other| one.key.cmp(&other.key));
            return Ok(uploads);
        }
        let next = (
            page.next_key_marker().map(str::to_owned),
            page.next_upload_id_marker().map(str::to_owned),
        );
        if next.0.is_none() || next == markers {
            let reason = "a page is cut off and does not say where to go on";
            return Err(attempt.failed(BucketCause::Refused, reason));
        }
        markers = next;
    }
}

fn add(store: &Store, page: &ListMultipartUploadsOutput, uploads: &mut Vec<OpenUpload>) {
    for upload in page.uploads() {
        // Some stores list beyond the prefix; what is elsewhere is not ours.
        let key = upload
            .key()
            .and_then(|key| key.strip_prefix(store.prefix()));
        if let (Some(key), Some(upload_id)) = (key, upload.upload_id()) {
            uploads.push(OpenUpload {
                key: key.to_owned(),
                upload_id: upload_id.to_owned(),
                started: upload
                    .initiated()
                    .and_then(|time| time.to_millis().ok())
                    .map(TimestampMs),
            });
        }
    }
}

/// Bytes of the parts that the store holds for an upload; none when it is gone.
pub(super) async fn uploaded_bytes(store: &Store, upload: &OpenUpload) -> Result<u64> {
    let full_key = store.full_key(&upload.key)?;
    let attempt = Attempt::bare(Operation::List, &full_key);
    let mut bytes = 0;
    let mut marker: Option<String> = None;
    loop {
        let ask_once = || async {
            let request = store
                .client()
                .list_parts()
                .bucket(store.bucket())
                .key(&full_key)
                .upload_id(&upload.upload_id)
                .set_part_number_marker(marker.clone());
            match store.send_and_look(attempt, request.send()).await? {
                Ok(page) => Ok(Some(page)),
                Err(refusal) if refusal.code() == Some("NoSuchUpload") => Ok(None),
                Err(refusal) => Err(attempt.refused(&refusal)),
            }
        };
        let Some(page) = store.retrying(ask_once).await? else {
            return Ok(bytes);
        };
        let sizes = page
            .parts()
            .iter()
            .filter_map(aws_sdk_s3::types::Part::size);
        bytes += sizes
            .filter_map(|size| u64::try_from(size).ok())
            .sum::<u64>();
        let next = page.next_part_number_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) || next.is_none() || next == marker {
            return Ok(bytes);
        }
        marker = next;
    }
}

/// Drops an upload and its parts. One that is gone already is no error.
pub(super) async fn abort(store: &Store, key: &str, upload_id: &str) -> Result<()> {
    let full_key = store.full_key(key)?;
    let attempt = Attempt::bare(Operation::AbortMultipart, &full_key);
    let abort_once = || async {
        let request = store
            .client()
            .abort_multipart_upload()
            .bucket(store.bucket())
            .key(&full_key)
            .upload_id(upload_id);
        match store.send_and_look(attempt, request.send()).await? {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.code() == Some("NoSuchUpload") => Ok(()),
            Err(refusal) => Err(attempt.refused(&refusal)),
        }
    };
    store.retrying(abort_once).await
}
