//! Integers in 1 to 10 bytes: LEB128, and zigzag for signed ones.

/// Most bytes that one varint takes.
pub const MAX_VARINT_BYTES: usize = 10;

/// Appends `value`.
#[inline]
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Appends `value`, small for small magnitudes.
#[inline]
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, zigzag(value));
}

/// How many bytes [`put_u64`] appends.
#[inline]
pub const fn len_u64(value: u64) -> usize {
    // 64 - leading zeros = significant bits; zero still takes one byte.
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// How many bytes [`put_i64`] appends.
#[inline]
pub const fn len_i64(value: i64) -> usize {
    len_u64(zigzag(value))
}

/// Takes a value off the front of `bytes`; `None` when they end inside it or it passes 64 bits.
#[inline]
pub fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    // Most are lengths below 128.
    if let [first @ 0..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    take_long(bytes)
}

fn take_long(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        let group = u64::from(byte & 0x7f);
        if index == MAX_VARINT_BYTES - 1 && group > 1 {
            return None;
        }
        value |= group << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

/// Takes a signed value off the front of `bytes`; `None` as [`take_u64`].
#[inline]
pub fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    take_u64(bytes).map(unzigzag)
}

/// Takes `count` bytes off the front of `bytes`; `None` when there are fewer.
#[inline]
pub fn take_bytes<'a>(bytes: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(count).ok()?)?;
    *bytes = rest;
    Some(taken)
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

const fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_reads_back(unsigned: u64, signed: i64, shift in 0_u32..64) {
            let (unsigned, signed) = (unsigned >> shift, signed >> shift);
            let mut bytes = Vec::new();
            put_u64(&mut bytes, unsigned);
            prop_assert_eq!(bytes.len(), len_u64(unsigned));
            put_i64(&mut bytes, signed);
            prop_assert_eq!(bytes.len(), len_u64(unsigned) + len_i64(signed));
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take_u64(&mut rest), Some(unsigned));
            prop_assert_eq!(take_i64(&mut rest), Some(signed));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_cut_number_is_refused(value: u64) {
            let mut bytes = Vec::new();
            put_u64(&mut bytes, value);
            for cut in 0..bytes.len() {
                prop_assert_eq!(take_u64(&mut &bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn a_number_beyond_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(take_u64(&mut bytes.as_slice()), None);
        assert_eq!(take_u64(&mut [0xff; 11].as_slice()), None);
    }
}
