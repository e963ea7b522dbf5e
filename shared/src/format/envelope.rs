//! The envelope of every metadata object and footer: magic, kind, version, length, CRC32C, write id,
//! then a protobuf body.

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::checksum;
use crate::format::stored_version;
use crate::ids::WriteId;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 32;

/// First bytes of every envelope.
pub const MAGIC: [u8; 4] = *b"SKEN";

const FORMAT: &str = "envelope";
const CRC_AT: usize = 12;
const WRITE_ID_AT: usize = 16;

/// What a body holds. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A flush's objects and spans, or its void mark.
    FlushManifest = 1,
    /// The start of a chain.
    Genesis = 2,
    /// A durable span of a chain.
    LedgerEntry = 3,
    /// A version of the routing.
    ShardMapVersion = 4,
    /// A source's name bound to a Kafka cluster.
    SourceIdentity = 5,
    /// The footer of a state object.
    StateFooter = 6,
    /// The footer of a segment.
    SegmentFooter = 7,
    /// A shard's live segments and positions.
    ShardManifest = 8,
    /// Records that a compactor could not read.
    Quarantine = 9,
    /// Where one worker stands.
    WorkerStatus = 10,
    /// A partition that nobody waits for any more.
    Retirement = 11,
    /// A durable span of a hole.
    FillEntry = 12,
    /// What a replay is to do.
    ReplayJob = 13,
    /// How far a replay has come.
    ReplayStep = 14,
    /// That a replay is to end.
    ReplayCancel = 15,
    /// The tasks of one compaction.
    CompactPlan = 16,
    /// What one of them made.
    CompactResult = 17,
    /// Up to where the bases of a shard were merged.
    Seal = 18,
    /// Points that are to be gone.
    DeleteEntry = 21,
    /// That they are.
    DeleteReceipt = 22,
    /// A part of a shard's manifest.
    ManifestLeaf = 24,
    /// Below which records.
    DeletePositions = 23,
    /// Below which positions state may be gone.
    StateBound = 26,
    /// What a compaction did and took.
    RunRecord = 25,
    /// Where the points of a shard's orgs went.
    Account = 27,
    /// A version of an org's cutover.
    CutoverVersion = 28,
    /// The newest versions of all orgs.
    CutoverFleet = 29,
    /// Up to where the old pipeline has written an org.
    CutoverSeal = 30,
    /// By which fleet a node goes.
    CutoverAck = 31,
    /// Points of one metric, as the old pipeline keeps them.
    OldFile = 32,
    /// How far the old pipeline has come in a partition.
    OldProgress = 33,
    /// What a comparison found.
    DiffVerdict = 34,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 32] = [
        Self::FlushManifest,
        Self::Genesis,
        Self::LedgerEntry,
        Self::ShardMapVersion,
        Self::SourceIdentity,
        Self::StateFooter,
        Self::SegmentFooter,
        Self::ShardManifest,
        Self::Quarantine,
        Self::WorkerStatus,
        Self::Retirement,
        Self::FillEntry,
        Self::ReplayJob,
        Self::ReplayStep,
        Self::ReplayCancel,
        Self::CompactPlan,
        Self::CompactResult,
        Self::Seal,
        Self::DeleteEntry,
        Self::DeleteReceipt,
        Self::ManifestLeaf,
        Self::DeletePositions,
        Self::StateBound,
        Self::RunRecord,
        Self::Account,
        Self::CutoverVersion,
        Self::CutoverFleet,
        Self::CutoverSeal,
        Self::CutoverAck,
        Self::OldFile,
        Self::OldProgress,
        Self::DiffVerdict,
    ];

    /// The name that errors and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlushManifest => "flush manifest",
            Self::Genesis => "genesis",
            Self::LedgerEntry => "ledger entry",
            Self::ShardMapVersion => "shard map version",
            Self::SourceIdentity => "source identity",
            Self::StateFooter => "state object footer",
            Self::SegmentFooter => "segment footer",
            Self::ShardManifest => "shard manifest",
            Self::Quarantine => "quarantine object",
            Self::WorkerStatus => "worker status",
            Self::Retirement => "retirement",
            Self::FillEntry => "fill entry",
            Self::ReplayJob => "replay job",
            Self::ReplayStep => "replay step",
            Self::ReplayCancel => "replay cancellation",
            Self::CompactPlan => "compaction plan",
            Self::CompactResult => "compaction result",
            Self::Seal => "seal",
            Self::DeleteEntry => "delete",
            Self::DeleteReceipt => "delete receipt",
            Self::ManifestLeaf => "manifest leaf",
            Self::DeletePositions => "positions of a delete",
            Self::StateBound => "state bound",
            Self::RunRecord => "run record",
            Self::Account => "account",
            Self::CutoverVersion => "cutover version",
            Self::CutoverFleet => "cutover fleet",
            Self::CutoverSeal => "cutover seal",
            Self::CutoverAck => "cutover acknowledgement",
            Self::OldFile => "old file",
            Self::OldProgress => "old progress",
            Self::DiffVerdict => "comparison verdict",
        }
    }

    /// The version of the body that this build writes, and the newest that it reads.
    pub const fn version(self) -> u16 {
        stored_version::FIRST
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Wraps `message`.
///
/// # Panics
/// If the body passes 4 GiB, which no caller comes near.
pub fn seal(kind: Kind, write_id: WriteId, message: &impl Message) -> Bytes {
    let body_bytes = message.encoded_len();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body_bytes);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(kind as u8);
    bytes.push(0);
    bytes.extend_from_slice(&kind.version().to_le_bytes());
    let length = u32::try_from(body_bytes).expect("a metadata body stays below 4 GiB");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(write_id.0.as_bytes());
    message
        .encode(&mut bytes)
        .expect("a Vec grows as far as it has to");
    let crc = crc_of(&bytes);
    bytes[CRC_AT..WRITE_ID_AT].copy_from_slice(&crc.to_le_bytes());
    bytes.into()
}

/// Unwraps the body of `kind`. `bytes` is exactly one envelope.
///
/// # Errors
/// `Corrupt` when the bytes are not an intact envelope of that kind in a version this build reads.
pub fn open<M: Message + Default>(kind: Kind, bytes: &[u8]) -> Result<(WriteId, M)> {
    let found = kind_of(bytes)?;
    if found != kind {
        let reason = format!("holds a {}, not a {}", found.name(), kind.name());
        return Err(Error::decode(kind.name(), 4, reason));
    }
    let body = &bytes[HEADER_BYTES..];
    let message = M::decode(body).map_err(|error| {
        Error::decode(kind.name(), HEADER_BYTES as u64, format!("body: {error}"))
    })?;
    Ok((write_id_in(bytes), message))
}

/// Checks that `bytes` are exactly one intact envelope and says of what.
///
/// # Errors
/// `Corrupt` as [`open`].
pub fn kind_of(bytes: &[u8]) -> Result<Kind> {
    let refuse = |at: usize, reason: String| Err(Error::decode(FORMAT, at as u64, reason));
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return refuse(bytes.len(), "ends inside the header".into());
    };
    if header[..4] != MAGIC {
        return refuse(0, "does not begin with `SKEN`".into());
    }
    let length = u32_at(header, 8) as usize;
    if body.len() != length {
        let reason = format!("body has {} bytes, the header says {length}", body.len());
        return refuse(8, reason);
    }
    let stored = u32_at(header, CRC_AT);
    let computed = crc_of(bytes);
    if stored != computed {
        let reason = format!("crc32c is {computed:08x}, the header says {stored:08x}");
        return refuse(CRC_AT, reason);
    }
    let Some(kind) = Kind::from_number(header[4]) else {
        let reason = format!("kind {} is unknown: a newer version wrote it", header[4]);
        return refuse(4, reason);
    };
    let version = u16::from_le_bytes([header[6], header[7]]);
    match stored_version::check(version, kind.version()) {
        Ok(()) => Ok(kind),
        Err(reason) => refuse(6, reason),
    }
}

fn write_id_in(bytes: &[u8]) -> WriteId {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[WRITE_ID_AT..HEADER_BYTES]);
    WriteId(Uuid::from_bytes(id))
}

/// CRC32C of everything but the CRC's own four bytes.
fn crc_of(envelope: &[u8]) -> u32 {
    checksum::crc32c_of_parts(&[&envelope[..CRC_AT], &envelope[WRITE_ID_AT..]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Sample {
        #[prost(bytes = "vec", tag = "1")]
        content: Vec<u8>,
    }

    fn sealed(content: Vec<u8>) -> (WriteId, Bytes) {
        let id = WriteId::random();
        (id, seal(Kind::Genesis, id, &Sample { content }))
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_again(content: Vec<u8>) {
            let (id, bytes) = sealed(content.clone());
            let (read_id, sample) = open::<Sample>(Kind::Genesis, &bytes).unwrap();
            prop_assert_eq!(read_id, id);
            prop_assert_eq!(sample.content, content);
        }

        #[test]
        fn bytes_that_are_no_envelope_are_refused(bytes: Vec<u8>) {
            prop_assert!(kind_of(&bytes).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let (_, bytes) = sealed(b"twelve bytes".to_vec());
        for cut in 0..bytes.len() {
            assert!(kind_of(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(kind_of(&damaged).is_err(), "bit {bit}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(kind_of(&longer).is_err());
    }

    #[test]
    fn another_kind_is_refused_by_name() {
        let (_, bytes) = sealed(Vec::new());
        let error = open::<Sample>(Kind::LedgerEntry, &bytes).unwrap_err();
        assert!(error.to_string().contains("holds a genesis"), "{error}");
    }

    fn with_version(version: u16) -> Vec<u8> {
        let (_, bytes) = sealed(Vec::new());
        let mut other = bytes.to_vec();
        other[6..8].copy_from_slice(&version.to_le_bytes());
        let crc = crc_of(&other);
        other[CRC_AT..WRITE_ID_AT].copy_from_slice(&crc.to_le_bytes());
        other
    }

    #[test]
    fn a_version_that_no_release_or_a_later_one_wrote_is_refused_by_number() {
        assert_eq!(kind_of(&with_version(1)).unwrap(), Kind::Genesis);
        for (version, says) in [
            (0, "version 0 was written before the first release"),
            (9, "version 9 is newer"),
            (u16::MAX, "version 65535 is newer"),
        ] {
            let error = kind_of(&with_version(version)).unwrap_err();
            assert!(error.is_unread_version(), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_field_that_this_build_does_not_know_is_in_nobodys_way() {
        #[derive(Clone, PartialEq, Message)]
        struct Later {
            #[prost(bytes = "vec", tag = "1")]
            content: Vec<u8>,
            #[prost(string, tag = "2")]
            added: String,
        }
        let (content, id) = (b"known".to_vec(), WriteId::random());
        let later = Later {
            content: content.clone(),
            added: "by a later build".into(),
        };
        let bytes = seal(Kind::Genesis, id, &later);
        let read = open::<Sample>(Kind::Genesis, &bytes).unwrap();
        assert_eq!(read, (id, Sample { content }));
    }
}
