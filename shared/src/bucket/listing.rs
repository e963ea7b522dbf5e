//! Listings, in key order, page by page.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::attempt::Attempt;
use super::request_count::Operation;
use super::s3::Store;
use crate::error::{BucketCause, Error, Result};
use crate::window::TimestampMs;

/// Most keys that S3 puts into one page.
pub(super) const MAX_PAGE_KEYS: u16 = 1000;

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key, without the settings' prefix.
    pub key: String,
    /// Size.
    pub object_bytes: u64,
    /// When it was written, by the store's clock.
    pub last_modified: Option<TimestampMs>,
}

/// A piece of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPage {
    /// The objects, in key order; empty only at the end.
    pub objects: Vec<Listed>,
    /// Whether nothing follows. A store may cut a page anywhere, so their number does not tell.
    pub is_last: bool,
}

/// Every object under `prefix`.
pub(super) async fn list(
    store: &Store,
    prefix: &str,
    start_after: Option<&str>,
) -> Result<Vec<Listed>> {
    let mut question = Question::new(store, prefix, start_after);
    let mut objects = Vec::new();
    loop {
        let page = question.ask(store).await?;
        question.add_objects(store, &page, &mut objects)?;
        if !question.go_on(&page)? {
            return Ok(objects);
        }
    }
}

/// The first objects under `prefix`.
pub(super) async fn list_page(
    store: &Store,
    prefix: &str,
    start_after: Option<&str>,
    max_keys: u16,
) -> Result<ListedPage> {
    let mut question = Question::new(store, prefix, start_after);
    question.max_keys = max_keys.clamp(1, MAX_PAGE_KEYS);
    let mut objects = Vec::new();
    loop {
        let page = question.ask(store).await?;
        question.add_objects(store, &page, &mut objects)?;
        let is_last = !question.go_on(&page)?;
        if is_last || !objects.is_empty() {
            return Ok(ListedPage { objects, is_last });
        }
    }
}

/// The folders directly under `prefix`.
pub(super) async fn list_folders(store: &Store, prefix: &str) -> Result<Vec<String>> {
    let mut question = Question::new(store, prefix, None);
    question.delimiter = Some("/");
    let mut folders = Vec::new();
    loop {
        let page = question.ask(store).await?;
        for folder in page.common_prefixes() {
            let name = folder
                .prefix()
                .and_then(|path| path.strip_prefix(&question.prefix)?.strip_suffix('/'))
                .ok_or_else(|| question.refuse(format!("folder `{folder:?}` is elsewhere")))?;
            folders.push(name.to_owned());
        }
        if !question.go_on(&page)? {
            return Ok(folders);
        }
    }
}

/// What one page is asked with.
#[derive(Debug)]
struct Question {
    /// Full prefix.
    prefix: String,
    start_after: Option<String>,
    max_keys: u16,
    delimiter: Option<&'static str>,
    continuation: Option<String>,
}

impl Question {
    fn new(store: &Store, prefix: &str, start_after: Option<&str>) -> Self {
        let full = |key: &str| format!("{}{key}", store.prefix());
        Self {
            prefix: full(prefix),
            start_after: start_after.map(full),
            max_keys: MAX_PAGE_KEYS,
            delimiter: None,
            continuation: None,
        }
    }

    async fn ask(&self, store: &Store) -> Result<ListObjectsV2Output> {
        let attempt = Attempt::bare(Operation::List, &self.prefix);
        let ask_once = || {
            let request = store
                .client()
                .list_objects_v2()
                .bucket(store.bucket())
                .prefix(&self.prefix)
                .set_start_after(self.start_after.clone())
                .set_delimiter(self.delimiter.map(str::to_owned))
                .set_continuation_token(self.continuation.clone())
                .max_keys(i32::from(self.max_keys));
            store.send(attempt, request.send())
        };
        store.retrying(ask_once).await
    }

    /// Takes a page's objects in. Their order is relied on, so it is checked.
    fn add_objects(
        &self,
        store: &Store,
        page: &ListObjectsV2Output,
        objects: &mut Vec<Listed>,
    ) -> Result<()> {
        for object in page.contents() {
            let full = object.key().unwrap_or_default();
            let key = full
                .strip_prefix(store.prefix())
                .filter(|_| full.starts_with(&self.prefix))
                .ok_or_else(|| self.refuse(format!("key `{full}` is elsewhere")))?;
            let is_beyond_start = self.start_after.as_deref().is_none_or(|start| full > start);
            if !is_beyond_start || objects.last().is_some_and(|last| key <= last.key.as_str()) {
                return Err(self.refuse(format!("key `{full}` is out of order")));
            }
            let object_bytes = object
                .size()
                .and_then(|bytes| u64::try_from(bytes).ok())
                .ok_or_else(|| self.refuse(format!("key `{full}` has no size")))?;
            objects.push(Listed {
                key: key.to_owned(),
                object_bytes,
                last_modified: object
                    .last_modified()
                    .and_then(|time| time.to_millis().ok())
                    .map(TimestampMs),
            });
        }
        Ok(())
    }

    /// Turns to the next page; `false` when there is none.
    fn go_on(&mut self, page: &ListObjectsV2Output) -> Result<bool> {
        if page.is_truncated() != Some(true) {
            return Ok(false);
        }
        let next = page.next_continuation_token().map(str::to_owned);
        if next.is_none() || next == self.continuation {
            return Err(self.refuse("a page is cut off and does not say where to go on"));
        }
        self.continuation = next;
        Ok(true)
    }

    fn refuse(&self, reason: impl Into<String>) -> Error {
        Attempt::bare(Operation::List, &self.prefix).failed(BucketCause::Refused, reason)
    }
}
