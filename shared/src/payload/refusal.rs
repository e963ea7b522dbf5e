//! Why a record cannot become points. Its code and text are kept in quarantine beside the record.

use crate::ids::OrgId;
use crate::window::TimestampMs;

/// Why a record is kept in quarantine instead of becoming points.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The record has no value.
    #[error("the record has no value")]
    NoValue,
    /// No header, and the payload does not begin with an org.
    #[error("no org: neither header `skein-org` nor field 1 at the start of the payload")]
    OrgMissing,
    /// The header is not a number of 64 bits.
    #[error("header `skein-org` is not an ASCII decimal number of 64 bits")]
    OrgHeader,
    /// Two orgs in one record.
    #[error("two orgs are named: `{first}` and `{second}`")]
    OrgMismatch {
        /// The header's, or the payload's first.
        first: OrgId,
        /// The other.
        second: OrgId,
    },
    /// The bytes are not a payload.
    #[error("not a payload at byte {at}: {reason}")]
    Malformed {
        /// Byte of the payload.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// No metric is named.
    #[error("no metric: field 2 is absent")]
    MetricMissing,
    /// Timestamps and values do not pair up.
    #[error("{timestamps} timestamps for {values} values")]
    CountsDiffer {
        /// How many timestamps.
        timestamps: u64,
        /// How many values.
        values: u64,
    },
    /// Both forms of timestamps are present.
    #[error("both `timestamps_ms` and `regular` are present")]
    TimesTwice,
    /// A sum of deltas leaves the 64 bits of a timestamp.
    #[error("timestamp {index} does not fit 64 bits")]
    TimestampOverflow {
        /// Which one, from 0.
        index: u64,
    },
    /// A point is older than the limit allows.
    #[error("a point at {timestamp} lies too far before its record at {record}")]
    TooOld {
        /// The earliest point.
        timestamp: TimestampMs,
        /// The record's own timestamp.
        record: TimestampMs,
    },
    /// A point is newer than the limit allows.
    #[error("a point at {timestamp} lies too far beyond its record at {record}")]
    TooNew {
        /// The latest point.
        timestamp: TimestampMs,
        /// The record's own timestamp.
        record: TimestampMs,
    },
    /// The payload is too large.
    #[error("{bytes} bytes, {limit} allowed")]
    PayloadBytes {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many points.
    #[error("{points} points, {limit} allowed")]
    Points {
        /// How many.
        points: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many metadata entries.
    #[error("{entries} metadata entries, {limit} allowed")]
    MetadataEntries {
        /// How many.
        entries: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many bytes of metadata.
    #[error("{bytes} bytes of metadata, {limit} allowed")]
    MetadataBytes {
        /// How many.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The record's headers cannot be read; they are replaced by [`UNREADABLE_HEADERS`](super::UNREADABLE_HEADERS).
    #[error("a header's name is not UTF-8: the headers are lost, key and value are as they came")]
    HeadersUnreadable,
    /// The points spread over too many windows: each would get a piece of its own with all the metadata.
    #[error("points of {windows} windows (days), {limit} allowed beside this much metadata")]
    Windows {
        /// From the earliest point's to the latest's.
        windows: u64,
        /// The limit.
        limit: u64,
    },
    /// A point at the last instant of 64 bits.
    #[error("a point at 2^63 - 1 ms: spans of time are half-open and could never hold it")]
    TimestampReserved,
}

impl Refusal {
    /// Stable number of the reason; what formats store.
    pub const fn code(&self) -> u8 {
        match self {
            Self::NoValue => 1,
            Self::OrgMissing => 2,
            Self::OrgHeader => 3,
            Self::OrgMismatch { .. } => 4,
            Self::Malformed { .. } => 5,
            Self::MetricMissing => 6,
            Self::CountsDiffer { .. } => 7,
            Self::TimesTwice => 8,
            Self::TimestampOverflow { .. } => 9,
            Self::TooOld { .. } => 10,
            Self::TooNew { .. } => 11,
            Self::PayloadBytes { .. } => 12,
            Self::Points { .. } => 13,
            Self::MetadataEntries { .. } => 14,
            Self::MetadataBytes { .. } => 15,
            Self::HeadersUnreadable => 16,
            Self::Windows { .. } => 17,
            Self::TimestampReserved => 18,
        }
    }

    /// Short stable name of the reason; what reports and metrics count by.
    pub fn name(&self) -> &'static str {
        known_name(self.code())
    }
}

fn known_name(code: u8) -> &'static str {
    name_of(code).expect("every refusal's code has a name")
}

/// Short name of the reason with this code; `None` for a code that no version has used.
pub const fn name_of(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "no-value",
        2 => "org-missing",
        3 => "org-header",
        4 => "org-mismatch",
        5 => "malformed",
        6 => "metric-missing",
        7 => "counts-differ",
        8 => "times-twice",
        9 => "timestamp-overflow",
        10 => "too-old",
        11 => "too-new",
        12 => "payload-bytes",
        13 => "points",
        14 => "metadata-entries",
        15 => "metadata-bytes",
        16 => "headers-unreadable",
        17 => "windows",
        18 => "timestamp-reserved",
        _ => return None,
    })
}
