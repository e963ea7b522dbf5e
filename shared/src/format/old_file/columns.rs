//! The two columns of a file of the old pipeline.
//!
//! Timestamps without the first: the change of each step as a zigzag varint, all of them through zstd. Values: each one's
//! bits, exclusive-or those of the one before; of all of them the lowest bytes, then the next, up to the highest, through zstd.

use crate::format::wire::Reading;
use crate::format::{number_chunk, varint};

const VALUE_BYTES: usize = 8;

/// The most bytes that the timestamps of so many points take before zstd.
pub(super) const fn largest_times_raw_bytes(points: usize) -> usize {
    points * varint::MAX_VARINT_BYTES
}

/// Encodes timestamps without the first; answers the bytes and their length before zstd.
///
/// # Panics
/// If they do not ascend strictly.
pub(super) fn encode_timestamps(timestamps_ms: &[i64]) -> (Vec<u8>, usize) {
    let mut raw = Vec::with_capacity(timestamps_ms.len());
    let mut step_before = 0_u64;
    for pair in timestamps_ms.windows(2) {
        assert!(pair[0] < pair[1], "the points of a file ascend strictly");
        let step = pair[1].wrapping_sub(pair[0]).cast_unsigned();
        varint::put_i64(&mut raw, step.wrapping_sub(step_before).cast_signed());
        step_before = step;
    }
    (number_chunk::squeeze(&raw), raw.len())
}

/// Appends the `points` timestamps that `bytes` encode, of which `first_ms` is the first.
pub(super) fn decode_timestamps(
    bytes: &[u8],
    (points, raw_bytes, first_ms): (usize, usize, i64),
    timestamps_ms: &mut Vec<i64>,
) -> Reading<()> {
    let raw = number_chunk::unsqueeze(bytes, raw_bytes)?;
    let mut rest = raw.as_slice();
    let (mut time, mut step) = (first_ms, 0_u64);
    timestamps_ms.reserve(points);
    timestamps_ms.push(time);
    for _ in 1..points {
        let change = varint::take_i64(&mut rest).ok_or("timestamps end too early")?;
        step = step.wrapping_add(change.cast_unsigned());
        let next = time.checked_add_unsigned(step).filter(|next| *next > time);
        time = next.ok_or("timestamps do not ascend")?;
        timestamps_ms.push(time);
    }
    if rest.is_empty() {
        return Ok(());
    }
    Err("timestamps go on after the last".to_owned())
}

/// Encodes values, bit for bit.
pub(super) fn encode_values(values: &[f64]) -> Vec<u8> {
    let count = values.len();
    let mut raw = vec![0; count * VALUE_BYTES];
    let mut before = 0;
    for (place, value) in values.iter().enumerate() {
        let bits = value.to_bits();
        for (byte, plane) in (bits ^ before).to_le_bytes().into_iter().zip(0..) {
            raw[plane * count + place] = byte;
        }
        before = bits;
    }
    number_chunk::squeeze(&raw)
}

/// Reads [`encode_values`] back.
pub(super) fn decode_values(bytes: &[u8], count: usize) -> Reading<Vec<f64>> {
    let raw = number_chunk::unsqueeze(bytes, count * VALUE_BYTES)?;
    let mut before = 0;
    let value = |place: usize| {
        let bytes: [u8; VALUE_BYTES] = std::array::from_fn(|plane| raw[plane * count + place]);
        before ^= u64::from_le_bytes(bytes);
        f64::from_bits(before)
    };
    Ok((0..count).map(value).collect())
}
