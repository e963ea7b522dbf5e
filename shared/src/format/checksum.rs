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
///
/// As zlib does it: the first is multiplied by `x^(8 * second_bytes)`, with powers of x from a table. The crate's
/// own squares a matrix each time, which took a quarter of a simulation's time.
pub fn combine(first: u32, second: u32, second_bytes: u64) -> u32 {
    let mut shifted = first;
    // Bit k of the length stands for 2^(k + 3) bits.
    let mut power = 3;
    let mut rest = second_bytes;
    while rest > 0 {
        if rest & 1 == 1 {
            shifted = product(POWERS[power], shifted);
        }
        rest >>= 1;
        power += 1;
    }
    shifted ^ second
}

/// The Castagnoli polynomial, its lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// `x^(2^k)` modulo the polynomial.
const POWERS: [u32; 67] = {
    let mut powers = [1 << 30; 67];
    let mut k = 1;
    while k < 67 {
        powers[k] = product(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

/// Product of two polynomials modulo the polynomial.
const fn product(a: u32, b: u32) -> u32 {
    let (mut product, mut shifted, mut bit) = (0, b, 1 << 31);
    while bit > 0 {
        if a & bit != 0 {
            product ^= shifted;
        }
        let carry = if shifted & 1 == 1 { POLYNOMIAL } else { 0 };
        shifted = (shifted >> 1) ^ carry;
        bit >>= 1;
    }
    product
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

    #[test]
    fn halves_of_any_length_combine_as_the_crate_combines_them() {
        for bit in 0..63 {
            for length in [1_u64 << bit, (1 << bit) + 12_345, (1 << bit) - 1] {
                let (first, second) = (0x1234_5678, 0x9abc_def0);
                let expected = crc_fast::checksum_combine(
                    CrcAlgorithm::Crc32Iscsi,
                    u64::from(first),
                    u64::from(second),
                    length,
                );
                assert_eq!(
                    u64::from(combine(first, second, length)),
                    expected,
                    "{length}"
                );
            }
        }
    }
}
