//! The frame of a segment: its head, its footer with the top index, and its trailer.
//!
//! `head | runs | metadata | footer | trailer`. The footer is an envelope; the trailer is the footer's
//! length and the magic, so that one GET of the tail opens a segment.

mod body;

use std::ops::Range;

use prost::Message;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::checksum::crc32c;
use crate::format::digest::ContentDigest;
use crate::format::envelope::{self, Kind};
use crate::format::order_column::{ChainIndex, ChainTable};
use crate::format::stored_version;
use crate::format::wire::Reading;
use crate::ids::{MetricId, OrgId, SeriesKey, ShardId, WriteId};
use crate::window::{Resolution, TimestampMs, Window};

/// First and last bytes of every segment.
pub const MAGIC: [u8; 8] = *b"SKEINSEG";

/// Bytes before the first run: magic, version, two zeros, CRC32C of these twelve.
pub const HEAD_BYTES: usize = 16;

/// Bytes after the footer: its length, magic.
pub const TRAILER_BYTES: usize = 12;

/// Name of the section of runs.
pub const RUNS: &str = "runs";

/// Name of the section of series metadata.
pub const METADATA: &str = "metadata";

const FORMAT: &str = "segment";
const VERSION: u16 = stored_version::FIRST;

/// What a segment is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentIdentity {
    /// Whose orgs.
    pub shard: ShardId,
    /// Which event times.
    pub window: Window,
    /// How dense.
    pub resolution: Resolution,
}

/// A segment's footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFooter {
    /// What it is of.
    pub identity: SegmentIdentity,
    /// Version of the encoder's choices.
    pub encoder_version: u32,
    /// Name of the [`Profile`](crate::format::profile::Profile) that it was encoded with; readers do not need it.
    pub profile: String,
    /// How many points, or buckets.
    pub points: u64,
    /// How many raw points the buckets are made of; the segment's own points, when they are raw.
    pub raw_points: u64,
    /// How many series.
    pub series: u64,
    /// Digest of the points, or buckets.
    pub digest: ContentDigest,
    /// The chains that orders mean; none of a rollup.
    pub chains: ChainTable,
    /// For each number that orders carry in the segment its place among the chains: numbers are given by first use.
    pub chain_numbers: Vec<ChainIndex>,
    /// The stretches of the object, in order and without gaps, each with its checksum.
    pub sections: Vec<Section>,
    /// The runs, in order of their series.
    pub runs: Vec<RunFence>,
}

/// A named stretch of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name; one that this build does not know is skipped, or refused when it is required.
    pub name: String,
    /// Where it lies in the object.
    pub bytes: Range<u64>,
    /// xxh3-64 of it.
    pub xxh3: u64,
    /// Whether a reader must know it.
    pub required: bool,
}

/// Where a run lies and which series it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunFence {
    /// Whose series.
    pub org: OrgId,
    /// First series.
    pub first_metric: MetricId,
    /// Last series; the next run may go on with it.
    pub last_metric: MetricId,
    /// How many points.
    pub points: u64,
    /// How many series.
    pub series: u32,
    /// Smallest timestamp.
    pub first_timestamp: TimestampMs,
    /// Greatest timestamp.
    pub last_timestamp: TimestampMs,
    /// Where it begins in the object.
    pub offset: u64,
    /// Length of its blocks.
    pub block_bytes: u32,
    /// Length of its orders.
    pub order_bytes: u32,
    /// Length of its page.
    pub page_bytes: u32,
    /// CRC32C of its page.
    pub page_crc32c: u32,
    /// Where its metadata begins in the object.
    pub metadata_offset: u64,
    /// Length of its metadata; 0 when there is none.
    pub metadata_bytes: u32,
    /// Length of its metadata before zstd.
    pub metadata_raw_bytes: u32,
    /// CRC32C of its metadata.
    pub metadata_crc32c: u32,
}

impl RunFence {
    /// The run's bytes in the object.
    pub fn span(&self) -> Range<u64> {
        let bytes = [self.block_bytes, self.order_bytes, self.page_bytes];
        self.offset..self.offset + bytes.iter().map(|n| u64::from(*n)).sum::<u64>()
    }

    /// The bytes of the run's metadata in the object.
    pub fn metadata_span(&self) -> Range<u64> {
        self.metadata_offset..self.metadata_offset + u64::from(self.metadata_bytes)
    }

    /// First series.
    pub fn first_series(&self) -> SeriesKey {
        SeriesKey {
            org: self.org,
            metric: self.first_metric,
        }
    }

    /// Last series.
    pub fn last_series(&self) -> SeriesKey {
        SeriesKey {
            org: self.org,
            metric: self.last_metric,
        }
    }
}

/// The bytes at the begin of every segment.
pub fn head() -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32c(&head[..12]);
    head[12..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Checks the first bytes of an object.
///
/// # Errors
/// Corrupt when no segment of a version that this build reads begins so.
pub fn check_head(bytes: &[u8]) -> Result<()> {
    let Some(found) = bytes.first_chunk::<HEAD_BYTES>() else {
        return refuse(0, "ends inside the head");
    };
    if found[..8] != MAGIC {
        return refuse(0, "does not begin with `SKEINSEG`");
    }
    if found[12..] != crc32c(&found[..12]).to_le_bytes() {
        return refuse(12, "crc32c of the head does not match");
    }
    let version = u16::from_le_bytes([found[8], found[9]]);
    if let Err(reason) = stored_version::check(version, VERSION) {
        return refuse(8, reason);
    }
    if found[10..12] != [0; 2] {
        return refuse(10, "has something between version and crc32c");
    }
    Ok(())
}

impl SegmentFooter {
    /// The runs that may hold points of series between `first` and `last`, both included.
    pub fn runs_within(&self, first: SeriesKey, last: SeriesKey) -> &[RunFence] {
        let start = self.runs.partition_point(|run| run.last_series() < first);
        let end = self.runs.partition_point(|run| run.first_series() <= last);
        self.runs.get(start..end).unwrap_or_default()
    }

    /// Smallest and greatest timestamp.
    pub fn time_bounds(&self) -> (TimestampMs, TimestampMs) {
        let first = self.runs.iter().map(|run| run.first_timestamp).min();
        let last = self.runs.iter().map(|run| run.last_timestamp).max();
        (first.unwrap_or_default(), last.unwrap_or_default())
    }

    /// Encodes footer and trailer. No write id is inside: the bytes follow from the content alone.
    ///
    /// # Panics
    /// If there are so many runs that the footer passes 4 GiB.
    pub fn encode(&self) -> Vec<u8> {
        let body = body::FooterBody::from(self);
        let mut bytes = envelope::seal(Kind::SegmentFooter, WriteId(Uuid::nil()), &body).to_vec();
        let length = u32::try_from(bytes.len()).expect("an envelope stays below 4 GiB");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes
    }

    /// Reads the footer from the last bytes of an object of `object_bytes`. When `tail` is too short,
    /// the answer is how many bytes of tail it takes.
    ///
    /// # Errors
    /// Corrupt when the tail is no footer and trailer, or does not fit the object.
    pub fn read(tail: &[u8], object_bytes: u64) -> Result<FooterRead> {
        let at = |from_end: usize| object_bytes.saturating_sub(from_end as u64);
        let Some((rest, trailer)) = tail.split_last_chunk::<TRAILER_BYTES>() else {
            return refuse(0, "ends inside the trailer");
        };
        if trailer[4..] != MAGIC {
            return refuse(at(8), "does not end with `SKEINSEG`: the object is cut off");
        }
        let mut length = [0; 4];
        length.copy_from_slice(&trailer[..4]);
        let length = u32::from_le_bytes(length) as usize;
        let needed = length + TRAILER_BYTES;
        if (needed + HEAD_BYTES) as u64 > object_bytes {
            return refuse(at(TRAILER_BYTES), "the footer's length passes the object's");
        }
        let Some(start) = rest.len().checked_sub(length) else {
            return Ok(FooterRead::NeedsTail(needed));
        };
        let (_, body) = envelope::open::<body::FooterBody>(Kind::SegmentFooter, &rest[start..])?;
        let footer = Self::try_from(body).or_else(|reason| refuse(at(needed), reason))?;
        footer
            .check_sections(at(needed))
            .or_else(|reason| refuse(at(needed), reason))?;
        Ok(FooterRead::Footer(Box::new(footer)))
    }

    /// Sections and runs cover everything between head and footer, each byte once.
    fn check_sections(&self, footer_start: u64) -> Reading<()> {
        let mut next = HEAD_BYTES as u64;
        for section in &self.sections {
            if section.bytes.start != next || section.bytes.end < next {
                return Err(format!("section `{}` is out of place", section.name));
            }
            if section.required && !matches!(section.name.as_str(), RUNS | METADATA) {
                let name = &section.name;
                return Err(format!(
                    "section `{name}` is required and unknown to this build"
                ));
            }
            next = section.bytes.end;
        }
        if next != footer_start {
            return Err("the sections do not end where the footer begins".into());
        }
        let end_of = |name| self.section(name).map_or(0, |section| section.bytes.end);
        let runs_end = self
            .runs
            .last()
            .map_or(HEAD_BYTES as u64, |run| run.span().end);
        let metadata_end = self.runs.last().map_or(0, |run| run.metadata_span().end);
        if self.runs.is_empty() || runs_end != end_of(RUNS) || metadata_end != end_of(METADATA) {
            return Err("the runs do not fill their sections".into());
        }
        let ascend = |pair: &[RunFence]| pair[0].last_series() <= pair[1].first_series();
        if !self.runs.windows(2).all(ascend) {
            return Err("the runs are out of order".into());
        }
        Ok(())
    }

    /// The section with this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

/// What [`SegmentFooter::read`] found.
#[derive(Debug)]
pub enum FooterRead {
    /// The footer.
    Footer(Box<SegmentFooter>),
    /// The footer is longer than the tail; so many last bytes hold it.
    NeedsTail(usize),
}

fn refuse<T>(at: u64, reason: impl Into<String>) -> Result<T> {
    Err(Error::decode(FORMAT, at, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_version(version: u16) -> [u8; HEAD_BYTES] {
        let mut other = head();
        other[8..10].copy_from_slice(&version.to_le_bytes());
        let crc = crc32c(&other[..12]);
        other[12..].copy_from_slice(&crc.to_le_bytes());
        other
    }

    #[test]
    fn a_head_of_a_version_that_no_release_or_a_later_one_wrote_is_refused_by_number() {
        check_head(&with_version(1)).unwrap();
        for (version, says) in [
            (0, "version 0 was written before"),
            (2, "version 2 is newer"),
        ] {
            let error = check_head(&with_version(version)).unwrap_err();
            assert!(error.is_unread_version(), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
