//! Values of a block: any `f64` bit patterns.
//!
//! One byte names the encoding, and the smallest of these wins, or the one that won among like blocks of the run:
//! - constant: the bits of the one value, or its decimal where that is shorter;
//! - decimal: every value is an integer divided by one power of ten, bit for bit; the integers through
//!   pco, with or without delta, as narrow as they fit, or as [bits](crate::format::bit_pack);
//! - packed: the floats through pco, with or without delta, or their bit patterns in the order of floats as bits;
//! - zstd of the raw bytes, where values come back often;
//! - dictionary, there too: the different bit patterns, ascending, and an index for each value, both through pco;
//! - raw: 8 little-endian bytes each.

mod decimals;
mod encoder;

use crate::error::{Error, Result};
use crate::format::{bit_pack, number_chunk, varint};

pub use self::encoder::{ValueEncoder, ValueHabits};

const FORMAT: &str = "value column";

const RAW: u8 = 0;
const CONSTANT: u8 = 1;
const DECIMAL_16: u8 = 2;
const DECIMAL_32: u8 = 3;
const DECIMAL_64: u8 = 4;
const PACKED: u8 = 5;
const ZSTD: u8 = 6;
const DICTIONARY: u8 = 7;
const DECIMAL_BITS: u8 = 8;
const PACKED_BITS: u8 = 9;
const CONSTANT_DECIMAL: u8 = 10;

/// Most different values of a dictionary.
const MAX_DICTIONARY: usize = 4096;

/// What decimals are divided by.
pub(super) const POWERS_OF_TEN: [f64; 13] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
];

/// Adding and subtracting it rounds any float below 2^51 to the nearest integer.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const LARGEST_INTEGER: f64 = 2_251_799_813_685_248.0;

/// How a block's values are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueEncoding {
    /// As they are.
    Raw,
    /// One value for all.
    Constant,
    /// Integers divided by a power of ten, through pco.
    Decimal,
    /// Integers divided by a power of ten, as bits.
    DecimalBits,
    /// Floats through pco.
    Packed,
    /// Floats as bits.
    PackedBits,
    /// Raw bytes through zstd.
    Zstd,
    /// The different values, and which of them each value is.
    Dictionary,
}

impl ValueEncoding {
    /// That of a column; `None` when this build does not know it.
    pub fn of(column: &[u8]) -> Option<Self> {
        match *column.first()? {
            RAW => Some(Self::Raw),
            CONSTANT | CONSTANT_DECIMAL => Some(Self::Constant),
            DECIMAL_16 | DECIMAL_32 | DECIMAL_64 => Some(Self::Decimal),
            DECIMAL_BITS => Some(Self::DecimalBits),
            PACKED => Some(Self::Packed),
            PACKED_BITS => Some(Self::PackedBits),
            ZSTD => Some(Self::Zstd),
            DICTIONARY => Some(Self::Dictionary),
            _ => None,
        }
    }

    /// The name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "values raw",
            Self::Constant => "values constant",
            Self::Decimal => "values decimal",
            Self::DecimalBits => "values decimal bits",
            Self::Packed => "values packed",
            Self::PackedBits => "values packed bits",
            Self::Zstd => "values zstd",
            Self::Dictionary => "values dictionary",
        }
    }
}

/// Appends the `count` values that `bytes` encode.
///
/// # Errors
/// Corrupt when the bytes are no such column; what was appended is then without meaning.
pub fn decode(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<()> {
    debug_assert!(count > 0, "there are no empty blocks");
    let Some((tag, body)) = bytes.split_first() else {
        return refuse("is empty");
    };
    match *tag {
        RAW => take_raw(body, count, out),
        CONSTANT => {
            let Ok(bits) = <[u8; 8]>::try_from(body) else {
                return refuse("constant does not have 8 bytes");
            };
            let value = f64::from_bits(u64::from_le_bytes(bits));
            out.resize(out.len() + count, value);
            Ok(())
        }
        CONSTANT_DECIMAL => {
            let (exponent, mut integer) = take_exponent(body)?;
            match varint::take_i64(&mut integer) {
                Some(n) if integer.is_empty() => {
                    out.resize(out.len() + count, from_decimal(n, exponent));
                    Ok(())
                }
                Some(_) | None => refuse("constant is not one varint"),
            }
        }
        DECIMAL_16 => take_decimal(body, count, number_chunk::unpack::<i16>, out),
        DECIMAL_32 => take_decimal(body, count, number_chunk::unpack::<i32>, out),
        DECIMAL_64 => take_decimal(body, count, number_chunk::unpack::<i64>, out),
        DECIMAL_BITS => take_decimal(body, count, bit_pack::unpack, out),
        PACKED => {
            let start = out.len();
            out.resize(start + count, 0.0);
            number_chunk::unpack(body, &mut out[start..]).or_else(refuse)
        }
        PACKED_BITS => {
            let mut places = vec![0; count];
            bit_pack::unpack(body, &mut places).or_else(refuse)?;
            out.extend(places.iter().map(|place| float_at(*place)));
            Ok(())
        }
        ZSTD => {
            let raw = number_chunk::unsqueeze(body, count * 8).or_else(refuse)?;
            take_raw(&raw, count, out)
        }
        DICTIONARY => take_dictionary(body, count, out),
        unknown => refuse(format!("encoding {unknown} is unknown")),
    }
}

/// The place of a float in the order of all floats, with -0.0 before 0.0 and NaNs at both ends: floats that are near
/// each other have places that are. [`float_at`] is the inverse.
fn place_of(float: f64) -> i64 {
    let bits = float.to_bits().cast_signed();
    // Of a negative float all bits but the sign turn around.
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

fn float_at(place: i64) -> f64 {
    let bits = place ^ ((place >> 63).cast_unsigned() >> 1).cast_signed();
    f64::from_bits(bits.cast_unsigned())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the writer has compared the result bit by bit"
)]
fn from_decimal(integer: i64, exponent: usize) -> f64 {
    integer as f64 / POWERS_OF_TEN[exponent]
}

fn take_raw(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<()> {
    let (values, rest) = bytes.as_chunks::<8>();
    if values.len() != count || !rest.is_empty() {
        return refuse(format!("{} raw bytes for {count} values", bytes.len()));
    }
    out.extend(
        values
            .iter()
            .map(|bits| f64::from_bits(u64::from_le_bytes(*bits))),
    );
    Ok(())
}

fn take_exponent(body: &[u8]) -> Result<(usize, &[u8])> {
    let Some((exponent, rest)) = body.split_first() else {
        return refuse("decimal has no exponent");
    };
    let exponent = usize::from(*exponent);
    if exponent < POWERS_OF_TEN.len() {
        Ok((exponent, rest))
    } else {
        refuse(format!("exponent {exponent} is too large"))
    }
}

fn take_decimal<T: Into<i64> + Default + Copy>(
    body: &[u8],
    count: usize,
    unpack: impl Fn(&[u8], &mut [T]) -> std::result::Result<(), String>,
    out: &mut Vec<f64>,
) -> Result<()> {
    let (exponent, packed) = take_exponent(body)?;
    let mut integers = vec![T::default(); count];
    unpack(packed, &mut integers).or_else(refuse)?;
    let decimal = |integer: &T| from_decimal((*integer).into(), exponent);
    out.extend(integers.iter().map(decimal));
    Ok(())
}

fn take_dictionary(mut body: &[u8], count: usize, out: &mut Vec<f64>) -> Result<()> {
    let level_count = varint::take_u64(&mut body).and_then(|n| usize::try_from(n).ok());
    let Some(level_count) = level_count.filter(|n| (1..=MAX_DICTIONARY).contains(n)) else {
        return refuse("number of levels is not plausible");
    };
    let Some(bytes) = varint::take_u64(&mut body).and_then(|n| varint::take_bytes(&mut body, n))
    else {
        return refuse("levels end too early");
    };
    let mut levels = vec![0_u64; level_count];
    number_chunk::unpack(bytes, &mut levels).or_else(refuse)?;
    let mut indexes = vec![0_u16; count];
    number_chunk::unpack(body, &mut indexes).or_else(refuse)?;
    for index in indexes {
        let Some(level) = levels.get(usize::from(index)) else {
            return refuse(format!("index {index} is beyond {level_count} levels"));
        };
        out.push(f64::from_bits(*level));
    }
    Ok(())
}

fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::decode(FORMAT, 0, reason))
}

#[cfg(test)]
mod tests;
