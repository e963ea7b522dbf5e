//! Event time: timestamps, half-open spans and the windows that segments are cut by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::Millis;

/// Milliseconds since the UTC epoch; may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampMs(pub i64);

/// Event times `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan {
    /// First instant inside.
    pub from: TimestampMs,
    /// First instant beyond.
    pub to: TimestampMs,
}

/// How dense the points of a segment are; ordered from the finest to the coarsest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Resolution {
    /// As they came.
    #[serde(rename = "raw")]
    Raw,
    /// One bucket for every 5 minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// One bucket for every hour.
    #[serde(rename = "1h")]
    OneHour,
    /// One bucket for every day of UTC.
    #[serde(rename = "1d")]
    OneDay,
}

impl Resolution {
    /// All of them, from the finest to the coarsest.
    pub const ALL: [Self; 4] = [Self::Raw, Self::FiveMinutes, Self::OneHour, Self::OneDay];

    /// Whether points are as they came, in no buckets.
    pub const fn is_raw(self) -> bool {
        self.bucket_width().is_none()
    }

    /// How long a bucket is; `None` of raw points.
    pub const fn bucket_width(self) -> Option<Millis> {
        match self {
            Self::Raw => None,
            Self::FiveMinutes => Some(Millis(5 * 60 * 1000)),
            Self::OneHour => Some(Millis(3600 * 1000)),
            Self::OneDay => Some(Millis(24 * 3600 * 1000)),
        }
    }

    /// First instant of the bucket that holds `timestamp`, buckets being aligned to the UTC epoch; of raw
    /// points the timestamp itself. Saturates at the begin of the representable time.
    pub const fn bucket_start(self, timestamp: TimestampMs) -> TimestampMs {
        match self.bucket_width() {
            None => timestamp,
            Some(width) => {
                let width = width.0.cast_signed();
                TimestampMs(timestamp.0.div_euclid(width).saturating_mul(width))
            }
        }
    }

    /// The times of the buckets that begin in `span`, each of them whole; of raw points the span itself. Empty where
    /// no bucket begins in it.
    pub fn buckets_in(self, span: TimeSpan) -> TimeSpan {
        let Some(width) = self.bucket_width() else {
            return span;
        };
        let first_from = |at: TimestampMs| {
            let width = width.0.cast_signed();
            let begins = at.0.rem_euclid(width) == 0;
            let number = at.0.div_euclid(width) + i64::from(!begins);
            // All of time begins in the middle of a bucket, which is then meant to be read too.
            if at == TimeSpan::ALL.from {
                at
            } else {
                TimestampMs(number.saturating_mul(width))
            }
        };
        TimeSpan {
            from: first_from(span.from),
            to: first_from(span.to),
        }
    }

    /// The name that keys and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
            Self::OneDay => "1d",
        }
    }
}

/// Width of a window of raw points, aligned to the UTC epoch.
pub const RAW_WINDOW: Millis = Millis(24 * 3600 * 1000);

/// One window of raw points, `[start, start + 24 h)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(i64);

impl Window {
    /// The window that holds `timestamp`.
    pub const fn of(timestamp: TimestampMs) -> Self {
        Self(timestamp.0.div_euclid(RAW_WINDOW.0.cast_signed()))
    }

    /// The window with this number: days since the epoch.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Days since the epoch.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// First instant inside; saturates at the ends of the representable time.
    pub const fn start(self) -> TimestampMs {
        TimestampMs(self.0.saturating_mul(RAW_WINDOW.0.cast_signed()))
    }

    /// The event times it holds.
    pub const fn span(self) -> TimeSpan {
        let end = TimestampMs(self.start().0.saturating_add(RAW_WINDOW.0.cast_signed()));
        TimeSpan {
            from: self.start(),
            to: end,
        }
    }
}

impl TimeSpan {
    /// All of time.
    pub const ALL: Self = Self {
        from: TimestampMs(i64::MIN),
        to: TimestampMs(i64::MAX),
    };

    /// Whether no instant lies inside.
    pub fn is_empty(self) -> bool {
        self.to <= self.from
    }

    /// Whether `timestamp` lies inside.
    pub fn contains(self, timestamp: TimestampMs) -> bool {
        self.from <= timestamp && timestamp < self.to
    }

    /// Whether both hold a common instant.
    pub fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }
}

impl fmt::Display for TimestampMs {
    /// RFC 3339 in UTC with milliseconds, or the bare number where that has no year of four digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) if self.0 >= -62_135_596_800_000 => write!(f, "{time:.3}"),
            Ok(_) | Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Resolution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|it| it.name() == text);
        named.ok_or_else(|| format!("resolution `{text}` is unknown to this build"))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timestamp_lies_in_its_window() {
        for ms in [
            i64::MIN + 86_400_000,
            -86_400_001,
            -1,
            0,
            1,
            86_399_999,
            86_400_000,
            1 << 60,
        ] {
            let t = TimestampMs(ms);
            assert!(Window::of(t).span().contains(t), "{ms}");
        }
    }

    #[test]
    fn every_resolution_reads_back_from_its_name() {
        for resolution in Resolution::ALL {
            assert_eq!(resolution.to_string().parse(), Ok(resolution));
        }
        assert!("5M".parse::<Resolution>().is_err());
    }

    #[test]
    fn buckets_begin_at_multiples_of_their_width() {
        let start = |resolution: Resolution, ms| resolution.bucket_start(TimestampMs(ms)).0;
        assert_eq!(start(Resolution::Raw, -7), -7);
        assert_eq!(start(Resolution::FiveMinutes, -1), -300_000);
        assert_eq!(start(Resolution::FiveMinutes, 299_999), 0);
        assert_eq!(start(Resolution::OneHour, 3_600_000), 3_600_000);
        assert_eq!(start(Resolution::OneDay, -86_400_001), -172_800_000);
        assert_eq!(start(Resolution::OneDay, i64::MIN), i64::MIN);
    }

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_span_means_the_buckets_that_begin_in_it() {
        let within = |from, to| {
            let span = TimeSpan {
                from: TimestampMs(from),
                to: TimestampMs(to),
            };
            let buckets = Resolution::OneHour.buckets_in(span);
            assert_eq!(Resolution::Raw.buckets_in(span), span);
            (buckets.from.0, buckets.to.0)
        };
        assert_eq!(within(0, HOUR), (0, HOUR));
        assert_eq!(within(0, 1), (0, HOUR));
        assert_eq!(within(1, HOUR + 1), (HOUR, 2 * HOUR));
        assert_eq!(within(-1, 0), (0, 0));
        assert_eq!(within(-HOUR, 1), (-HOUR, HOUR));
        assert_eq!(within(i64::MIN, i64::MAX), (i64::MIN, i64::MAX));
    }

    #[test]
    fn times_print_as_rfc_3339() {
        assert_eq!(
            TimestampMs(1_700_000_000_123).to_string(),
            "2023-11-14T22:13:20.123Z"
        );
    }
}
