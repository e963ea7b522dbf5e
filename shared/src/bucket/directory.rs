//! A bucket that is a directory of this machine: for one machine, and for trying things out.
//!
//! The semantics are those of S3 as far as Skein relies on them: an object is whole or absent, a create-if-absent has one
//! winner, a listing is in key order, and what was answered for survives a kill and, on a file system that keeps its word
//! about `fsync`, a power failure. `docs/formats.md` says which file holds what.

mod object_path;
mod trailer;
mod trouble;
mod tree;
mod object_file;
mod walk;
mod write;
mod sent_part;
mod upload;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::timeout;
use tracing::Instrument;

use self::object_file::{Piece, Whole};
use self::object_path::ObjectPath;
use self::tree::Tree;
use self::trouble::{Outcome, Trouble};
use self::walk::Question;
use super::attempt::Attempt;
use super::head::ObjectMeta;
use super::listing::{Listed, ListedPage, MAX_PAGE_KEYS};
use super::open_uploads::OpenUpload;
use super::ranged_get::{MAX_WHOLE_BYTES, Tail};
use super::request_count::{Operation, RequestCounter};
use super::settings::DirectorySettings;
use crate::error::{BucketCause, Error, Result};
use crate::retry::{Retrier, RetryPolicy};
use crate::window::TimestampMs;

pub(super) use upload::DirectoryUpload;

/// One directory. What it is asked is counted and tried again as a request to S3 is.
#[derive(Debug)]
pub(super) struct Directory {
    tree: Arc<Tree>,
    url: String,
    retrier: Retrier,
    requests: Arc<RequestCounter>,
}

impl Directory {
    /// Opens a directory that has to be there.
    pub(super) async fn open(settings: &DirectorySettings) -> Result<Self> {
        let (url, root) = (settings.url(), settings.root.clone());
        let requests = RequestCounter::new();
        let attempt = Attempt::bare(Operation::HeadBucket, &url);
        requests.sending(attempt.operation, 0);
        let open = move || {
            let tree = Tree::open(&root)?;
            let layout = tree.layout()?;
            Ok((tree, layout))
        };
        let opened = on_a_thread(attempt, open).await?;
        let trouble = |trouble: Trouble| trouble.to_error(attempt, &settings.root);
        let (tree, layout) = opened.map_err(trouble)?;
        tree.check_layout(layout)?;
        Ok(Self {
            tree: Arc::new(tree),
            url,
            retrier: Retrier::new(settings.retry.clone()),
            requests: Arc::new(requests),
        })
    }

    /// The same directory and counts, without a retry loop.
    pub(super) fn single_attempts(&self) -> Self {
        Self {
            tree: Arc::clone(&self.tree),
            url: self.url.clone(),
            retrier: Retrier::new(self.retrier.policy().single_attempt()),
            requests: Arc::clone(&self.requests),
        }
    }

    pub(super) fn retry_policy(&self) -> &RetryPolicy {
        self.retrier.policy()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn requests(&self) -> &RequestCounter {
        &self.requests
    }

    /// The machine's clock, in whole seconds as a store's.
    pub(super) fn now(&self) -> Result<TimestampMs> {
        let attempt = Attempt::bare(Operation::HeadBucket, &self.url);
        self.requests.sending(attempt.operation, 0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok());
        let wrong = || attempt.failed(BucketCause::Refused, "set this machine's clock");
        seconds
            .map(|seconds| TimestampMs(seconds * 1000))
            .ok_or_else(wrong)
    }

    pub(super) async fn get(&self, key: &str) -> Result<Bytes> {
        let found = self.find(key).await?;
        found.ok_or_else(|| missing(Attempt::bare(Operation::Get, key)))
    }

    pub(super) async fn find(&self, key: &str) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        let attempt = Attempt::bare(Operation::Get, key);
        let find_once = || {
            let file = path.file.clone();
            self.ask(attempt, MAX_WHOLE_BYTES, move |_| object_file::read(&file))
        };
        match self.retrying(find_once).await? {
            None => Ok(None),
            Some(Whole::Sound(bytes)) => Ok(Some(self.received(bytes))),
            Some(Whole::Damaged(reason)) => Err(attempt.failed(BucketCause::Damaged, reason)),
            Some(Whole::TooLarge(length)) => {
                let reason = format!("has {length} bytes, only {MAX_WHOLE_BYTES} are read at once");
                Err(attempt.failed(BucketCause::Refused, reason))
            }
        }
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let path = self.path(key)?;
        self.retrying(|| self.head_once(&path)).await
    }

    pub(super) async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let path = self.path(key)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let attempt = Attempt::bare(Operation::Get, key);
        let get_once = || {
            let (file, range) = (path.file.clone(), range.clone());
            self.ask(attempt, range.end - range.start, move |_| {
                object_file::read_range(&file, range)
            })
        };
        match self.retrying(get_once).await? {
            None => Err(missing(attempt)),
            Some(Piece::Whole(bytes)) => Ok(self.received(bytes)),
            Some(Piece::Short(object_bytes)) => {
                let reason =
                    format!("bytes {range:?} were asked for, the object has {object_bytes}");
                Err(attempt.failed(BucketCause::Damaged, reason))
            }
        }
    }

    pub(super) async fn get_tail(&self, key: &str, max_bytes: u64) -> Result<Tail> {
        let path = self.path(key)?;
        assert!(max_bytes > 0, "a tail of no bytes is no request");
        let attempt = Attempt::bare(Operation::Get, key);
        let get_once = || {
            let file = path.file.clone();
            self.ask(attempt, max_bytes, move |_| {
                object_file::read_tail(&file, max_bytes)
            })
        };
        let tail = self.retrying(get_once).await?;
        let tail = tail.ok_or_else(|| missing(attempt))?;
        self.requests.received(tail.bytes.len() as u64);
        Ok(tail)
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
    ) -> Result<Vec<Listed>> {
        self.walk(prefix, start_after, usize::MAX).await
    }

    pub(super) async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        max_keys: u16,
    ) -> Result<ListedPage> {
        let max_keys = usize::from(max_keys.clamp(1, MAX_PAGE_KEYS));
        // One more tells whether anything follows.
        let mut objects = self.walk(prefix, start_after, max_keys + 1).await?;
        let is_last = objects.len() <= max_keys;
        objects.truncate(max_keys);
        Ok(ListedPage { objects, is_last })
    }

    pub(super) async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        let attempt = Attempt::bare(Operation::List, prefix);
        let list_once = || {
            let prefix = prefix.to_owned();
            self.ask(attempt, MAX_WHOLE_BYTES, move |tree| {
                walk::folders(tree.root(), &prefix)
            })
        };
        let names = self.retrying(list_once).await?;
        self.count_pages(names.len());
        Ok(names)
    }

    pub(super) async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        upload::list(self, prefix).await
    }

    pub(super) async fn uploaded_bytes(&self, upload_id: &str) -> Result<u64> {
        upload::uploaded_bytes(self, upload_id).await
    }

    pub(super) async fn abort_upload(&self, key: &str, upload_id: &str) -> Result<()> {
        upload::abort(self, key, upload_id).await
    }

    async fn head_once(&self, path: &ObjectPath) -> Result<Option<ObjectMeta>> {
        let attempt = Attempt::bare(Operation::Head, &path.key);
        let file = path.file.clone();
        self.ask(attempt, 0, move |_| object_file::head(&file))
            .await
    }

    async fn walk(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let question = Question {
            prefix: prefix.to_owned(),
            start_after: start_after.map(str::to_owned),
            limit,
        };
        let attempt = Attempt::bare(Operation::List, prefix);
        let list_once = || {
            let question = question.clone();
            self.ask(attempt, MAX_WHOLE_BYTES, move |tree| {
                walk::list(tree.root(), &question)
            })
        };
        let objects = self.retrying(list_once).await?;
        self.count_pages(objects.len().min(limit - 1));
        Ok(objects)
    }

    /// Counts the further requests that S3 would have been asked for as many keys.
    fn count_pages(&self, keys: usize) {
        for _ in 1..keys.div_ceil(usize::from(MAX_PAGE_KEYS)) {
            self.requests.sending(Operation::List, 0);
        }
    }

    fn received(&self, bytes: Bytes) -> Bytes {
        self.requests.received(bytes.len() as u64);
        bytes
    }

    fn path(&self, key: &str) -> Result<ObjectPath> {
        ObjectPath::of(self.tree.root(), key)
    }

    fn root(&self) -> &Path {
        self.tree.root()
    }

    /// The retry loop.
    async fn retrying<T, F, Fut>(&self, attempt: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let counted = |error: &Error| self.requests.retrying(error);
        self.retrier.run(attempt, counted).await
    }

    /// Counts one try and runs it on a thread that may block, for as long as what it sends and the bytes that it may read
    /// are allowed to take. Its work goes on when its time is up, as a request's does that has reached a store.
    async fn ask<T: Send + 'static>(
        &self,
        attempt: Attempt<'_>,
        read_bytes: u64,
        work: impl FnOnce(&Tree) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (operation, key) = (attempt.operation.name(), attempt.key);
        let span = tracing::debug_span!("bucket", operation, key, attempt.sent_bytes);
        self.requests.sending(attempt.operation, attempt.sent_bytes);
        let moved_bytes = attempt.sent_bytes.saturating_add(read_bytes);
        let limit = self.retrier.policy().time_limit(moved_bytes);
        let tree = Arc::clone(&self.tree);
        let working = on_a_thread(attempt, move || work(&tree)).instrument(span);
        let done = timeout(limit, working).await.map_err(|_| {
            let reason = format!("not finished within {limit:?}");
            attempt.failed(BucketCause::Unavailable, reason)
        })?;
        done?.map_err(|trouble| trouble.to_error(attempt, self.root()))
    }
}

/// Runs what blocks where it may.
async fn on_a_thread<T: Send + 'static>(
    attempt: Attempt<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(attempt.failed(BucketCause::Unavailable, "the process ends")),
    }
}

fn missing(attempt: Attempt<'_>) -> Error {
    attempt.failed(BucketCause::NotFound, "there is no such object")
}
