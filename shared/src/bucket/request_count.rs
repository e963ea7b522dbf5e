//! Counts requests, retries and bytes: for metrics, and to prove what was *not* asked.

use std::collections::BTreeMap;

use crate::error::BucketCause;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Asks whether the bucket is there.
    HeadBucket,
    /// Asks about an object.
    Head,
    /// Reads an object or a range of it.
    Get,
    /// Lists keys.
    List,
    /// Writes an object.
    Put,
    /// Writes an object if absent.
    Create,
    /// Starts a multipart upload.
    StartMultipart,
    /// Uploads a part.
    UploadPart,
    /// Completes a multipart upload.
    CompleteMultipart,
    /// Drops a multipart upload.
    AbortMultipart,
    /// Deletes an object.
    Delete,
}

/// Requests made until one moment. Every try counts, failed ones too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestCounts {
    /// Tries by operation; absent is zero.
    pub by_operation: BTreeMap<Operation, u64>,
    /// Retries by the reason of the failure before; absent is zero.
    pub retries: BTreeMap<BucketCause, u64>,
    /// Bytes of bodies sent.
    pub sent_bytes: u64,
    /// Bytes of bodies received.
    pub received_bytes: u64,
}

impl RequestCounts {
    /// Tries of one operation.
    pub fn of(&self, operation: Operation) -> u64 {
        self.by_operation.get(&operation).copied().unwrap_or(0)
    }

    /// Tries that could have changed the bucket.
    pub fn writes(&self) -> u64 {
        todo!()
    }

    /// Tries that could not.
    pub fn reads(&self) -> u64 {
        todo!()
    }
}

#[derive(Debug, Default)]
pub(super) struct RequestCounter {}
impl RequestCounter {
    pub(super) fn snapshot(&self) -> RequestCounts {
        todo!()
    }
}
