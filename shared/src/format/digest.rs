//! A digest of what is stored that does not depend on how it is cut, ordered or encoded.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_128;

use crate::ids::SeriesKey;
use crate::rollup::Rollup;

/// Order-independent digest of a set of points or records: the sum, modulo 2^128, of one hash for each.
///
/// A sum, never an xor: an element that is there twice must not vanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ContentDigest(u128);

impl ContentDigest {
    /// The digest of nothing.
    pub const EMPTY: Self = Self(0);

    /// Takes one point in: xxh3-128 of org, metric, timestamp and the value's bits, each as 8
    /// little-endian bytes.
    #[inline]
    pub fn add_point(&mut self, series: SeriesKey, timestamp_ms: i64, value: f64) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&series.org.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&series.metric.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&timestamp_ms.to_le_bytes());
        bytes[24..].copy_from_slice(&value.to_bits().to_le_bytes());
        self.add_hash(xxh3_128(&bytes));
    }

    /// Takes the points of one series in; both slices have the same length.
    pub fn add_points(&mut self, series: SeriesKey, timestamps_ms: &[i64], values: &[f64]) {
        debug_assert_eq!(timestamps_ms.len(), values.len());
        for (timestamp, value) in timestamps_ms.iter().zip(values) {
            self.add_point(series, *timestamp, *value);
        }
    }

    /// Takes the buckets of one series in, one hash for each: xxh3-128 of org, metric, start and the bits of count,
    /// NaNs, first, last, min, max, sum and increase as doubles, each as 8 little-endian bytes.
    pub fn add_rollup(&mut self, series: SeriesKey, rollup: &Rollup) {
        let mut bytes = [0; 88];
        bytes[..8].copy_from_slice(&series.org.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&series.metric.0.to_le_bytes());
        for bucket in rollup.buckets() {
            bytes[16..24].copy_from_slice(&bucket.start_ms.to_le_bytes());
            let (columns, _) = bytes[24..].as_chunks_mut::<8>();
            for (place, number) in columns.iter_mut().zip(bucket.columns()) {
                *place = number.to_bits().to_le_bytes();
            }
            self.add_hash(xxh3_128(&bytes));
        }
    }

    /// Takes one element in by its own 128-bit hash.
    #[inline]
    pub fn add_hash(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }

    /// Takes in everything that `other` holds.
    pub fn add(&mut self, other: Self) {
        self.add_hash(other.0);
    }

    /// Takes out everything that `other` holds.
    pub fn remove(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }

    /// Little-endian bytes, as stored.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// Reads [`ContentDigest::to_bytes`] back; `None` unless there are 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_le_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ContentDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match u128::from_str_radix(text, 16) {
            Ok(sum) if text.len() == 32 => Ok(Self(sum)),
            Ok(_) | Err(_) => Err(format!("`{text}` is not a digest of 32 hex digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{MetricId, OrgId};
    use crate::rollup::Bucket;

    const SERIES: SeriesKey = SeriesKey {
        org: OrgId(7),
        metric: MetricId(9),
    };

    #[test]
    fn order_and_cutting_do_not_change_the_digest() {
        let mut whole = ContentDigest::EMPTY;
        whole.add_points(SERIES, &[1, 2, 3], &[0.5, f64::NAN, -0.0]);
        let (mut first, mut rest) = (ContentDigest::EMPTY, ContentDigest::EMPTY);
        rest.add_points(SERIES, &[3, 1], &[-0.0, 0.5]);
        first.add_point(SERIES, 2, f64::NAN);
        first.add(rest);
        assert_eq!(first, whole);
        first.remove(rest);
        first.remove(first);
        assert_eq!(first, ContentDigest::EMPTY);
    }

    #[test]
    fn every_bit_of_a_point_counts_and_a_double_does_not_vanish() {
        let digest = |series, ts, value| {
            let mut digest = ContentDigest::EMPTY;
            digest.add_point(series, ts, value);
            digest
        };
        let one = digest(SERIES, 1, 0.0);
        assert_ne!(one, digest(SERIES, 1, -0.0));
        assert_ne!(one, digest(SERIES, 2, 0.0));
        let other = SeriesKey {
            org: OrgId(9),
            metric: MetricId(7),
        };
        assert_ne!(one, digest(other, 1, 0.0));
        let mut twice = one;
        twice.add(one);
        assert_ne!(twice, one);
        assert_ne!(twice, ContentDigest::EMPTY);
    }

    #[test]
    fn every_bit_of_a_bucket_counts() {
        let digest = |bucket: &Bucket| {
            let (mut rollup, mut digest) = (Rollup::default(), ContentDigest::EMPTY);
            rollup.push(bucket);
            digest.add_rollup(SERIES, &rollup);
            digest
        };
        let bucket = Bucket {
            count: 1,
            first: 2.0,
            last: -0.0,
            ..Bucket::empty(0)
        };
        let others = [
            Bucket {
                start_ms: 300_000,
                ..bucket
            },
            Bucket { count: 2, ..bucket },
            Bucket {
                nans: 1,
                count: 0,
                ..bucket
            },
            Bucket {
                first: -0.0,
                last: 2.0,
                ..bucket
            },
            Bucket {
                last: 0.0,
                ..bucket
            },
            Bucket {
                increase: 1.0,
                ..bucket
            },
        ];
        for other in others {
            assert_ne!(digest(&bucket), digest(&other), "{other:?}");
        }
    }

    #[test]
    fn text_and_bytes_read_back() {
        let mut digest = ContentDigest::EMPTY;
        digest.add_point(SERIES, 5, 1.5);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(ContentDigest::from_bytes(&digest.to_bytes()), Some(digest));
        assert!("12".parse::<ContentDigest>().is_err());
        assert_eq!(ContentDigest::from_bytes(&[0; 15]), None);
    }
}
