//! The one seam to object storage: S3 and stores that speak its protocol, or a directory of this machine.
//!
//! Keys given to a [`Bucket`] are without the settings' prefix; it adds it. Every write carries a
//! [`WriteId`] in the object's metadata, so that a lost reply, a 412 after a retry or a repeated
//! completion is resolved by what the object *is*, never by the mere fact that it exists.

use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::error::Result;
use crate::ids::WriteId;
use crate::retry::RetryPolicy;
use crate::window::TimestampMs;

mod request_count;
mod refusal;
mod attempt;
mod encryption;
mod settings;
mod checksum_header;
mod s3;
mod open;
mod head;
mod clock;
mod ranged_get;
mod listing;
mod conditional_put;
mod open_uploads;
mod part_list;
mod multipart;
mod directory;
mod backend;
mod upload;
mod probe;

pub use conditional_put::Created;
pub use encryption::Encryption;
pub use head::ObjectMeta;
pub use listing::{Listed, ListedPage};
pub use multipart::{CompletedObject, MAX_PARTS, MIN_PART_BYTES};
pub use open_uploads::OpenUpload;
pub use part_list::UploadedPart;
pub use ranged_get::Tail;
pub use request_count::{Operation, RequestCounts};
pub use settings::{BucketSettings, Credentials, DirectorySettings, StoreSettings};
pub use upload::MultipartUpload;

/// A bucket, or a prefix of one. Clones share connections, retry budget and request counts.
///
/// What it does comes as boxed futures, so that the S3 client is compiled once, here, and not again in every crate and
/// every test binary that waits for it.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: backend::Backend,
}

impl Bucket {
    /// Connects and asks whether the bucket is there.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket) that says what to do: the store does not answer, the bucket
    /// is missing, the credentials are refused, the region is another.
    pub fn open(settings: impl Into<StoreSettings>) -> BoxFuture<'static, Result<Self>> {
        let settings = settings.into();
        Box::pin(async move {
            let store = backend::Backend::open(&settings).await?;
            Ok(Self { store })
        })
    }

    /// The same bucket for a caller that has a retry loop of its own: every request is tried once. Shares
    /// connections and request counts.
    #[must_use]
    pub fn single_attempts(&self) -> Self {
        Self {
            store: self.store.single_attempts(),
        }
    }

    /// How failed requests are tried again.
    pub fn retry_policy(&self) -> &RetryPolicy {
        self.store.retry_policy()
    }

    /// The bucket's URL for messages: `s3://bucket/prefix` or `file:///directory`.
    pub fn url(&self) -> &str {
        self.store.url()
    }

    /// The store's clock, in whole seconds: a moment that has passed when the answer is here. Every process
    /// that asks the same store is told by the same clock.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn now(&self) -> BoxFuture<'_, Result<TimestampMs>> {
        Box::pin(self.store.now())
    }

    /// Proves with racing writers that the store honours `If-None-Match: *`. Its keys lie under `probe/`
    /// and are removed again.
    ///
    /// # Errors
    /// [`Error::Unfit`](crate::Error::Unfit) when a round had not exactly one winner.
    pub fn probe(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(probe::probe(&self.store))
    }

    /// Creates `key` unless it exists. Safe to repeat with the same `id` and `body` after any error.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket). Of kind `Transient` it leaves open whether the object was
    /// written: repeat with the same `id`.
    pub fn create<'a>(
        &'a self,
        key: &'a str,
        body: Bytes,
        id: WriteId,
    ) -> BoxFuture<'a, Result<Created>> {
        Box::pin(self.store.create(key, body, id))
    }

    /// Writes `key`, whatever is there: only for keys that no one else ever writes.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn put<'a>(&'a self, key: &'a str, body: Bytes, id: WriteId) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.store.put(key, body, id))
    }

    /// Reads a whole object and checks it against the checksum that the store keeps for it.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket) with cause `NotFound` when there is none, `Damaged` when
    /// its bytes do not match, `Refused` when it is larger than 1 GiB.
    pub fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(self.store.get(key))
    }

    /// Reads a whole object as it lies there, damaged or not: for whoever has to say *where* it is.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub async fn get_unchecked(&self, key: &str) -> Result<Bytes> {
        let object_bytes = self.head(key).await?.map_or(0, |meta| meta.object_bytes);
        self.get_range(key, 0..object_bytes).await
    }

    /// As [`get`](Self::get), but a missing object is `None`.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn find<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(self.store.find(key))
    }

    /// What the store says about an object, without its bytes; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<ObjectMeta>>> {
        Box::pin(self.store.head(key))
    }

    /// Reads exactly `range` of an object; an empty range makes no request.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket) with cause `NotFound` when there is no object, `Damaged`
    /// when it ends before the range does.
    pub fn get_range<'a>(
        &'a self,
        key: &'a str,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(self.store.get_range(key, range))
    }

    /// Reads the last `max_bytes` of an object, or all of a smaller one.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    ///
    /// # Panics
    /// If `max_bytes` is 0.
    pub fn get_tail<'a>(&'a self, key: &'a str, max_bytes: u64) -> BoxFuture<'a, Result<Tail>> {
        Box::pin(self.store.get_tail(key, max_bytes))
    }

    /// Every object whose key starts with `prefix` and lies after `start_after`, in key order.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn list<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Listed>>> {
        Box::pin(self.store.list(prefix, start_after))
    }

    /// As [`list`](Self::list), but only the first page that is not empty, of at most `max_keys` objects
    /// (1 to 1,000).
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
        max_keys: u16,
    ) -> BoxFuture<'a, Result<ListedPage>> {
        Box::pin(self.store.list_page(prefix, start_after, max_keys))
    }

    /// Names, without slashes, of the folders directly under `prefix` (which ends in `/` or is empty), in
    /// order.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn list_folders<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(self.store.list_folders(prefix))
    }

    /// Deletes an object; one that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.store.delete(key))
    }

    /// Starts a multipart upload of an object; it is invisible until completed.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket). After one of kind `Transient` an upload may have been
    /// started that nobody knows of: [`open_uploads`](Self::open_uploads) lists it.
    pub fn start_multipart<'a>(
        &'a self,
        key: &'a str,
        id: WriteId,
    ) -> BoxFuture<'a, Result<MultipartUpload>> {
        Box::pin(upload::start(&self.store, key, id))
    }

    /// Every multipart upload of a key that starts with `prefix` and is neither complete nor dropped.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn open_uploads<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<OpenUpload>>> {
        Box::pin(self.store.open_uploads(prefix))
    }

    /// Bytes of the parts that the store holds for an upload; none when it is gone.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn uploaded_bytes<'a>(&'a self, upload: &'a OpenUpload) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.store.uploaded_bytes(upload))
    }

    /// Drops an upload and its parts, whoever began it. One that is gone already is no error.
    ///
    /// # Errors
    /// [`Error::Bucket`](crate::Error::Bucket).
    pub fn abort_upload<'a>(&'a self, upload: &'a OpenUpload) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.store.abort_upload(upload))
    }

    /// Requests made so far by this bucket and its clones.
    pub fn requests(&self) -> RequestCounts {
        self.store.requests().snapshot()
    }
}
