//! The text that a page of a scan ends with, and the next one begins from.
//!
//! It names the fleet that the scan goes by, what is scanned, and the last row that was given. Nothing in it means a
//! segment, a file or a server: whoever reads the bucket can go on with it. It is URL-safe base64, without padding, of a
//! version, the CRC32C of version and message (little-endian), and a protobuf message.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use skein_shared::format::checksum::crc32c_of_parts;
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::units::Millis;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use crate::error::{Error, Result};
use crate::snapshot::Selection;

/// The version that this build writes and reads.
const VERSION: u8 = 1;
/// Version and checksum.
const HEAD_BYTES: usize = 5;
/// Texts beyond are not looked at: a token of ours has about 100 characters.
const MOST_CHARS: usize = 512;

/// Points or buckets of one org that are read page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageScope {
    /// Whose.
    pub org: OrgId,
    /// Which series; `None` is all of them.
    pub metric: Option<MetricId>,
    /// Rows that begin outside are left out.
    pub span: TimeSpan,
    /// Points, or buckets of this length.
    pub resolution: Resolution,
}

/// What is read page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Paged {
    /// Rows of series.
    Points = 1,
    /// Names of series, by their ids.
    Series = 2,
}

/// The last row that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRow {
    /// Whose: a series of the scope's org.
    pub metric: MetricId,
    /// Its time, or the begin of its bucket; of names the begin of time.
    pub at: TimestampMs,
}

/// Where a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken {
    /// The number of the fleet that the whole scan goes by; 0 is before the first.
    pub fleet: u64,
    /// What is read.
    pub paged: Paged,
    /// Of what.
    pub scope: PageScope,
    /// After which row.
    pub last: LastRow,
    /// When the scan took its fleet, by the bucket's clock: every page of it says the same.
    pub issued: TimestampMs,
}

impl PageScope {
    /// What a snapshot has to be loaded for.
    pub fn selection(&self) -> Selection {
        match self.metric {
            None => Selection::Org(self.org),
            Some(metric) => Selection::Series(self.key(metric)),
        }
    }

    /// The series of the scope's org.
    pub fn key(&self, metric: MetricId) -> SeriesKey {
        let org = self.org;
        SeriesKey { org, metric }
    }
}

impl PageToken {
    /// The text.
    pub fn to_text(&self) -> String {
        let PageScope {
            org,
            metric,
            span,
            resolution,
        } = self.scope;
        let message = TokenMessage {
            fleet: self.fleet,
            paged: self.paged as u32,
            org: org.0,
            metric: metric.map(|metric| metric.0),
            from_ms: span.from.0,
            to_ms: span.to.0,
            resolution: resolution.name().to_owned(),
            last_metric: self.last.metric.0,
            last_ms: self.last.at.0,
            issued_ms: self.issued.0,
        };
        let body = message.encode_to_vec();
        let checksum = crc32c_of_parts(&[&[VERSION], &body]).to_le_bytes();
        URL_SAFE_NO_PAD.encode([&[VERSION][..], &checksum, &body].concat())
    }

    /// Reads [`PageToken::to_text`] back.
    ///
    /// # Errors
    /// [`Error::PageToken`] for any text that this build or another of the same version did not write.
    pub fn from_text(text: &str) -> Result<Self> {
        Self::read(text).map_err(|reason| Error::PageToken { reason })
    }

    /// Demands that the scan has not gone on for longer than `lifetime`: until then what its fleet calls visible is
    /// written.
    ///
    /// # Errors
    /// [`Error::PageExpired`].
    pub fn check_age(&self, now: TimestampMs, lifetime: Millis) -> Result<()> {
        let age_ms = i128::from(now.0) - i128::from(self.issued.0);
        if age_ms <= i128::from(lifetime.0) {
            return Ok(());
        }
        Err(Error::PageExpired {
            issued: self.issued,
            lifetime,
        })
    }

    fn read(text: &str) -> std::result::Result<Self, String> {
        if text.len() > MOST_CHARS {
            return Err(format!("it has more than {MOST_CHARS} characters"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| "it is not URL-safe base64; give it as it was given")?;
        let Some((head, body)) = bytes.split_at_checked(HEAD_BYTES) else {
            return Err("it is cut".to_owned());
        };
        if head[0] != VERSION {
            let found = head[0];
            return Err(format!("its version {found} is unknown to this build"));
        }
        let checksum = crc32c_of_parts(&[&head[..1], body]).to_le_bytes();
        if head[1..] != checksum {
            return Err("its checksum is wrong; give it as it was given".to_owned());
        }
        let message = TokenMessage::decode(body).map_err(|error| error.to_string())?;
        message.read()
    }
}

#[derive(Clone, PartialEq, Message)]
struct TokenMessage {
    #[prost(uint64, tag = "1")]
    fleet: u64,
    #[prost(uint32, tag = "2")]
    paged: u32,
    #[prost(uint64, tag = "3")]
    org: u64,
    #[prost(uint64, optional, tag = "4")]
    metric: Option<u64>,
    #[prost(sint64, tag = "5")]
    from_ms: i64,
    #[prost(sint64, tag = "6")]
    to_ms: i64,
    #[prost(string, tag = "7")]
    resolution: String,
    #[prost(uint64, tag = "8")]
    last_metric: u64,
    #[prost(sint64, tag = "9")]
    last_ms: i64,
    #[prost(sint64, tag = "10")]
    issued_ms: i64,
}

impl TokenMessage {
    fn read(self) -> std::result::Result<PageToken, String> {
        let paged = match self.paged {
            1 => Paged::Points,
            2 => Paged::Series,
            other => return Err(format!("it pages something unknown, {other}")),
        };
        let scope = PageScope {
            org: OrgId(self.org),
            metric: self.metric.map(MetricId),
            span: TimeSpan {
                from: TimestampMs(self.from_ms),
                to: TimestampMs(self.to_ms),
            },
            resolution: self.resolution.parse()?,
        };
        let last = LastRow {
            metric: MetricId(self.last_metric),
            at: TimestampMs(self.last_ms),
        };
        if scope.metric.is_some_and(|metric| metric != last.metric) {
            return Err("its last row is of another series than the scan".to_owned());
        }
        Ok(PageToken {
            fleet: self.fleet,
            paged,
            scope,
            last,
            issued: TimestampMs(self.issued_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> impl Strategy<Value = PageToken> {
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>());
        let times = (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>());
        let kinds = (0_usize..4, any::<bool>());
        (numbers, times, kinds).prop_map(|((fleet, org, metric, one), times, (at, names))| {
            let last = MetricId(metric);
            PageToken {
                fleet,
                paged: if names { Paged::Series } else { Paged::Points },
                scope: PageScope {
                    org: OrgId(org),
                    metric: one.then_some(last),
                    span: TimeSpan {
                        from: TimestampMs(times.0),
                        to: TimestampMs(times.1),
                    },
                    resolution: Resolution::ALL[at],
                },
                last: LastRow {
                    metric: last,
                    at: TimestampMs(times.2),
                },
                issued: TimestampMs(times.3),
            }
        })
    }

    proptest! {
        #[test]
        fn a_token_reads_back_and_a_changed_one_is_refused(
            token in token(),
            flip in 1_u8..,
            place: prop::sample::Index,
        ) {
            let text = token.to_text();
            prop_assert!(text.len() <= MOST_CHARS);
            prop_assert_eq!(PageToken::from_text(&text).unwrap(), token);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(PageToken::from_text(&URL_SAFE_NO_PAD.encode(&bytes)).is_err());
            bytes.truncate(place);
            prop_assert!(PageToken::from_text(&URL_SAFE_NO_PAD.encode(&bytes)).is_err());
        }

        #[test]
        fn any_text_is_read_or_refused(text: String, body: Vec<u8>) {
            let _ = PageToken::from_text(&text);
            let checksum = crc32c_of_parts(&[&[VERSION], &body]).to_le_bytes();
            let sealed = URL_SAFE_NO_PAD.encode([&[VERSION][..], &checksum, &body].concat());
            let _ = PageToken::from_text(&sealed);
        }

        #[test]
        fn a_token_is_good_for_its_lifetime_and_no_longer(
            token in token(),
            lifetime in 0_u32..,
        ) {
            let lifetime = Millis(lifetime.into());
            let last = token.issued.0.saturating_add(lifetime.0.cast_signed());
            prop_assert!(token.check_age(TimestampMs(last), lifetime).is_ok());
            let expired = token.check_age(TimestampMs(last.saturating_add(1)), lifetime);
            prop_assert_eq!(expired.is_err(), last < i64::MAX);
        }
    }
}
