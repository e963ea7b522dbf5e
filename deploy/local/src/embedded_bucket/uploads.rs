//! Multipart uploads that are neither completed nor aborted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::blob::StoredRun;

/// What the writer said about an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) content_type: Option<String>,
}

/// Open uploads by bucket, key and upload id.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<BTreeMap<UploadKey, Upload>>);

/// Which upload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UploadKey {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) id: String,
}

/// One upload, and its parts by number.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) attributes: Attributes,
    pub(super) full_object: bool,
    pub(super) initiated: SystemTime,
    pub(super) parts: BTreeMap<i32, StoredRun>,
}

impl Uploads {
    /// All of them, for as long as the guard lives.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<UploadKey, Upload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
