//! Counts requests, retries and bytes: for metrics, and to prove what was *not* asked.

use std::array;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{BucketCause, Error};

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
    /// Bytes of bodies sent, again for each try.
    pub sent_bytes: u64,
    /// Bytes of bodies received.
    pub received_bytes: u64,
}

impl Operation {
    const ALL: [Self; 11] = [
        Self::HeadBucket,
        Self::Head,
        Self::Get,
        Self::List,
        Self::Put,
        Self::Create,
        Self::StartMultipart,
        Self::UploadPart,
        Self::CompleteMultipart,
        Self::AbortMultipart,
        Self::Delete,
    ];

    /// The name in errors and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HeadBucket => "open",
            Self::Head => "head",
            Self::Get => "get",
            Self::List => "list",
            Self::Put => "put",
            Self::Create => "create",
            Self::StartMultipart => "start multipart",
            Self::UploadPart => "upload part",
            Self::CompleteMultipart => "complete multipart",
            Self::AbortMultipart => "abort multipart",
            Self::Delete => "delete",
        }
    }

    /// Whether it can change the bucket.
    pub const fn is_write(self) -> bool {
        match self {
            Self::HeadBucket | Self::Head | Self::Get | Self::List => false,
            Self::Put
            | Self::Create
            | Self::StartMultipart
            | Self::UploadPart
            | Self::CompleteMultipart
            | Self::AbortMultipart
            | Self::Delete => true,
        }
    }
}

impl RequestCounts {
    /// Tries of one operation.
    pub fn of(&self, operation: Operation) -> u64 {
        self.by_operation.get(&operation).copied().unwrap_or(0)
    }

    /// Tries that could have changed the bucket.
    pub fn writes(&self) -> u64 {
        self.sum_where(Operation::is_write)
    }

    /// Tries that could not.
    pub fn reads(&self) -> u64 {
        self.sum_where(|operation| !operation.is_write())
    }

    /// All retries.
    pub fn retried(&self) -> u64 {
        self.retries.values().sum()
    }

    fn sum_where(&self, counts: impl Fn(Operation) -> bool) -> u64 {
        let counted = self.by_operation.iter().filter(|(o, _)| counts(**o));
        counted.map(|(_, count)| count).sum()
    }
}

const CAUSES: [BucketCause; 9] = [
    BucketCause::Unavailable,
    BucketCause::Throttled,
    BucketCause::Denied,
    BucketCause::NotFound,
    BucketCause::Refused,
    BucketCause::Damaged,
    BucketCause::UploadGone,
    BucketCause::NoBucket,
    BucketCause::Full,
];

/// The running counts.
#[derive(Debug)]
pub(super) struct RequestCounter {
    by_operation: [AtomicU64; Operation::ALL.len()],
    retries: [AtomicU64; CAUSES.len()],
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

impl RequestCounter {
    pub(super) fn new() -> Self {
        Self {
            by_operation: array::from_fn(|_| AtomicU64::new(0)),
            retries: array::from_fn(|_| AtomicU64::new(0)),
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
        }
    }

    /// A try is about to be sent, with a body of this size.
    pub(super) fn sending(&self, operation: Operation, body_bytes: u64) {
        self.by_operation[operation as usize].fetch_add(1, Ordering::Relaxed);
        self.sent_bytes.fetch_add(body_bytes, Ordering::Relaxed);
        metrics::counter!("skein_shared_requests_total", "operation" => operation.name())
            .increment(1);
        metrics::counter!("skein_shared_sent_bytes_total").increment(body_bytes);
    }

    /// A body of this size has arrived.
    pub(super) fn received(&self, body_bytes: u64) {
        self.received_bytes.fetch_add(body_bytes, Ordering::Relaxed);
        metrics::counter!("skein_shared_received_bytes_total").increment(body_bytes);
    }

    /// A request failed and will be tried again.
    pub(super) fn retrying(&self, error: &Error) {
        tracing::debug!(%error, "trying again");
        if let Error::Bucket { cause, .. } = error {
            self.retries[*cause as usize].fetch_add(1, Ordering::Relaxed);
            let reason = match cause {
                BucketCause::Unavailable => "unavailable",
                BucketCause::Throttled => "throttled",
                BucketCause::Denied => "denied",
                BucketCause::NotFound => "not found",
                BucketCause::Refused => "refused",
                BucketCause::Damaged => "damaged",
                BucketCause::UploadGone => "upload gone",
                BucketCause::NoBucket => "no bucket",
                BucketCause::Full => "full",
            };
            metrics::counter!("skein_shared_retries_total", "reason" => reason).increment(1);
        }
    }

    pub(super) fn snapshot(&self) -> RequestCounts {
        let loaded = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let by_operation = Operation::ALL
            .iter()
            .map(|operation| (*operation, loaded(&self.by_operation[*operation as usize])));
        let retries = CAUSES
            .iter()
            .map(|cause| (*cause, loaded(&self.retries[*cause as usize])));
        RequestCounts {
            by_operation: by_operation.filter(|(_, count)| *count > 0).collect(),
            retries: retries.filter(|(_, count)| *count > 0).collect(),
            sent_bytes: loaded(&self.sent_bytes),
            received_bytes: loaded(&self.received_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_counted_in_its_own_place() {
        let counter = RequestCounter::new();
        for (n, operation) in (1..).zip(Operation::ALL) {
            (0..n).for_each(|_| counter.sending(operation, 10));
        }
        let counts = counter.snapshot();
        for (n, operation) in (1..).zip(Operation::ALL) {
            assert_eq!(counts.of(operation), n);
        }
        assert_eq!(counts.reads(), 1 + 2 + 3 + 4);
        assert_eq!(counts.reads() + counts.writes(), 66);
        assert_eq!(counts.sent_bytes, 660);
    }
}
