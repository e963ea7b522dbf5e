//! CRC32C as S3 writes it in headers: base64 of its four bytes, the highest first.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes a header's value.
pub(super) fn write(crc32c: u32) -> String {
    // 32 bits are five sextets and two bits: shifted left by four, six sextets.
    let bits = u64::from(crc32c) << 4;
    let sextets = (0..6).rev().map(|n| (bits >> (6 * n)) & 63);
    let digits = sextets.map(|sextet| {
        let index = usize::try_from(sextet).expect("six bits fit any usize");
        char::from(ALPHABET[index])
    });
    digits.chain("==".chars()).collect()
}

/// Reads a header's value; `None` for a checksum of another kind, such as one over the parts'
/// checksums (`…-3`).
pub(super) fn read(value: &str) -> Option<u32> {
    let digits = value.strip_suffix("==")?.as_bytes();
    if digits.len() != 6 {
        return None;
    }
    let mut bits = 0_u64;
    for digit in digits {
        let sextet = ALPHABET.iter().position(|letter| letter == digit)?;
        bits = bits << 6 | u64::try_from(sextet).ok()?;
    }
    if bits & 15 != 0 {
        return None;
    }
    u32::try_from(bits >> 4).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_written_checksum_reads_back(crc32c: u32) {
            prop_assert_eq!(read(&write(crc32c)), Some(crc32c));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,12}") {
            if let Some(crc32c) = read(&text) {
                prop_assert_eq!(write(crc32c), text);
            }
        }
    }

    #[test]
    fn it_is_base64_of_the_big_endian_bytes() {
        assert_eq!(write(0xE306_9283), "4waSgw==");
        assert_eq!(read("4waSgw==-3"), None);
    }
}
