//! Keys of what the old pipeline keeps.

use std::fmt;

use crate::format::object_key::piece::{attempt_from, chain_from, offset_from};
use crate::format::object_key::{Attempt, ObjectKey, Prefix};
use crate::ids::{Chain, MetricId, OrgId, SeriesKey};
use crate::offset::Span;
use crate::window::TimestampMs;

/// Key of an object of the old pipeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OldKey {
    /// `old/<org, 20 digits>/<metric, 20 digits>/<source>/<topic>/<incarnation>/<partition>/<name>`
    File(OldFileName),
    /// `old-progress/<source>/<topic>/<incarnation>/<partition>/<2^64 - 1 - number, 20 digits>`, so that the newest is listed
    /// first.
    Progress {
        /// Of which partition.
        chain: Chain,
        /// Which.
        number: u64,
    },
}

/// What is known of a file of the old pipeline without reading it: a listing of them is their index.
///
/// The last part of its key is `<from, 20 digits>-<to, 20 digits>-<first, 16 hex digits>-<last, 16 hex digits>-<attempt>`;
/// a timestamp is written as milliseconds since the epoch plus 2^63, so that keys sort as times do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OldFileName {
    /// Whose points.
    pub series: SeriesKey,
    /// From which partition.
    pub chain: Chain,
    /// All points of these records that the old pipeline writes are in it.
    pub span: Span,
    /// The earliest point.
    pub first: TimestampMs,
    /// The latest.
    pub last: TimestampMs,
    /// Which try wrote it.
    pub attempt: Attempt,
}

impl fmt::Display for OldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) => {
                let (span, attempt) = (name.span, name.attempt);
                let [first, last] =
                    [name.first, name.last].map(|time| time.0.cast_unsigned() ^ (1 << 63));
                write!(
                    f,
                    "{}{}/{:020}-{:020}-{first:016x}-{last:016x}-{attempt}",
                    Prefix::old_series(name.series),
                    name.chain,
                    span.from.0,
                    span.to.0,
                )
            }
            Self::Progress { chain, number } => {
                let inverted = u64::MAX - number;
                write!(f, "{}{inverted:020}", Prefix::old_progress(chain))
            }
        }
    }
}

impl OldKey {
    /// The key with these parts between its slashes.
    pub(super) fn parse(parts: &[&str]) -> Option<Self> {
        match parts {
            ["old", org, metric, chain @ .., name] => {
                let series = SeriesKey {
                    org: OrgId(org.parse().ok()?),
                    metric: MetricId(metric.parse().ok()?),
                };
                OldFileName::parse(series, chain_from(chain)?, name).map(Self::File)
            }
            ["old-progress", chain @ .., inverted] => Some(Self::Progress {
                chain: chain_from(chain)?,
                number: u64::MAX - inverted.parse::<u64>().ok()?,
            }),
            _ => None,
        }
    }
}

impl OldFileName {
    fn parse(series: SeriesKey, chain: Chain, name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('-').collect();
        let [from, to, first, last, attempt] = parts.as_slice() else {
            return None;
        };
        let (from, to) = (offset_from(from)?, offset_from(to)?);
        let (first, last) = (sorted_time_from(first)?, sorted_time_from(last)?);
        let is_plausible = from < to && first <= last;
        is_plausible.then_some(Self {
            series,
            chain,
            span: Span::new(from, to),
            first,
            last,
            attempt: attempt_from(attempt)?,
        })
    }
}

/// Milliseconds since the epoch plus 2^63, in hex digits.
fn sorted_time_from(text: &str) -> Option<TimestampMs> {
    let sorted = u64::from_str_radix(text, 16).ok()?;
    Some(TimestampMs((sorted ^ (1 << 63)).cast_signed()))
}

impl From<OldKey> for ObjectKey {
    fn from(key: OldKey) -> Self {
        Self::Old(key)
    }
}
