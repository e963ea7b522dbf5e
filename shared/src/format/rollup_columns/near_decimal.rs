//! Numbers that would be decimals if additions did not round: sums and increases of decimals.
//!
//! Each is a decimal of as few places as the points have, and a few units in the last place more or less:
//! `tag | varint length | the decimals as a value column | pco of the units as i16`.

use super::refuse;
use crate::error::Result;
use crate::format::number_chunk::{self, Delta};
use crate::format::profile::Profile;
use crate::format::value_column::{self, POWERS_OF_TEN, ValueEncoder, ValueHabits};
use crate::format::varint;

/// First byte of such a column; no value column begins so.
pub(super) const TAG: u8 = 128;

/// Most units in the last place that a number may be away.
const MOST_UNITS: i64 = 2047;

/// Encodes the numbers of one run's blocks.
#[derive(Debug, Default)]
pub(super) struct NearDecimals {
    habits: ValueHabits,
    decimals: Vec<f64>,
    units: Vec<i16>,
    bytes: Vec<u8>,
}

impl NearDecimals {
    /// Forgets what won in the run before.
    pub(super) fn begin_run(&mut self) {
        self.habits = ValueHabits::default();
    }

    /// Appends the encoding of `numbers` by decimals of `places`, or nothing: when some are not near one, and when all
    /// are ones.
    pub(super) fn encode(
        &mut self,
        numbers: &[f64],
        places: u8,
        values: &mut ValueEncoder,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.take(numbers, places) {
            return false;
        }
        self.bytes.clear();
        values.encode_apart(&mut self.habits, &self.decimals, &mut self.bytes);
        out.push(TAG);
        varint::put_u64(out, self.bytes.len() as u64);
        out.extend_from_slice(&self.bytes);
        number_chunk::pack_smallest(&self.units, &[Delta::None], Profile::Fast, out);
        true
    }

    fn take(&mut self, numbers: &[f64], places: u8) -> bool {
        let power = POWERS_OF_TEN[usize::from(places)];
        self.decimals.clear();
        self.units.clear();
        for number in numbers {
            let decimal = (number * power).round() / power;
            let units = number.to_bits().wrapping_sub(decimal.to_bits());
            let units = units.cast_signed();
            if !(-MOST_UNITS..=MOST_UNITS).contains(&units) {
                return false;
            }
            self.decimals.push(decimal);
            self.units.push(i16::try_from(units).unwrap_or_default());
        }
        self.units.iter().any(|units| *units != 0)
    }
}

/// Appends the `count` numbers that `bytes`, without the tag, encode.
pub(super) fn decode(mut bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<()> {
    let length = varint::take_u64(&mut bytes);
    let Some(decimals) = length.and_then(|length| varint::take_bytes(&mut bytes, length)) else {
        return refuse("decimals end too early");
    };
    let start = out.len();
    value_column::decode(decimals, count, out)?;
    let mut units = vec![0_i16; count];
    number_chunk::unpack(bytes, &mut units).or_else(|reason| refuse(&reason))?;
    for (number, units) in out[start..].iter_mut().zip(units) {
        let units = i64::from(units).cast_unsigned();
        *number = f64::from_bits(number.to_bits().wrapping_add(units));
    }
    Ok(())
}
