//! Integers in as many bits as their range needs, 128 at a time: for blocks so short that pco's tables would outweigh
//! what they save, and for whoever has no time for pco.
//!
//! `delta | first, if delta | pieces`; a piece is `width | least | bits`. All arithmetic wraps, so that any integers
//! have an encoding.

use crate::format::varint;

/// Numbers that share a width and a least.
const PIECE: usize = 128;

const PLAIN: u8 = 0;
const DELTA: u8 = 1;

/// Appends `numbers`, as they are or as differences of neighbours: whichever is smaller.
///
/// # Panics
/// If there are none.
pub fn pack(numbers: &[i64], out: &mut Vec<u8>) {
    let first = numbers[0];
    let steps = || numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let with_delta = varint::len_i64(first) + size(steps(), numbers.len() - 1);
    if with_delta < size(numbers.iter().copied(), numbers.len()) {
        out.push(DELTA);
        varint::put_i64(out, first);
        put_pieces(steps(), numbers.len() - 1, out);
    } else {
        out.push(PLAIN);
        put_pieces(numbers.iter().copied(), numbers.len(), out);
    }
}

/// Unpacks exactly as many numbers as `out` has places, at least one.
///
/// # Errors
/// What is wrong with the bytes.
pub fn unpack(mut bytes: &[u8], out: &mut [i64]) -> Result<(), String> {
    let rest = &mut bytes;
    match varint::take_bytes(rest, 1) {
        Some([PLAIN]) => take_pieces(rest, out)?,
        Some([DELTA]) => {
            let (Some(first), Some((place, steps))) =
                (varint::take_i64(rest), out.split_first_mut())
            else {
                return Err("bits: no first number".into());
            };
            take_pieces(rest, steps)?;
            *place = first;
            let mut number = first;
            for step in steps {
                number = number.wrapping_add(*step);
                *step = number;
            }
        }
        _ => return Err("bits: neither numbers nor differences".into()),
    }
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(format!("bits: {} bytes left over", bytes.len()))
    }
}

/// The least of some numbers, and how many bits the distance from it takes.
#[derive(Debug, Clone, Copy)]
struct Range {
    least: i64,
    width: u32,
}

impl Range {
    fn of(numbers: impl Iterator<Item = i64>) -> Self {
        let (least, greatest) = numbers.fold((i64::MAX, i64::MIN), |(least, greatest), number| {
            (least.min(number), greatest.max(number))
        });
        let distance = greatest.wrapping_sub(least).cast_unsigned();
        Self {
            least,
            width: u64::BITS - distance.leading_zeros(),
        }
    }
}

const fn bytes_of(width: u32, count: usize) -> usize {
    (width as usize * count).div_ceil(8)
}

/// Bytes of the pieces of `count` numbers.
fn size(numbers: impl Iterator<Item = i64> + Clone, count: usize) -> usize {
    piece_lengths(count)
        .scan(numbers, |numbers, length| {
            let range = Range::of(numbers.by_ref().take(length));
            Some(1 + varint::len_i64(range.least) + bytes_of(range.width, length))
        })
        .sum()
}

fn put_pieces(mut numbers: impl Iterator<Item = i64> + Clone, count: usize, out: &mut Vec<u8>) {
    for length in piece_lengths(count) {
        let range = Range::of(numbers.clone().take(length));
        out.push(u8::try_from(range.width).unwrap_or(u8::MAX));
        varint::put_i64(out, range.least);
        put_bits(numbers.by_ref().take(length), range, out);
    }
}

fn piece_lengths(count: usize) -> impl Iterator<Item = usize> {
    (0..count)
        .step_by(PIECE)
        .map(move |start| PIECE.min(count - start))
}

/// The lowest bits first, the last byte filled with zeros.
fn put_bits(numbers: impl Iterator<Item = i64>, Range { least, width }: Range, out: &mut Vec<u8>) {
    let (mut word, mut filled) = (0_u64, 0);
    for number in numbers {
        let distance = number.wrapping_sub(least).cast_unsigned();
        word |= distance.wrapping_shl(filled);
        filled += width;
        if filled >= u64::BITS {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= u64::BITS;
            // What did not fit; nothing if all did, where the shift would be by all bits or more.
            word = distance.checked_shr(width - filled).unwrap_or(0);
        }
    }
    let rest = word.to_le_bytes();
    out.extend_from_slice(&rest[..(filled as usize).div_ceil(8)]);
}

fn take_pieces(bytes: &mut &[u8], out: &mut [i64]) -> Result<(), String> {
    for piece in out.chunks_mut(PIECE) {
        let (Some([width]), Some(least)) = (varint::take_bytes(bytes, 1), varint::take_i64(bytes))
        else {
            return Err("bits: a piece has no head".into());
        };
        let width = u32::from(*width);
        if width > u64::BITS {
            return Err(format!("bits: a width of {width}"));
        }
        let length = bytes_of(width, piece.len()) as u64;
        let Some(bits) = varint::take_bytes(bytes, length) else {
            return Err("bits: a piece ends too early".into());
        };
        take_bits(bits, Range { least, width }, piece);
    }
    Ok(())
}

fn take_bits(bits: &[u8], Range { least, width }: Range, out: &mut [i64]) {
    let mask = u64::MAX.checked_shr(u64::BITS - width).unwrap_or(0);
    let mut words = bits.chunks(8).map(|bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    });
    let (mut word, mut left) = (0_u64, 0);
    for place in out {
        let mut distance = word;
        if left < width {
            let next = words.next().unwrap_or(0);
            distance |= next.wrapping_shl(left);
            word = next.checked_shr(width - left).unwrap_or(0);
            left += u64::BITS - width;
        } else {
            word = word.checked_shr(width).unwrap_or(0);
            left -= width;
        }
        *place = least.wrapping_add((distance & mask).cast_signed());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(numbers: &[i64]) -> usize {
        let mut bytes = Vec::new();
        pack(numbers, &mut bytes);
        let mut back = vec![7; numbers.len()];
        unpack(&bytes, &mut back).unwrap();
        assert_eq!(back, numbers);
        for cut in 0..bytes.len() {
            assert!(unpack(&bytes[..cut], &mut back).is_err(), "cut at {cut}");
        }
        bytes.push(0);
        assert!(unpack(&bytes, &mut back).is_err(), "a byte too many");
        bytes.len() - 1
    }

    #[test]
    fn small_ranges_take_few_bytes() {
        assert_eq!(check(&[30; 100]), 3);
        assert_eq!(check(&[5]), 2);
        let climbing: Vec<i64> = (0..100).map(|i| 1000 + 7 * i).collect();
        assert_eq!(check(&climbing), 5);
        let bits: Vec<i64> = (0..100).map(|i| i * i % 2).collect();
        assert_eq!(check(&bits), 3 + 13);
    }

    #[test]
    fn every_width_reads_back_and_the_widest_too() {
        for width in 0..=64_u32 {
            let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
            let mut rng = fastrand::Rng::with_seed(u64::from(width));
            for count in [1, 2, 63, 64, 127, 128, 129, 300] {
                let number = |_| (rng.u64(..) & mask).cast_signed();
                check(&(0..count).map(number).collect::<Vec<_>>());
            }
        }
        check(&[i64::MIN, i64::MAX, i64::MIN, 0, -1, i64::MAX]);
    }

    proptest! {
        #[test]
        fn all_integers_read_back(
            any in prop::collection::vec(any::<i64>(), 1..300),
            near in prop::collection::vec(-40_i64..40, 1..300),
        ) {
            check(&any);
            check(&near);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>, count in 1_usize..400) {
            let _ = unpack(&bytes, &mut vec![0; count]);
        }
    }
}
