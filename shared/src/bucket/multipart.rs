//! Multipart uploads.
use super::s3::Store;
use crate::error::Result;
use crate::ids::WriteId;
use bytes::Bytes;
use std::sync::Arc;

/// An upload under way. Clones are the same upload, so that parts can be sent in parallel.
#[derive(Debug, Clone)]
pub struct MultipartUpload {
    store: Arc<Store>,
}

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

/// An object that a multipart upload has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedObject {
    /// Its size.
    pub object_bytes: u64,
    /// CRC32C of all of it.
    pub crc32c: u32,
}

impl MultipartUpload {
    /// Key of the object, without the settings' prefix.
    pub fn key(&self) -> &str {
        let _ = &self.store;
        todo!()
    }

    /// Uploads one part: numbers 1 to 10,000, 5 MiB to 5 GiB, the last may be smaller. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub async fn upload_part(&self, _number: u32, _body: Bytes) -> Result<UploadedPart> {
        todo!()
    }

    /// Makes the object out of `parts`, in the order of their numbers, whatever order they stand in. Safe to
    /// repeat after any error.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket) with cause `NotFound` when the upload is gone and the
    /// object is not ours: everything has to be sent again.
    pub async fn complete(&self, _parts: &[UploadedPart]) -> Result<CompletedObject> {
        todo!()
    }

    /// Drops the upload and its parts.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub async fn abort(&self) -> Result<()> {
        todo!()
    }
}
pub(super) async fn start(_: &Arc<Store>, _: &str, _: WriteId) -> Result<MultipartUpload> {
    todo!()
}
