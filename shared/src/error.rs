//! The one error of this crate.

use crate::error_kind::ErrorKind;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the bucket refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketCause {
    /// 5xx other than throttling, a time-out, a lost connection.
    Unavailable,
    /// 503 `SlowDown` or 429.
    Throttled,
    /// 401, 403: credentials or policy.
    Denied,
    /// No such key or upload.
    NotFound,
    /// The store answered something that breaks its contract, or refused the request as malformed.
    Refused,
    /// The object's bytes do not match their checksum.
    Damaged,
    /// The multipart upload does not exist any more: somebody completed or dropped it.
    UploadGone,
    /// The bucket itself is not there.
    NoBucket,
    /// The store has no room left, or a quota is used up.
    Full,
}

/// What failed, where, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stored or received bytes break their format.
    #[error("decode {format} failed; object=`{object}` at=`{at}` reason=`{reason}`")]
    Decode {
        /// Name of the format.
        format: &'static str,
        /// Key of the object, or empty where the caller adds it with [`Error::in_object`].
        object: String,
        /// Byte offset in the object or buffer.
        at: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A text or a setting is not what it has to be.
    #[error("{what} is not valid; input=`{input}` reason=`{reason}`")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// The text as it was given.
        input: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A request to the bucket failed for good, after its retries.
    #[error("bucket {operation} failed; key=`{key}` cause=`{cause:?}` reason=`{reason}`")]
    Bucket {
        /// `get`, `put`, `create`, `list`, …
        operation: &'static str,
        /// Full key, or the prefix of a listing.
        key: String,
        /// Which kind of refusal.
        cause: BucketCause,
        /// The store's own words, and what to do.
        reason: String,
    },
    /// A create-if-absent found the key taken by another writer.
    #[error("{what} was written by another process; key=`{key}`")]
    Taken {
        /// What was being created.
        what: &'static str,
        /// The key.
        key: String,
    },
    /// The store does not keep a promise that Skein needs.
    #[error("the bucket is not fit; bucket=`{bucket}` reason=`{reason}`")]
    Unfit {
        /// The bucket's URL.
        bucket: String,
        /// What the probe saw and what to do.
        reason: String,
    },
}

impl Error {
    /// Builds a [`Error::Decode`] whose object the caller may add.
    pub fn decode(format: &'static str, at: u64, reason: impl Into<String>) -> Self {
        Self::Decode {
            format,
            object: String::new(),
            at,
            reason: reason.into(),
        }
    }

    /// Names the object in which a decode failed; other errors stay as they are.
    #[must_use]
    pub fn in_object(self, key: &str) -> Self {
        match self {
            Self::Decode {
                format, at, reason, ..
            } => Self::Decode {
                format,
                object: key.to_owned(),
                at,
                reason,
            },
            other @ (Self::Invalid { .. }
            | Self::Bucket { .. }
            | Self::Taken { .. }
            | Self::Unfit { .. }) => other,
        }
    }

    /// Moves the place of a decode by where its bytes begin in the object; other errors stay as they are.
    #[must_use]
    pub fn moved_by(self, bytes: u64) -> Self {
        match self {
            Self::Decode {
                format,
                object,
                at,
                reason,
            } => Self::Decode {
                format,
                object,
                at: at.saturating_add(bytes),
                reason,
            },
            other @ (Self::Invalid { .. }
            | Self::Bucket { .. }
            | Self::Taken { .. }
            | Self::Unfit { .. }) => other,
        }
    }

    /// Adds to the reason of a refused request; other errors stay as they are.
    #[must_use]
    pub(crate) fn with_reason(self, more: &str) -> Self {
        match self {
            Self::Bucket {
                operation,
                key,
                cause,
                reason,
            } => Self::Bucket {
                operation,
                key,
                cause,
                reason: format!("{reason}{more}"),
            },
            other @ (Self::Decode { .. }
            | Self::Invalid { .. }
            | Self::Taken { .. }
            | Self::Unfit { .. }) => other,
        }
    }

    /// Whether the bytes are intact, but of a version that this build does not read. That is no damage: the build that
    /// wrote them reads them.
    pub fn is_unread_version(&self) -> bool {
        // Each format says so in its reason, behind the check of its checksum.
        let says_so = |reason: &str| {
            ["newer", "before the first release"]
                .iter()
                .any(|words| reason.contains(words))
        };
        matches!(self, Self::Decode { reason, .. } if says_so(reason))
    }

    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Decode { .. } => ErrorKind::Corrupt,
            Self::Invalid { .. } | Self::Unfit { .. } => ErrorKind::Invalid,
            Self::Taken { .. } => ErrorKind::Fenced,
            Self::Bucket { cause, .. } => match cause {
                BucketCause::Unavailable | BucketCause::Throttled => ErrorKind::Transient,
                BucketCause::Denied
                | BucketCause::NotFound
                | BucketCause::Refused
                | BucketCause::NoBucket
                | BucketCause::Full => ErrorKind::Invalid,
                BucketCause::Damaged => ErrorKind::Corrupt,
                BucketCause::UploadGone => ErrorKind::Fenced,
            },
        }
    }
}
