//! How a manifest and its leaves name segments and quarantine lists.

use prost::Message;
use uuid::Uuid;

use super::{Layer, QuarantineRef, SegmentEntry};
use crate::format::digest::ContentDigest;
use crate::format::segment_writer::SegmentSummary;
use crate::ids::{Generation, MetricId, OrgId, SeriesKey, WriteId};
use crate::timeline::OwnershipFilter;
use crate::window::{Resolution, TimestampMs, Window};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SegmentBody {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(sint64, tag = "2")]
    window: i64,
    #[prost(string, tag = "3")]
    resolution: String,
    #[prost(uint64, tag = "4")]
    generation: u64,
    #[prost(bytes = "vec", tag = "5")]
    write_id: Vec<u8>,
    #[prost(uint64, tag = "6")]
    size_bytes: u64,
    #[prost(uint32, tag = "7")]
    tail_bytes: u32,
    #[prost(fixed32, tag = "8")]
    crc32c: u32,
    #[prost(bytes = "vec", tag = "9")]
    digest: Vec<u8>,
    #[prost(uint64, tag = "10")]
    points: u64,
    #[prost(uint64, tag = "11")]
    series: u64,
    #[prost(sint64, tag = "12")]
    first_ms: i64,
    #[prost(sint64, tag = "13")]
    last_ms: i64,
    #[prost(message, optional, tag = "14")]
    first_series: Option<SeriesBody>,
    #[prost(message, optional, tag = "15")]
    last_series: Option<SeriesBody>,
    /// Of a rollup alone, as the next.
    #[prost(uint64, tag = "16")]
    raw_points: u64,
    #[prost(string, optional, tag = "17")]
    rollup_of: Option<String>,
    #[prost(uint64, tag = "18")]
    steps: u64,
    #[prost(uint64, tag = "21")]
    deletes_applied: u64,
    /// Of an overlay alone.
    #[prost(bool, tag = "22")]
    unfiltered: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SeriesBody {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(fixed64, tag = "2")]
    metric: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct QuarantineBody {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, tag = "2")]
    records: u64,
    #[prost(fixed32, tag = "3")]
    crc32c: u32,
}

impl From<&SegmentEntry> for SegmentBody {
    fn from(entry: &SegmentEntry) -> Self {
        let summary = &entry.summary;
        Self {
            key: entry.key.clone(),
            window: entry.window.number(),
            resolution: entry.resolution.to_string(),
            generation: entry.generation.0,
            write_id: entry.write_id.0.as_bytes().to_vec(),
            size_bytes: summary.size_bytes,
            tail_bytes: summary.tail_bytes,
            crc32c: summary.crc32c,
            digest: summary.digest.to_bytes().to_vec(),
            points: summary.points,
            series: summary.series,
            first_ms: summary.first_timestamp.0,
            last_ms: summary.last_timestamp.0,
            first_series: Some(SeriesBody::from(summary.first_series)),
            last_series: Some(SeriesBody::from(summary.last_series)),
            steps: match entry.layer {
                Layer::Base => 0,
                Layer::Overlay { steps } => steps,
            },
            raw_points: if entry.resolution.is_raw() {
                0
            } else {
                summary.raw_points
            },
            rollup_of: entry.rollup_of.clone(),
            deletes_applied: entry.deletes_applied,
            unfiltered: entry.is_unfiltered(),
        }
    }
}

impl SegmentBody {
    pub(crate) fn read(self) -> Result<SegmentEntry, String> {
        let write_id = Uuid::from_slice(&self.write_id).map_err(|_| "write id is not 16 bytes")?;
        let resolution: Resolution = self.resolution.parse()?;
        if resolution.is_raw() && self.rollup_of.is_some() {
            return Err("a segment of raw points is no rollup".into());
        }
        if self.unfiltered && self.steps == 0 {
            return Err("a base is never unfiltered".into());
        }
        Ok(SegmentEntry {
            window: Window::from_number(self.window),
            resolution,
            layer: match self.steps {
                0 => Layer::Base,
                steps => Layer::Overlay { steps },
            },
            rollup_of: self.rollup_of,
            generation: Generation(self.generation),
            write_id: WriteId(write_id),
            summary: SegmentSummary {
                size_bytes: self.size_bytes,
                tail_bytes: self.tail_bytes,
                crc32c: self.crc32c,
                digest: ContentDigest::from_bytes(&self.digest).ok_or("digest is not 16 bytes")?,
                points: self.points,
                raw_points: if resolution.is_raw() {
                    self.points
                } else {
                    self.raw_points
                },
                series: self.series,
                first_timestamp: TimestampMs(self.first_ms),
                last_timestamp: TimestampMs(self.last_ms),
                first_series: self.first_series.ok_or("first series is missing")?.read(),
                last_series: self.last_series.ok_or("last series is missing")?.read(),
            },
            key: self.key,
            deletes_applied: self.deletes_applied,
            filter: if self.unfiltered {
                OwnershipFilter::Everything
            } else {
                OwnershipFilter::Owned
            },
        })
    }
}

impl From<SeriesKey> for SeriesBody {
    fn from(key: SeriesKey) -> Self {
        Self {
            org: key.org.0,
            metric: key.metric.0,
        }
    }
}

impl SeriesBody {
    pub(crate) fn read(self) -> SeriesKey {
        SeriesKey {
            org: OrgId(self.org),
            metric: MetricId(self.metric),
        }
    }
}

impl From<&QuarantineRef> for QuarantineBody {
    fn from(list: &QuarantineRef) -> Self {
        Self {
            key: list.key.clone(),
            records: list.records,
            crc32c: list.crc32c,
        }
    }
}

impl QuarantineBody {
    pub(crate) fn read(self) -> QuarantineRef {
        QuarantineRef {
            key: self.key,
            records: self.records,
            crc32c: self.crc32c,
        }
    }
}
