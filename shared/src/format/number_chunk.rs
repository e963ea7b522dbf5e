//! The two compressors that columns choose from: pco for numbers and zstd for bytes.
//!
//! Everything that pco could detect by itself is told to it: its own detection costs more time than the
//! encoding and iterates hash maps, and the bytes must be a pure function of the numbers (SK-10).

use std::fmt;

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use crate::format::habit::Contest;
use crate::format::profile::{PackLevel, Profile};

/// pco's header for the one version of its format that a segment holds; not stored.
const PCO_HEADER: [u8; 2] = [4, 1];

const ZSTD_LEVEL: i32 = 3;

/// Which numbers pco packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta {
    /// The numbers.
    None,
    /// Differences of neighbours.
    First,
}

/// Appends `numbers`, packed.
///
/// # Panics
/// If there are none.
pub fn pack<T: Number>(numbers: &[T], delta: Delta, level: PackLevel, out: &mut Vec<u8>) {
    let delta = match delta {
        Delta::None => DeltaSpec::NoOp,
        Delta::First => DeltaSpec::TryConsecutive(1),
    };
    let config = ChunkConfig::default()
        .with_compression_level(level.0)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(delta);
    let mut chunk = FileCompressor::default()
        .chunk_compressor(numbers, &config)
        .expect("a block has between 1 and 8,192 numbers, which pco takes");
    out.reserve(chunk.meta_size_hint() + chunk.page_size_hint(0));
    chunk
        .write_meta(&mut *out)
        .expect("a Vec grows as far as it has to");
    chunk
        .write_page(0, out)
        .expect("a Vec grows as far as it has to");
}

/// Appends `numbers`, packed with each of `deltas` at each of the profile's levels: the smallest, and which delta that
/// is. The first of those that are equal.
///
/// # Panics
/// If there are no numbers or no deltas.
pub fn pack_smallest<T: Number>(
    numbers: &[T],
    deltas: &[Delta],
    profile: Profile,
    out: &mut Vec<u8>,
) -> u8 {
    let levels = profile.pack_levels();
    let mut candidates = (0_u8..)
        .zip(deltas)
        .flat_map(|(number, delta)| levels.iter().map(move |level| (number, *delta, *level)));
    let (_, delta, level) = candidates.next().expect("there is a candidate");
    let start = out.len();
    pack(numbers, delta, level, out);
    let mut contest = Contest::with_first(out, start);
    for (number, delta, level) in candidates {
        pack(numbers, delta, level, out);
        contest.next(number, out);
    }
    contest.winner()
}

/// Unpacks exactly as many numbers as `out` has places.
///
/// # Errors
/// What is wrong with the bytes.
pub fn unpack<T: Number>(bytes: &[u8], out: &mut [T]) -> Result<(), String> {
    let refusal = |error: pco::errors::PcoError| format!("pco: {error}");
    let (file, _) = FileDecompressor::new(PCO_HEADER.as_slice()).map_err(refusal)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(bytes).map_err(refusal)?;
    let mut page = chunk.page_decompressor(rest, out.len()).map_err(refusal)?;
    let progress = page.read(out).map_err(refusal)?;
    let rest = page.into_src();
    if progress.n_processed != out.len() || !rest.is_empty() {
        return Err(format!(
            "pco: {} of {} numbers, {} bytes left over",
            progress.n_processed,
            out.len(),
            rest.len()
        ));
    }
    Ok(())
}

/// Packs bytes with zstd; keeps its tables from one call to the next.
pub struct Squeezer(zstd::bulk::Compressor<'static>);

impl Default for Squeezer {
    fn default() -> Self {
        Self(
            zstd::bulk::Compressor::new(ZSTD_LEVEL)
                .expect("zstd gets memory, and the level is one"),
        )
    }
}

impl fmt::Debug for Squeezer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Squeezer").finish_non_exhaustive()
    }
}

impl Squeezer {
    /// Appends `bytes`, packed. What was packed before does not show.
    ///
    /// # Panics
    /// If zstd gets no memory.
    pub fn squeeze(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + zstd::zstd_safe::compress_bound(bytes.len()), 0);
        let written = self.0.compress_to_buffer(bytes, &mut out[start..]);
        let written = written.expect("zstd compresses any bytes in memory");
        out.truncate(start + written);
    }
}

/// Packs bytes once.
///
/// # Panics
/// If zstd gets no memory.
pub fn squeeze(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Squeezer::default().squeeze(bytes, &mut out);
    out
}

/// Unpacks bytes that were `raw_bytes` long.
///
/// # Errors
/// What is wrong with the bytes.
pub fn unsqueeze(bytes: &[u8], raw_bytes: usize) -> Result<Vec<u8>, String> {
    let raw = zstd::bulk::decompress(bytes, raw_bytes).map_err(|error| format!("zstd: {error}"))?;
    if raw.len() == raw_bytes {
        Ok(raw)
    } else {
        Err(format!("zstd: {} bytes, not {raw_bytes}", raw.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed<T: Number>(numbers: &[T], delta: Delta) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(numbers, delta, PackLevel(6), &mut bytes);
        bytes
    }

    #[test]
    fn what_a_squeezer_packed_before_does_not_show() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut used = Squeezer::default();
        for _ in 0..200 {
            let length = rng.usize(..70_000);
            let alphabet = rng.u8(1..);
            let bytes: Vec<u8> = (0..length).map(|_| rng.u8(..alphabet)).collect();
            let mut out = vec![1, 2];
            used.squeeze(&bytes, &mut out);
            assert_eq!(out[..2], [1, 2]);
            assert_eq!(out[2..], squeeze(&bytes));
        }
    }

    #[test]
    fn the_header_that_is_not_stored_is_the_one_pco_writes() {
        let mut header = Vec::new();
        FileCompressor::default().write_header(&mut header).unwrap();
        assert_eq!(header, PCO_HEADER);
    }

    proptest! {
        #[test]
        fn numbers_and_bytes_read_back(
            numbers in proptest::collection::vec(any::<i64>(), 1..600),
            floats in proptest::collection::vec(any::<u64>().prop_map(f64::from_bits), 1..600),
            bytes: Vec<u8>,
        ) {
            for delta in [Delta::None, Delta::First] {
                let mut back = vec![0; numbers.len()];
                unpack(&packed(&numbers, delta), &mut back).unwrap();
                prop_assert_eq!(&back, &numbers);
                let mut back = vec![0.0; floats.len()];
                unpack(&packed(&floats, delta), &mut back).unwrap();
                let bits = |floats: &[f64]| floats.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&back), bits(&floats));
            }
            prop_assert_eq!(unsqueeze(&squeeze(&bytes), bytes.len()).unwrap(), bytes);
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(bytes: Vec<u8>, count in 1_usize..600) {
            let _ = unpack(&bytes, &mut vec![0_i64; count]);
            let _ = unpack(&bytes, &mut vec![0.0_f64; count]);
            let _ = unsqueeze(&bytes, count);
        }

        #[test]
        fn damaged_packs_do_not_panic(
            numbers in proptest::collection::vec(-5000_i64..5000, 1..600),
            at: prop::sample::Index,
            flip in 1_u8..,
        ) {
            let mut bytes = packed(&numbers, Delta::First);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let _ = unpack(&bytes, &mut vec![0_i64; numbers.len()]);
            let _ = unpack(&bytes[..at], &mut vec![0_i64; numbers.len()]);
        }
    }
}
