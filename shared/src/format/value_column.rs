//! Values of a block: any `f64` bit patterns.
//!
//! One byte names the encoding, and the smallest of these wins:
//! - constant: the bits of the one value;
//! - decimal: every value is an integer divided by one power of ten, bit for bit; the integers through
//!   pco, with or without delta, as narrow as they fit;
//! - packed: the floats through pco, with or without delta;
//! - zstd of the raw bytes, where values come back often;
//! - raw: 8 little-endian bytes each.

use pco::data_types::Number;

use crate::error::{Error, Result};
use crate::format::number_chunk::{self, Delta};

const FORMAT: &str = "value column";

const RAW: u8 = 0;
const CONSTANT: u8 = 1;
const DECIMAL_16: u8 = 2;
const DECIMAL_32: u8 = 3;
const DECIMAL_64: u8 = 4;
const PACKED: u8 = 5;
const ZSTD: u8 = 6;

const POWERS_OF_TEN: [f64; 13] = [
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
    /// Integers divided by a power of ten.
    Decimal,
    /// Floats through pco.
    Packed,
    /// Raw bytes through zstd.
    Zstd,
}

impl ValueEncoding {
    /// The name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "values raw",
            Self::Constant => "values constant",
            Self::Decimal => "values decimal",
            Self::Packed => "values packed",
            Self::Zstd => "values zstd",
        }
    }
}

/// Appends the encoding of `values`, of which there is at least one.
pub fn encode(values: &[f64], out: &mut Vec<u8>) -> ValueEncoding {
    let first = values[0].to_bits();
    if values.iter().all(|value| value.to_bits() == first) {
        out.push(CONSTANT);
        out.extend_from_slice(&first.to_le_bytes());
        return ValueEncoding::Constant;
    }
    let (mut encoding, mut best) = match decimal(values) {
        Some(bytes) => (ValueEncoding::Decimal, bytes),
        None => (ValueEncoding::Packed, tagged(&[PACKED], &smaller(values))),
    };
    if values_come_back(values) {
        let zstd = tagged(&[ZSTD], &number_chunk::squeeze(&raw_bytes(values)));
        if zstd.len() < best.len() {
            (encoding, best) = (ValueEncoding::Zstd, zstd);
        }
    }
    if best.len() > values.len() * 8 {
        out.push(RAW);
        out.extend_from_slice(&raw_bytes(values));
        return ValueEncoding::Raw;
    }
    out.extend_from_slice(&best);
    encoding
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
        DECIMAL_16 => take_decimal::<i16>(body, count, out),
        DECIMAL_32 => take_decimal::<i32>(body, count, out),
        DECIMAL_64 => take_decimal::<i64>(body, count, out),
        PACKED => {
            let start = out.len();
            out.resize(start + count, 0.0);
            number_chunk::unpack(body, &mut out[start..]).or_else(refuse)
        }
        ZSTD => {
            let raw = number_chunk::unsqueeze(body, count * 8).or_else(refuse)?;
            take_raw(&raw, count, out)
        }
        unknown => refuse(format!("encoding {unknown} is unknown")),
    }
}

/// The integers that integer columns hold.
trait Integer: Number + Default + Copy {
    fn to_i64(self) -> i64;
    fn from_i64(value: i64) -> Option<Self>;
}

macro_rules! integers {
    ($($name:ident),*) => {$(
        impl Integer for $name {
            fn to_i64(self) -> i64 {
                self.into()
            }

            fn from_i64(value: i64) -> Option<Self> {
                value.try_into().ok()
            }
        }
    )*};
}
integers!(i16, i32, i64);

/// The decimal encoding with its tag; `None` when a value is no decimal.
fn decimal(values: &[f64]) -> Option<Vec<u8>> {
    let (exponent, integers) = decimals_of(values)?;
    let (tag, bytes) = if let Some(narrow) = narrowed::<i16>(&integers) {
        (DECIMAL_16, smaller(&narrow))
    } else if let Some(narrow) = narrowed::<i32>(&integers) {
        (DECIMAL_32, smaller(&narrow))
    } else {
        (DECIMAL_64, smaller(&integers))
    };
    Some(tagged(&[tag, exponent], &bytes))
}

/// The smallest exponent `k` such that every value is exactly an integer divided by `10^k`, and the
/// integers.
fn decimals_of(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut exponent = 0;
    for value in values {
        while exact_integer(*value, exponent).is_none() {
            exponent += 1;
            if exponent == POWERS_OF_TEN.len() {
                return None;
            }
        }
    }
    // A larger power may round a value that a smaller one held, so all are tried again.
    let integers: Option<Vec<i64>> = values.iter().map(|v| exact_integer(*v, exponent)).collect();
    Some((u8::try_from(exponent).ok()?, integers?))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the float is an integer below 2^51"
)]
fn exact_integer(value: f64, exponent: usize) -> Option<i64> {
    let scaled = value * POWERS_OF_TEN[exponent];
    // False for NaN too.
    let in_range = scaled.abs() < LARGEST_INTEGER;
    if !in_range {
        return None;
    }
    let integer = ((scaled + ROUNDER) - ROUNDER) as i64;
    (from_decimal(integer, exponent).to_bits() == value.to_bits()).then_some(integer)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the writer has compared the result bit by bit"
)]
fn from_decimal(integer: i64, exponent: usize) -> f64 {
    integer as f64 / POWERS_OF_TEN[exponent]
}

fn narrowed<T: Integer>(integers: &[i64]) -> Option<Vec<T>> {
    integers.iter().map(|n| T::from_i64(*n)).collect()
}

/// Packs with and without delta and gives the smaller; without, where both take as much.
fn smaller<T: Number>(numbers: &[T]) -> Vec<u8> {
    let plain = number_chunk::pack(numbers, Delta::None);
    let delta = number_chunk::pack(numbers, Delta::First);
    if delta.len() < plain.len() {
        delta
    } else {
        plain
    }
}

/// Whether a quarter of the values equal one that was seen lately: only then zstd is worth its time.
fn values_come_back(values: &[f64]) -> bool {
    const SLOTS: usize = 1024;
    let mut seen = [0_u64; SLOTS];
    let mut again = 0;
    for value in values {
        let bits = value.to_bits();
        let slot = (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % SLOTS;
        again += usize::from(seen[slot] == bits);
        seen[slot] = bits;
    }
    again * 4 > values.len()
}

fn tagged(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(head.len() + body.len());
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(body);
    bytes
}

fn raw_bytes(values: &[f64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_bits().to_le_bytes())
        .collect()
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

fn take_decimal<T: Integer>(body: &[u8], count: usize, out: &mut Vec<f64>) -> Result<()> {
    let Some((exponent, packed)) = body.split_first() else {
        return refuse("decimal has no exponent");
    };
    let exponent = usize::from(*exponent);
    if exponent >= POWERS_OF_TEN.len() {
        return refuse(format!("exponent {exponent} is too large"));
    }
    let mut integers = vec![T::default(); count];
    number_chunk::unpack(packed, &mut integers).or_else(refuse)?;
    out.extend(integers.iter().map(|n| from_decimal(n.to_i64(), exponent)));
    Ok(())
}

fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::decode(FORMAT, 0, reason))
}

#[cfg(test)]
mod tests;
