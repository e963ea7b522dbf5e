//! The first bytes of a state object.

use bytes::Bytes;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::block::SyncMarker;
use crate::format::checksum;
use crate::format::stored_version;
use crate::ids::{FlushId, OrgId, ShardId, WorkerId, WriteId};

/// Length of a head.
pub const HEAD_BYTES: usize = 88;

const FORMAT: &str = "state object head";
const MAGIC: [u8; 4] = *b"SKST";
const VERSION: u16 = stored_version::FIRST;
const CRC_AT: usize = HEAD_BYTES - 4;

/// Whose object it is, and the marker at which its blocks are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// At the beginning of each of its blocks.
    pub marker: SyncMarker,
    /// Which attempt wrote it.
    pub write_id: WriteId,
    /// Whose records.
    pub shard: ShardId,
    /// With which objects it is sealed.
    pub flush: FlushId,
    /// Its number within the flush.
    pub number: u32,
}

impl Head {
    /// The head's bytes.
    pub fn encode(&self) -> Bytes {
        let (tag, a, b) = match self.shard {
            ShardId::Shared { modulus, remainder } => (0, u64::from(modulus), remainder),
            ShardId::Dedicated(org) => (1, org.0, 0),
            ShardId::Quarantine => (2, 0, 0),
        };
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[tag, 0]);
        bytes.extend_from_slice(&self.marker.0);
        bytes.extend_from_slice(self.write_id.0.as_bytes());
        bytes.extend_from_slice(self.flush.worker.0.as_bytes());
        bytes.extend_from_slice(&self.flush.counter.to_le_bytes());
        bytes.extend_from_slice(&a.to_le_bytes());
        bytes.extend_from_slice(&b.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let crc = checksum::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(bytes.len(), HEAD_BYTES);
        bytes.into()
    }

    /// Reads the head at the beginning of `bytes`.
    ///
    /// # Errors
    /// `Corrupt` when no intact head of a version that this build reads is there.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let refuse = |at: usize, reason: String| Err(Error::decode(FORMAT, at as u64, reason));
        let Some(bytes) = bytes.get(..HEAD_BYTES) else {
            return refuse(bytes.len(), "ends inside the head".into());
        };
        if bytes[..4] != MAGIC {
            return refuse(0, "does not begin with `SKST`".into());
        }
        let (stored, computed) = (u32_at(bytes, CRC_AT), checksum::crc32c(&bytes[..CRC_AT]));
        if stored != computed {
            let reason = format!("crc32c is {computed:08x}, the head says {stored:08x}");
            return refuse(CRC_AT, reason);
        }
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        if let Err(reason) = stored_version::check(version, VERSION) {
            return refuse(4, reason);
        }
        let (a, b) = (u64_at(bytes, 64), u32_at(bytes, 72));
        let shard = match bytes[6] {
            0 => u32::try_from(a)
                .ok()
                .filter(|modulus| b < *modulus)
                .map(|modulus| {
                    let remainder = b;
                    ShardId::Shared { modulus, remainder }
                }),
            1 => Some(ShardId::Dedicated(OrgId(a))),
            2 => Some(ShardId::Quarantine),
            _ => None,
        };
        let Some(shard) = shard else {
            return refuse(6, "names no shard".into());
        };
        Ok(Self {
            marker: SyncMarker(bytes_at(bytes, 8)),
            write_id: WriteId(Uuid::from_bytes(bytes_at(bytes, 24))),
            shard,
            flush: FlushId {
                worker: WorkerId(Uuid::from_bytes(bytes_at(bytes, 40))),
                counter: u64_at(bytes, 56),
            },
            number: u32_at(bytes, 76),
        })
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut word = [0; N];
    word.copy_from_slice(&bytes[at..at + N]);
    word
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(shard: ShardId) -> Head {
        Head {
            marker: SyncMarker::random(),
            write_id: WriteId::random(),
            shard,
            flush: FlushId {
                worker: WorkerId::random(),
                counter: 9,
            },
            number: 3,
        }
    }

    fn check(shard: ShardId) {
        let head = head(shard);
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes).unwrap(), head);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Head::decode(&damaged).is_err(), "bit {bit}");
        }
        assert!(Head::decode(&bytes[..HEAD_BYTES - 1]).is_err());
    }

    #[test]
    fn a_head_reads_back_and_every_flipped_bit_is_seen() {
        check(ShardId::Shared {
            modulus: 64,
            remainder: 63,
        });
        check(ShardId::Dedicated(OrgId(u64::MAX)));
        check(ShardId::Quarantine);
    }

    #[test]
    fn a_version_that_no_release_or_a_later_one_wrote_is_refused_by_number() {
        for (version, says) in [
            (0, "version 0 was written before"),
            (2, "version 2 is newer"),
        ] {
            let mut other = head(ShardId::Quarantine).encode().to_vec();
            other[4] = version;
            let crc = checksum::crc32c(&other[..CRC_AT]);
            other[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
            let error = Head::decode(&other).unwrap_err();
            assert!(error.is_unread_version(), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
