//! Numbers that would be decimals if additions did not round: sums and increases of decimals.
//!
//! Each is a decimal of as few places as the points have, and a few units in the last place more or less:
//! `tag | varint length | the decimals as a value column | 0 and pco of the units as i16, or 1 and bits of them`.

use super::refuse;
use crate::error::Result;
use crate::format::bit_pack;
use crate::format::habit::{Contest, Habit};
use crate::format::number_chunk::{self, Delta};
use crate::format::profile::{NumberWay, Profile};
use crate::format::value_column::{self, POWERS_OF_TEN, ValueEncoder, ValueHabits};
use crate::format::varint;

/// First byte of such a column; no value column begins so.
pub(super) const TAG: u8 = 128;

const PACKED: u8 = 0;
const BITS: u8 = 1;

/// Most units in the last place that a number may be away.
const MOST_UNITS: i64 = 2047;

/// Encodes the numbers of one run's blocks.
#[derive(Debug, Default)]
pub(super) struct NearDecimals {
    habits: ValueHabits,
    units_habit: Habit,
    decimals: Vec<f64>,
    units: Vec<i64>,
    narrow_units: Vec<i16>,
    bytes: Vec<u8>,
}

impl NearDecimals {
    /// Forgets what won in the run before.
    pub(super) fn begin_run(&mut self) {
        self.habits = ValueHabits::default();
        self.units_habit = Habit::default();
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
        self.put_units(values.profile(), out);
        true
    }

    fn put_units(&mut self, profile: Profile, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(BITS);
        bit_pack::pack(&self.units, out);
        if profile.number_ways(self.units.len()) == [NumberWay::Bits]
            || profile.has_habits() && self.units_habit.known() == Some(BITS)
        {
            return;
        }
        let mut contest = Contest::with_first(out, start);
        self.narrow_units.clear();
        let narrow = |units: &i64| i16::try_from(*units).unwrap_or_default();
        self.narrow_units.extend(self.units.iter().map(narrow));
        out.push(PACKED);
        number_chunk::pack_smallest(&self.narrow_units, &[Delta::None], Profile::Fast, out);
        contest.next(PACKED, out);
        self.units_habit.won(out[start]);
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
            self.units.push(units);
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
    let units = take_units(bytes, count).or_else(|reason| refuse(&reason))?;
    for (number, units) in out[start..].iter_mut().zip(units) {
        *number = f64::from_bits(number.to_bits().wrapping_add(units.cast_unsigned()));
    }
    Ok(())
}

fn take_units(bytes: &[u8], count: usize) -> std::result::Result<Vec<i64>, String> {
    match bytes.split_first() {
        Some((&PACKED, packed)) => {
            let mut units = vec![0_i16; count];
            number_chunk::unpack(packed, &mut units)?;
            Ok(units.into_iter().map(i64::from).collect())
        }
        Some((&BITS, bits)) => {
            let mut units = vec![0; count];
            bit_pack::unpack(bits, &mut units)?;
            Ok(units)
        }
        Some(_) | None => Err("no units".to_owned()),
    }
}
