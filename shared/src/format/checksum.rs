//! CRC32C, the one checksum of every byte in the bucket.

use crc_fast::{CrcAlgorithm, Digest};

/// CRC32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC32C of the concatenation of `parts`.
pub fn crc32c_of_parts(parts: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    narrow(digest.finalize())
}

/// CRC32C of a concatenation, from the CRCs of its two halves and the length of the second.
pub fn combine(first: u32, second: u32, second_bytes: u64) -> u32 {
    narrow(crc_fast::checksum_combine(
        CrcAlgorithm::Crc32Iscsi,
        u64::from(first),
        u64::from(second),
        second_bytes,
    ))
}

fn narrow(crc: u64) -> u32 {
    u32::try_from(crc).expect("a 32-bit CRC fits 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_castagnoli_crc() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn the_crc_of_a_whole_follows_from_its_halves() {
        let whole = b"the crc of a whole follows from its halves";
        for cut in 0..=whole.len() {
            let (first, second) = whole.split_at(cut);
            let combined = combine(crc32c(first), crc32c(second), second.len() as u64);
            assert_eq!(combined, crc32c(whole));
            assert_eq!(crc32c_of_parts(&[first, second]), crc32c(whole));
        }
    }
}
