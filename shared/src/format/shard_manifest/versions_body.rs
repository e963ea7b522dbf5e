//! The protobuf of what a generation was made with.

use prost::Message;

use super::ManifestVersions;
use crate::payload::Limits;
use crate::units::{ByteCount, Millis};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VersionsBody {
    #[prost(uint64, tag = "1")]
    shard_map: u64,
    #[prost(uint64, tag = "2")]
    timeline: u64,
    #[prost(uint32, tag = "3")]
    encoder: u32,
    #[prost(message, optional, tag = "4")]
    limits: Option<LimitsBody>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LimitsBody {
    #[prost(uint64, tag = "1")]
    payload_bytes: u64,
    #[prost(uint32, tag = "2")]
    points: u32,
    #[prost(uint32, tag = "3")]
    metadata_entries: u32,
    #[prost(uint64, tag = "4")]
    metadata_bytes: u64,
    #[prost(uint64, tag = "5")]
    past_ms: u64,
    #[prost(uint64, tag = "6")]
    future_ms: u64,
    #[prost(uint64, tag = "7")]
    windows: u64,
}

impl From<&ManifestVersions> for VersionsBody {
    fn from(versions: &ManifestVersions) -> Self {
        Self {
            shard_map: versions.shard_map,
            timeline: versions.timeline,
            encoder: versions.encoder,
            limits: Some(LimitsBody::from(&versions.limits)),
        }
    }
}

impl VersionsBody {
    pub(crate) fn read(self) -> Result<ManifestVersions, String> {
        Ok(ManifestVersions {
            shard_map: self.shard_map,
            timeline: self.timeline,
            encoder: self.encoder,
            limits: self.limits.ok_or("limits are missing")?.read(),
        })
    }
}

impl From<&Limits> for LimitsBody {
    fn from(limits: &Limits) -> Self {
        let Limits {
            payload_bytes,
            points,
            metadata_entries,
            metadata_bytes,
            windows,
            past,
            future,
        } = *limits;
        Self {
            payload_bytes: payload_bytes.0,
            points,
            metadata_entries,
            metadata_bytes: metadata_bytes.0,
            windows,
            past_ms: past.0,
            future_ms: future.0,
        }
    }
}

impl LimitsBody {
    pub(crate) fn read(self) -> Limits {
        Limits {
            payload_bytes: ByteCount(self.payload_bytes),
            points: self.points,
            metadata_entries: self.metadata_entries,
            metadata_bytes: ByteCount(self.metadata_bytes),
            windows: self.windows,
            past: Millis(self.past_ms),
            future: Millis(self.future_ms),
        }
    }
}
