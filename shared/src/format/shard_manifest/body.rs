//! The manifest's protobuf body.

use prost::Message;

use super::account_body::AccountRefBody;
use super::deleted_body::DeletedBody;
use super::expiry::ExpiryBody;
use super::leaf::LeafRefBody;
use super::seal_body::SealRefBody;
use super::segment_body::{QuarantineBody, SegmentBody};
use super::versions_body::{LimitsBody, VersionsBody};
use super::{ConservationCounts, LimitsEpoch, ShardManifest};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::damage::DamageRefBody;
use crate::format::wire;
use crate::ids::Generation;
use crate::offset::Offset;
use crate::window::TimestampMs;

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
    #[prost(message, repeated, tag = "13")]
    leaves: Vec<LeafRefBody>,
    #[prost(message, optional, tag = "23")]
    expiry: Option<ExpiryBody>,
    #[prost(sint64, optional, tag = "24")]
    complete_to_ms: Option<i64>,
    #[prost(message, optional, tag = "25")]
    account: Option<AccountRefBody>,
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
    #[prost(uint64, tag = "22")]
    expired: u64,
}

impl From<&ShardManifest> for ManifestBody {
    fn from(manifest: &ShardManifest) -> Self {
        let positions = manifest.positions.iter();
        let leaves: Vec<_> = manifest.carried_leaves().collect();
        let inline = manifest.beside(&leaves);
        Self {
            shard: manifest.shard.to_string(),
            generation: manifest.generation.0,
            positions: chain_groups::group(positions.map(|(chain, offset)| (chain, offset.0))),
            segments: inline.segments.iter().map(SegmentBody::from).collect(),
            versions: Some(VersionsBody::from(&manifest.versions)),
            quarantine: inline.quarantine.iter().map(QuarantineBody::from).collect(),
            counts: Some(CountsBody::from(&manifest.counts)),
            fills: manifest.fills.iter().map(wire::HolePosition::of).collect(),
            kept_from: manifest.kept_from.0,
            void_before: manifest.void_before.0,
            earlier_limits: manifest
                .earlier_limits
                .iter()
                .map(EpochBody::from)
                .collect(),
            seals: inline.seals.iter().map(SealRefBody::from).collect(),
            damages: manifest.damages.iter().map(DamageRefBody::from).collect(),
            deletes_applied: manifest.deletes_applied,
            deleted: DeletedBody::of(&manifest.deleted),
            leaves: leaves.into_iter().map(LeafRefBody::from).collect(),
            expiry: ExpiryBody::of(&manifest.expiry),
            complete_to_ms: manifest.complete_to.map(|time| time.0),
            account: manifest.account.as_ref().map(AccountRefBody::from),
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
        let leaves = self.leaves.into_iter().map(LeafRefBody::read);
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
            leaves: leaves.collect::<Result<_, _>>()?,
            expiry: self.expiry.unwrap_or_default().read()?,
            complete_to: self.complete_to_ms.map(TimestampMs),
            account: self.account.map(AccountRefBody::read),
        })
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
            expired: counts.expired,
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
            expired: self.expired,
        }
    }
}
