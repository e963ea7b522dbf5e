//! Values as integers divided by a power of ten.

use super::{LARGEST_INTEGER, POWERS_OF_TEN, ROUNDER};

/// The narrowest integers that hold all of a block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Width {
    Of16,
    Of32,
    Of64,
}

/// The integers that give `values` when they are divided by `10^exponent`, in place of what `out` held; a value that has
/// none.
///
/// Without a branch for each value, so that the compiler makes vector instructions of it.
pub(super) fn put_integers(values: &[f64], exponent: usize, out: &mut Vec<i64>) -> Result<(), f64> {
    const PIECE: usize = 64;
    let power = POWERS_OF_TEN[exponent];
    out.clear();
    out.resize(values.len(), 0);
    for (values, integers) in values.chunks(PIECE).zip(out.chunks_mut(PIECE)) {
        let mut are_decimals = true;
        for (value, integer) in values.iter().zip(integers) {
            let (is_decimal, rounded) = exact_integer(*value, power);
            are_decimals &= is_decimal;
            *integer = rounded;
        }
        if !are_decimals {
            let other = values.iter().find(|value| !exact_integer(**value, power).0);
            return Err(*other.expect("one of them is no decimal"));
        }
    }
    Ok(())
}

/// Whether `value` is exactly an integer divided by `power`, and which; without meaning when it is not.
fn exact_integer(value: f64, power: f64) -> (bool, i64) {
    let scaled = value * power;
    let shifted = scaled + ROUNDER;
    let rounded = shifted - ROUNDER;
    // The first is false for NaN too. Minus zero comes back as zero, so the second is false for it.
    let is_decimal =
        (scaled.abs() < LARGEST_INTEGER) & ((rounded / power).to_bits() == value.to_bits());
    // In the range of the rounder the last 52 bits of a float are the integer.
    let integer = shifted.to_bits().wrapping_sub(ROUNDER.to_bits());
    (is_decimal, integer.cast_signed())
}

impl Width {
    pub(super) fn of(least: i64, greatest: i64) -> Self {
        fn is_within<T: TryFrom<i64>>(least: i64, greatest: i64) -> bool {
            T::try_from(least).is_ok() && T::try_from(greatest).is_ok()
        }
        if is_within::<i16>(least, greatest) {
            Self::Of16
        } else if is_within::<i32>(least, greatest) {
            Self::Of32
        } else {
            Self::Of64
        }
    }
}

pub(super) fn narrow<T: TryFrom<i64> + Default>(integers: &[i64], out: &mut Vec<T>) {
    out.clear();
    // The caller has compared the least and the greatest.
    out.extend(integers.iter().map(|n| T::try_from(*n).unwrap_or_default()));
}
