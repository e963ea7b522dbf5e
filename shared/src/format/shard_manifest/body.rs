//! The manifest's protobuf body.

use prost::Message;
use uuid::Uuid;

use super::deleted_body::DeletedBody;
use super::seal_body::SealRefBody;
use super::versions_body::{LimitsBody, VersionsBody};
use super::{ConservationCounts, Layer, LimitsEpoch, QuarantineRef, SegmentEntry, ShardManifest};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::damage::DamageRefBody;
use crate::format::digest::ContentDigest;
use crate::format::segment_writer::SegmentSummary;
use crate::format::wire;
use crate::ids::{Generation, MetricId, OrgId, SeriesKey, WriteId};
use crate::offset::Offset;
use crate::window::{Resolution, TimestampMs, Window};

#[derive(Clone, PartialEq, Message)]
pub(super) struct ManifestBody {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(uint64, tag = "2")]
    generation: u64,
    #[prost(message, repeated, tag = "3")]
    positions: Vec<ChainGroup>,
    #[prost(message, repeated, tag = "4")]
    segments: Vec<SegmentBody>,
    #[prost(message, optional, tag = "5")]
    versions: Option<VersionsBody>,
    #[prost(message, repeated, tag = "6")]
    quarantine: Vec<QuarantineBody>,
    #[prost(message, optional, tag = "7")]
    counts: Option<CountsBody>,
    #[prost(message, repeated, tag = "8")]
    fills: Vec<wire::HolePosition>,
    #[prost(uint64, tag = "9")]
    kept_from: u64,
    #[prost(uint64, tag = "10")]
    void_before: u64,
    #[prost(message, repeated, tag = "11")]
    earlier_limits: Vec<EpochBody>,
    #[prost(message, repeated, tag = "12")]
    seals: Vec<SealRefBody>,
    #[prost(message, repeated, tag = "20")]
    damages: Vec<DamageRefBody>,
    #[prost(uint64, tag = "21")]
    deletes_applied: u64,
    #[prost(message, repeated, tag = "22")]
    deleted: Vec<DeletedBody>,
}

#[derive(Clone, PartialEq, Message)]
struct EpochBody {
    #[prost(message, optional, tag = "1")]
    limits: Option<LimitsBody>,
    #[prost(message, repeated, tag = "2")]
    positions: Vec<ChainGroup>,
    #[prost(message, repeated, tag = "3")]
    fills: Vec<wire::HolePosition>,
}

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

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CountsBody {
    #[prost(uint64, tag = "1")]
    records: u64,
    #[prost(uint64, tag = "2")]
    quarantined_records: u64,
    #[prost(uint64, tag = "3")]
    points_in: u64,
    #[prost(uint64, tag = "4")]
    duplicates: u64,
    #[prost(uint64, tag = "5")]
    not_owned: u64,
    #[prost(uint64, tag = "20")]
    damaged_frames: u64,
    #[prost(uint64, tag = "21")]
    deleted: u64,
}

impl From<&ShardManifest> for ManifestBody {
    fn from(manifest: &ShardManifest) -> Self {
        let positions = manifest.positions.iter();
        Self {
            shard: manifest.shard.to_string(),
            generation: manifest.generation.0,
            positions: chain_groups::group(positions.map(|(chain, offset)| (chain, offset.0))),
            segments: manifest.segments.iter().map(SegmentBody::from).collect(),
            versions: Some(VersionsBody::from(&manifest.versions)),
            quarantine: manifest
                .quarantine
                .iter()
                .map(QuarantineBody::from)
                .collect(),
            counts: Some(CountsBody::from(&manifest.counts)),
            fills: manifest.fills.iter().map(wire::HolePosition::of).collect(),
            kept_from: manifest.kept_from.0,
            void_before: manifest.void_before.0,
            earlier_limits: manifest
                .earlier_limits
                .iter()
                .map(EpochBody::from)
                .collect(),
            seals: manifest.seals.iter().map(SealRefBody::from).collect(),
            damages: manifest.damages.iter().map(DamageRefBody::from).collect(),
            deletes_applied: manifest.deletes_applied,
            deleted: DeletedBody::of(&manifest.deleted),
        }
    }
}

impl From<&LimitsEpoch> for EpochBody {
    fn from(epoch: &LimitsEpoch) -> Self {
        let positions = epoch.positions.iter();
        Self {
            limits: Some(LimitsBody::from(&epoch.limits)),
            positions: chain_groups::group(positions.map(|(chain, offset)| (chain, offset.0))),
            fills: epoch.fills.iter().map(wire::HolePosition::of).collect(),
        }
    }
}

impl EpochBody {
    fn read(self) -> Result<LimitsEpoch, String> {
        let positions = chain_groups::ungroup(self.positions)?.into_iter();
        let fills = self.fills.into_iter().map(wire::HolePosition::read);
        Ok(LimitsEpoch {
            limits: self.limits.ok_or("limits are missing")?.read(),
            positions: positions.map(|(chain, at)| (chain, Offset(at))).collect(),
            fills: fills.collect::<Result<_, _>>()?,
        })
    }
}

impl ManifestBody {
    pub(super) fn read(self) -> Result<ShardManifest, String> {
        if self.generation == 0 {
            return Err("generation 0 is never written".into());
        }
        let positions = chain_groups::ungroup(self.positions)?;
        let fills = self.fills.into_iter().map(wire::HolePosition::read);
        let versions = self.versions.unwrap_or_default();
        let segments = self.segments.into_iter().map(SegmentBody::read);
        let quarantine = self.quarantine.into_iter().map(QuarantineBody::read);
        let earlier_limits = self.earlier_limits.into_iter().map(EpochBody::read);
        let damages = self.damages.into_iter().map(DamageRefBody::read);
        Ok(ShardManifest {
            shard: self.shard.parse()?,
            generation: Generation(self.generation),
            positions: positions
                .into_iter()
                .map(|(chain, offset)| (chain, Offset(offset)))
                .collect(),
            fills: fills.collect::<Result<_, _>>()?,
            kept_from: Generation(self.kept_from),
            void_before: Generation(self.void_before),
            earlier_limits: earlier_limits.collect::<Result<_, _>>()?,
            segments: segments.collect::<Result<_, _>>()?,
            versions: versions.read()?,
            quarantine: quarantine.collect(),
            counts: self.counts.unwrap_or_default().read(),
            seals: self
                .seals
                .into_iter()
                .map(SealRefBody::read)
                .collect::<Result<_, _>>()?,
            damages: damages.collect::<Result<_, _>>()?,
            deletes_applied: self.deletes_applied,
            deleted: self.deleted.into_iter().map(DeletedBody::read).collect(),
        })
    }
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

impl From<&ConservationCounts> for CountsBody {
    fn from(counts: &ConservationCounts) -> Self {
        Self {
            records: counts.records,
            quarantined_records: counts.quarantined_records,
            points_in: counts.points_in,
            duplicates: counts.duplicates,
            not_owned: counts.not_owned,
            damaged_frames: counts.damaged_frames,
            deleted: counts.deleted,
        }
    }
}

impl CountsBody {
    pub(crate) fn read(self) -> ConservationCounts {
        ConservationCounts {
            records: self.records,
            quarantined_records: self.quarantined_records,
            points_in: self.points_in,
            duplicates: self.duplicates,
            not_owned: self.not_owned,
            damaged_frames: self.damaged_frames,
            deleted: self.deleted,
        }
    }
}
