//! What stands behind an object's bytes in its file: the same facts that S3 keeps as metadata.
//!
//! In the file itself, so that bytes and facts appear and go together, in one step of the file system.

use uuid::Uuid;

use crate::format::checksum::crc32c;
use crate::ids::WriteId;

/// Its length.
pub(super) const TRAILER_BYTES: usize = 44;

const MAGIC: [u8; 8] = *b"SKEINOBJ";
const VERSION: u32 = 1;

/// The facts about one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) write_id: WriteId,
    pub(super) object_bytes: u64,
    /// Of the object's bytes.
    pub(super) crc32c: u32,
}

impl Trailer {
    /// The bytes, as `docs/formats.md` has them.
    pub(super) fn write(self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc32c.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.object_bytes.to_le_bytes());
        bytes[24..40].copy_from_slice(self.write_id.0.as_bytes());
        let checksum = crc32c(&bytes[..40]);
        bytes[40..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the end of a file that holds an object of `object_bytes`; `None` when it is damaged.
    pub(super) fn read(bytes: &[u8; TRAILER_BYTES], object_bytes: u64) -> Option<Self> {
        let whole = u32_at(bytes, 40) == crc32c(&bytes[..40]);
        if !whole || bytes[..8] != MAGIC || u32_at(bytes, 8) != VERSION {
            return None;
        }
        let length = u64::from(u32_at(bytes, 16)) | u64::from(u32_at(bytes, 20)) << 32;
        (length == object_bytes).then(|| Self {
            write_id: WriteId(Uuid::from_slice(&bytes[24..40]).expect("16 bytes are an id")),
            object_bytes,
            crc32c: u32_at(bytes, 12),
        })
    }
}

fn u32_at(bytes: &[u8; TRAILER_BYTES], at: usize) -> u32 {
    let four = bytes[at..at + 4].try_into();
    u32::from_le_bytes(four.expect("four bytes are four bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_trailer_reads_back_and_no_flipped_bit_does(
            id: u128, object_bytes: u64, crc32c: u32, flipped in 0..TRAILER_BYTES * 8,
        ) {
            let trailer = Trailer {
                write_id: WriteId(Uuid::from_u128(id)),
                object_bytes,
                crc32c,
            };
            let mut bytes = trailer.write();
            prop_assert_eq!(Trailer::read(&bytes, object_bytes), Some(trailer));
            prop_assert_eq!(Trailer::read(&bytes, object_bytes ^ 1), None);
            bytes[flipped / 8] ^= 1 << (flipped % 8);
            prop_assert_eq!(Trailer::read(&bytes, object_bytes), None);
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let trailer = Trailer {
            write_id: WriteId(Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10)),
            object_bytes: 5,
            crc32c: 0xAABB_CCDD,
        };
        let bytes = trailer.write();
        assert_eq!(&bytes[..12], b"SKEINOBJ\x01\0\0\0");
        assert_eq!(
            bytes[12..24],
            [0xDD, 0xCC, 0xBB, 0xAA, 5, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[24], 1);
        assert_eq!(bytes[39], 16);
    }
}
