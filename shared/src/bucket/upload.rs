//! A multipart upload, to a store of either kind.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::backend::Backend;
use super::directory::DirectoryUpload;
use super::multipart::{self, CompletedObject, MAX_PARTS, S3Upload};
use super::part_list::UploadedPart;
use crate::error::Result;
use crate::ids::WriteId;

/// An upload under way. Clones are the same upload, so that parts can be sent in parallel.
#[derive(Debug, Clone)]
pub struct MultipartUpload {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    S3(Arc<S3Upload>),
    Directory(Arc<DirectoryUpload>),
}

/// Starts an upload.
pub(super) async fn start(store: &Backend, key: &str, id: WriteId) -> Result<MultipartUpload> {
    let place = match store {
        Backend::S3(store) => Place::S3(Arc::new(multipart::start(store, key, id).await?)),
        Backend::Directory(store) => {
            Place::Directory(Arc::new(DirectoryUpload::start(store, key, id).await?))
        }
    };
    Ok(MultipartUpload { place })
}

impl MultipartUpload {
    /// Key of the object, without the settings' prefix.
    pub fn key(&self) -> &str {
        match &self.place {
            Place::S3(upload) => upload.key(),
            Place::Directory(upload) => upload.key(),
        }
    }

    /// Uploads one part: numbers 1 to [`MAX_PARTS`], [`MIN_PART_BYTES`](super::MIN_PART_BYTES) to 5 GiB; the
    /// last may be smaller. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket) with cause `UploadGone` when somebody dropped the upload.
    ///
    /// # Panics
    /// If the number lies outside its range.
    pub fn upload_part(&self, number: u32, body: Bytes) -> BoxFuture<'_, Result<UploadedPart>> {
        Box::pin(async move {
            assert!((1..=MAX_PARTS).contains(&number), "part number {number}");
            match &self.place {
                Place::S3(upload) => upload.upload_part(number, body).await,
                Place::Directory(upload) => upload.upload_part(number, body).await,
            }
        })
    }

    /// Makes the object out of `parts`, by their numbers, whatever order they stand in. Safe to repeat
    /// after any error.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket) with cause `UploadGone` when the upload is gone and the object
    /// is not ours: everything has to be sent again.
    ///
    /// # Panics
    /// If there is no part.
    pub fn complete<'a>(
        &'a self,
        parts: &'a [UploadedPart],
    ) -> BoxFuture<'a, Result<CompletedObject>> {
        Box::pin(async move {
            assert!(!parts.is_empty(), "an object has at least one part");
            let mut parts: Vec<&UploadedPart> = parts.iter().collect();
            parts.sort_unstable_by_key(|part| part.number);
            match &self.place {
                Place::S3(upload) => upload.complete(&parts).await,
                Place::Directory(upload) => upload.complete(&parts).await,
            }
        })
    }

    /// Drops the upload and its parts. One that is gone already is no error.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn abort(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match &self.place {
                Place::S3(upload) => upload.abort().await,
                Place::Directory(upload) => upload.abort().await,
            }
        })
    }
}
