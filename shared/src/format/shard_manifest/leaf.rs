//! A part of a manifest that no longer changes, in an object of its own: the segments of some windows in a row with their
//! seals, or some quarantine lists in a row.

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use super::seal_body::SealRefBody;
use super::segment_body::{QuarantineBody, SegmentBody};
use super::{QuarantineRef, SealRef, SegmentEntry};
use crate::error::{Error, Result};
use crate::format::envelope::{self, Kind};
use crate::format::wire::Reading;
use crate::ids::{ShardId, WriteId};
use crate::window::Window;

/// Windows of a leaf: a month of days.
const LEAF_WINDOWS: i64 = 32;

/// Quarantine lists of a leaf.
pub(super) const LEAF_LISTS: usize = 128;

/// Which part of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeafScope {
    /// 32 windows in a row, by the number of the first divided by 32.
    Windows(i64),
    /// 128 quarantine lists in a row, by the place of the first divided by 128.
    Quarantine(u64),
}

/// One part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestLeaf {
    /// Whose.
    pub shard: ShardId,
    /// Which part.
    pub scope: LeafScope,
    /// The live segments of its windows, in the manifest's order.
    pub segments: Vec<SegmentEntry>,
    /// The seals of its windows, each with those alone.
    pub seals: Vec<SealRef>,
    /// Its quarantine lists.
    pub quarantine: Vec<QuarantineRef>,
}

/// How a manifest names a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRef {
    /// Its object key.
    pub key: String,
    /// CRC32C of the object.
    pub crc32c: u32,
    /// Which part of the manifest it holds.
    pub scope: LeafScope,
    /// [`ManifestLeaf::content`].
    pub content: u128,
}

impl LeafScope {
    /// The part that the segments of `window` are in.
    pub fn of_window(window: Window) -> Self {
        Self::Windows(window.number().div_euclid(LEAF_WINDOWS))
    }

    pub(super) fn of_list(place: usize) -> Self {
        Self::Quarantine((place / LEAF_LISTS) as u64)
    }
}

impl ManifestLeaf {
    /// Hash of what it says: equal for equal leaves.
    pub fn content(&self) -> u128 {
        xxh3_128(&LeafBody::from(self).encode_to_vec())
    }

    /// Encodes into the bytes of an object.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::ManifestLeaf, write_id, &LeafBody::from(self))
    }

    /// Reads [`ManifestLeaf::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (write_id, body) = envelope::open::<LeafBody>(Kind::ManifestLeaf, bytes)?;
        let refuse = |reason| Error::decode(Kind::ManifestLeaf.name(), 0, reason);
        let leaf = body.read().map_err(refuse)?;
        leaf.check().map_err(refuse)?;
        Ok((write_id, leaf))
    }

    fn check(&self) -> Reading<()> {
        let is_of = |window: &Window| LeafScope::of_window(*window) == self.scope;
        let mut windows = self.segments.iter().map(|segment| &segment.window);
        let mut sealed = self.seals.iter().flat_map(|seal| &seal.windows);
        if !windows.all(is_of) || !sealed.all(is_of) {
            return Err("has a window of another leaf".into());
        }
        let lists = match self.scope {
            LeafScope::Windows(_) => 0,
            LeafScope::Quarantine(_) => LEAF_LISTS,
        };
        if self.quarantine.len() != lists {
            let has = self.quarantine.len();
            return Err(format!("has {has} quarantine lists, not {lists}"));
        }
        Ok(())
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeafBody {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(message, optional, tag = "2")]
    scope: Option<ScopeBody>,
    #[prost(message, repeated, tag = "3")]
    segments: Vec<SegmentBody>,
    #[prost(message, repeated, tag = "4")]
    seals: Vec<SealRefBody>,
    #[prost(message, repeated, tag = "5")]
    quarantine: Vec<QuarantineBody>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeafRefBody {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(fixed32, tag = "2")]
    crc32c: u32,
    #[prost(message, optional, tag = "3")]
    scope: Option<ScopeBody>,
    #[prost(bytes = "vec", tag = "4")]
    content: Vec<u8>,
}

/// One of the two.
#[derive(Clone, Copy, PartialEq, Message)]
struct ScopeBody {
    #[prost(sint64, optional, tag = "1")]
    windows: Option<i64>,
    #[prost(uint64, optional, tag = "2")]
    quarantine: Option<u64>,
}

impl From<&ManifestLeaf> for LeafBody {
    fn from(leaf: &ManifestLeaf) -> Self {
        Self {
            shard: leaf.shard.to_string(),
            scope: Some(ScopeBody::from(leaf.scope)),
            segments: leaf.segments.iter().map(SegmentBody::from).collect(),
            seals: leaf.seals.iter().map(SealRefBody::from).collect(),
            quarantine: leaf.quarantine.iter().map(QuarantineBody::from).collect(),
        }
    }
}

impl LeafBody {
    pub(super) fn read(self) -> Reading<ManifestLeaf> {
        let segments = self.segments.into_iter().map(SegmentBody::read);
        let seals = self.seals.into_iter().map(SealRefBody::read);
        Ok(ManifestLeaf {
            shard: self.shard.parse()?,
            scope: self.scope.unwrap_or_default().read()?,
            segments: segments.collect::<Reading<_>>()?,
            seals: seals.collect::<Reading<_>>()?,
            quarantine: self
                .quarantine
                .into_iter()
                .map(QuarantineBody::read)
                .collect(),
        })
    }
}

impl From<&LeafRef> for LeafRefBody {
    fn from(leaf: &LeafRef) -> Self {
        Self {
            key: leaf.key.clone(),
            crc32c: leaf.crc32c,
            scope: Some(ScopeBody::from(leaf.scope)),
            content: leaf.content.to_le_bytes().to_vec(),
        }
    }
}

impl LeafRefBody {
    pub(super) fn read(self) -> Reading<LeafRef> {
        let content = self.content.try_into();
        let content = content.map_err(|_| "a leaf's content hash is not 16 bytes")?;
        Ok(LeafRef {
            key: self.key,
            crc32c: self.crc32c,
            scope: self.scope.unwrap_or_default().read()?,
            content: u128::from_le_bytes(content),
        })
    }
}

impl From<LeafScope> for ScopeBody {
    fn from(scope: LeafScope) -> Self {
        match scope {
            LeafScope::Windows(number) => Self {
                windows: Some(number),
                quarantine: None,
            },
            LeafScope::Quarantine(number) => Self {
                windows: None,
                quarantine: Some(number),
            },
        }
    }
}

impl ScopeBody {
    fn read(self) -> Reading<LeafScope> {
        match (self.windows, self.quarantine) {
            (Some(number), None) => Ok(LeafScope::Windows(number)),
            (None, Some(number)) => Ok(LeafScope::Quarantine(number)),
            (None, None) | (Some(_), Some(_)) => Err("a leaf is of windows or of lists".into()),
        }
    }
}
