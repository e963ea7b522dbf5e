//! The two kinds of store. Everything above asks one of them and does not see which.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::conditional_put::{self, Created};
use super::directory::Directory;
use super::head::{self, ObjectMeta};
use super::listing::{self, Listed, ListedPage};
use super::open_uploads::{self, OpenUpload};
use super::ranged_get::{self, Tail};
use super::request_count::RequestCounter;
use super::settings::StoreSettings;
use super::{clock, open, s3};
use crate::error::Result;
use crate::ids::WriteId;
use crate::retry::RetryPolicy;
use crate::window::TimestampMs;

/// A store of one kind. Clones share everything.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    S3(Arc<s3::Store>),
    Directory(Arc<Directory>),
}

impl Backend {
    pub(super) async fn open(settings: &StoreSettings) -> Result<Self> {
        Ok(match settings {
            StoreSettings::S3(settings) => Self::S3(Arc::new(open::open(settings).await?)),
            StoreSettings::Directory(settings) => {
                Self::Directory(Arc::new(Directory::open(settings).await?))
            }
        })
    }

    pub(super) fn single_attempts(&self) -> Self {
        match self {
            Self::S3(store) => Self::S3(Arc::new(store.single_attempts())),
            Self::Directory(store) => Self::Directory(Arc::new(store.single_attempts())),
        }
    }

    pub(super) fn retry_policy(&self) -> &RetryPolicy {
        match self {
            Self::S3(store) => store.retry_policy(),
            Self::Directory(store) => store.retry_policy(),
        }
    }

    pub(super) fn url(&self) -> &str {
        match self {
            Self::S3(store) => store.url(),
            Self::Directory(store) => store.url(),
        }
    }

    pub(super) fn requests(&self) -> &RequestCounter {
        match self {
            Self::S3(store) => store.requests(),
            Self::Directory(store) => store.requests(),
        }
    }

    /// What a store of this kind has to be able to do, for whoever has one that does not.
    pub(super) fn promise(&self) -> &'static str {
        match self {
            Self::S3(_) => "honours `If-None-Match: *` on PutObject",
            Self::Directory(_) => "makes hard links, and refuses one to a name that is taken",
        }
    }

    pub(super) async fn now(&self) -> Result<TimestampMs> {
        match self {
            Self::S3(store) => clock::now(store).await,
            Self::Directory(store) => store.now(),
        }
    }

    pub(super) async fn create(&self, key: &str, body: Bytes, id: WriteId) -> Result<Created> {
        match self {
            Self::S3(store) => conditional_put::create(store, key, body, id).await,
            Self::Directory(store) => store.create(key, body, id).await,
        }
    }

    pub(super) async fn put(&self, key: &str, body: Bytes, id: WriteId) -> Result<()> {
        match self {
            Self::S3(store) => conditional_put::put(store, key, body, id).await,
            Self::Directory(store) => store.put(key, body, id).await,
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        match self {
            Self::S3(store) => conditional_put::delete(store, key).await,
            Self::Directory(store) => store.delete(key).await,
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Bytes> {
        match self {
            Self::S3(store) => ranged_get::get(store, key).await,
            Self::Directory(store) => store.get(key).await,
        }
    }

    pub(super) async fn find(&self, key: &str) -> Result<Option<Bytes>> {
        match self {
            Self::S3(store) => ranged_get::find(store, key).await,
            Self::Directory(store) => store.find(key).await,
        }
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        match self {
            Self::S3(store) => head::head(store, key).await,
            Self::Directory(store) => store.head(key).await,
        }
    }

    pub(super) async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        match self {
            Self::S3(store) => ranged_get::get_range(store, key, range).await,
            Self::Directory(store) => store.get_range(key, range).await,
        }
    }

    pub(super) async fn get_tail(&self, key: &str, max_bytes: u64) -> Result<Tail> {
        match self {
            Self::S3(store) => ranged_get::get_tail(store, key, max_bytes).await,
            Self::Directory(store) => store.get_tail(key, max_bytes).await,
        }
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
    ) -> Result<Vec<Listed>> {
        match self {
            Self::S3(store) => listing::list(store, prefix, start_after).await,
            Self::Directory(store) => store.list(prefix, start_after).await,
        }
    }

    pub(super) async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        max_keys: u16,
    ) -> Result<ListedPage> {
        match self {
            Self::S3(store) => listing::list_page(store, prefix, start_after, max_keys).await,
            Self::Directory(store) => store.list_page(prefix, start_after, max_keys).await,
        }
    }

    pub(super) async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        match self {
            Self::S3(store) => listing::list_folders(store, prefix).await,
            Self::Directory(store) => store.list_folders(prefix).await,
        }
    }

    pub(super) async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        match self {
            Self::S3(store) => open_uploads::list(store, prefix).await,
            Self::Directory(store) => store.open_uploads(prefix).await,
        }
    }

    pub(super) async fn uploaded_bytes(&self, upload: &OpenUpload) -> Result<u64> {
        match self {
            Self::S3(store) => open_uploads::uploaded_bytes(store, upload).await,
            Self::Directory(store) => store.uploaded_bytes(&upload.upload_id).await,
        }
    }

    pub(super) async fn abort_upload(&self, upload: &OpenUpload) -> Result<()> {
        let (key, id) = (&upload.key, &upload.upload_id);
        match self {
            Self::S3(store) => open_uploads::abort(store, key, id).await,
            Self::Directory(store) => store.abort_upload(key, id).await,
        }
    }
}
