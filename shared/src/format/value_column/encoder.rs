//! Chooses how the values of a block are encoded.

use pco::data_types::Number;

use super::decimals::{Width, narrow, put_integers};
use super::{
    CONSTANT, CONSTANT_DECIMAL, DECIMAL_16, DECIMAL_32, DECIMAL_64, DECIMAL_BITS, DICTIONARY,
    MAX_DICTIONARY, PACKED, PACKED_BITS, POWERS_OF_TEN, RAW, ValueEncoding, ZSTD, place_of,
};
use crate::format::bit_pack;
use crate::format::habit::{Contest, Habit};
use crate::format::number_chunk::{self, Delta, Squeezer};
use crate::format::profile::{NumberWay, Profile};
use crate::format::varint;

/// Encodes the values of one run's blocks; memory is kept from one block to the next.
#[derive(Debug, Default)]
pub struct ValueEncoder {
    profile: Profile,
    integers: Vec<i64>,
    narrow_32: Vec<i32>,
    narrow_16: Vec<i16>,
    levels: Vec<u64>,
    indexes: Vec<u16>,
    bytes: Vec<u8>,
    squeezer: Squeezer,
    habits: ValueHabits,
}

/// What won lately, among blocks that are alike.
#[derive(Debug, Default)]
pub struct ValueHabits {
    /// Way of the numbers: by width, exponent, and whether neighbours are close.
    decimal: [[[Habit; 2]; POWERS_OF_TEN.len()]; 3],
    packed: Habit,
    dictionary: Habit,
    /// Numbers, zstd or dictionary: by how many values come back, in quarters.
    repeating: [Habit; 5],
}

/// Ways to encode a block whose values come back.
const NUMBERS_WAY: u8 = 0;
const ZSTD_WAY: u8 = 1;
const DICTIONARY_WAY: u8 = 2;

/// The integers of a block of decimals, in the encoder's memory.
#[derive(Debug, Clone, Copy)]
struct Decimals {
    exponent: u8,
    width: Width,
    neighbours_are_close: bool,
}

impl ValueHabits {
    fn of(&mut self, numbers: Option<Decimals>) -> &mut Habit {
        match numbers {
            None => &mut self.packed,
            Some(decimals) => {
                let of_width = &mut self.decimal[decimals.width as usize];
                let of_exponent = &mut of_width[usize::from(decimals.exponent)];
                &mut of_exponent[usize::from(decimals.neighbours_are_close)]
            }
        }
    }
}

fn encoding_of(way: NumberWay, numbers: Option<Decimals>) -> ValueEncoding {
    match (way, numbers.is_some()) {
        (NumberWay::Bits, true) => ValueEncoding::DecimalBits,
        (NumberWay::Bits, false) => ValueEncoding::PackedBits,
        (NumberWay::Packed | NumberWay::Differences, true) => ValueEncoding::Decimal,
        (NumberWay::Packed | NumberWay::Differences, false) => ValueEncoding::Packed,
    }
}

impl ValueEncoder {
    /// An encoder at the begin of a run.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            ..Self::default()
        }
    }

    /// Forgets what won in the run before.
    pub fn begin_run(&mut self) {
        self.habits = ValueHabits::default();
    }

    /// Appends the encoding of `values`, of which there is at least one.
    pub fn encode(&mut self, values: &[f64], out: &mut Vec<u8>) -> ValueEncoding {
        let first = values[0].to_bits();
        if values.iter().all(|value| value.to_bits() == first) {
            self.constant(values[0], out);
            return ValueEncoding::Constant;
        }
        if !self.profile.has_habits() {
            self.begin_run();
        }
        let start = out.len();
        let encoding = self.varying(values, out);
        if out.len() - start > values.len() * 8 {
            out.truncate(start);
            out.push(RAW);
            put_raw(values, out);
            return ValueEncoding::Raw;
        }
        encoding
    }

    fn varying(&mut self, values: &[f64], out: &mut Vec<u8>) -> ValueEncoding {
        if self.profile.decimals_are_numbers()
            && let Some(decimals) = self.take_decimals(values)
        {
            return self.put_smallest(Some(decimals), values, out);
        }
        match quarters_that_come_back(values) {
            0 => self.numbers(values, out),
            quarters => self.repeating(values, quarters, out),
        }
    }

    pub(in crate::format) fn profile(&self) -> Profile {
        self.profile
    }

    /// The least number of places with which all of `values`, of which there is at least one, are decimals.
    pub(in crate::format) fn decimal_places(&mut self, values: &[f64]) -> Option<u8> {
        Some(self.take_decimals(values)?.exponent)
    }

    /// As [`ValueEncoder::encode`], with other habits than the encoder's own: blocks of another column.
    pub fn encode_apart(
        &mut self,
        habits: &mut ValueHabits,
        values: &[f64],
        out: &mut Vec<u8>,
    ) -> ValueEncoding {
        std::mem::swap(&mut self.habits, habits);
        let encoding = self.encode(values, out);
        std::mem::swap(&mut self.habits, habits);
        encoding
    }

    fn repeating(&mut self, values: &[f64], quarters: usize, out: &mut Vec<u8>) -> ValueEncoding {
        if let Some(way) = self.habits.repeating[quarters].known() {
            return self.go(way, values, out);
        }
        let start = out.len();
        let mut encodings = [self.go(NUMBERS_WAY, values, out); 3];
        let mut contest = Contest::with_first(out, start);
        for way in [ZSTD_WAY, DICTIONARY_WAY] {
            encodings[usize::from(way)] = self.go(way, values, out);
            contest.next(way, out);
        }
        self.habits.repeating[quarters].won(contest.winner());
        encodings[usize::from(contest.winner())]
    }

    fn go(&mut self, way: u8, values: &[f64], out: &mut Vec<u8>) -> ValueEncoding {
        match way {
            ZSTD_WAY => {
                self.bytes.clear();
                put_raw(values, &mut self.bytes);
                out.push(ZSTD);
                self.squeezer.squeeze(&self.bytes, out);
                ValueEncoding::Zstd
            }
            DICTIONARY_WAY if self.take_levels(values) => self.dictionary(values, out),
            _ => self.numbers(values, out),
        }
    }

    fn constant(&mut self, value: f64, out: &mut Vec<u8>) {
        if let Some(Decimals { exponent, .. }) = self.take_decimals(&[value])
            && varint::len_i64(self.integers[0]) < 7
        {
            out.extend_from_slice(&[CONSTANT_DECIMAL, exponent]);
            varint::put_i64(out, self.integers[0]);
        } else {
            out.push(CONSTANT);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }

    fn numbers(&mut self, values: &[f64], out: &mut Vec<u8>) -> ValueEncoding {
        let numbers = self.take_decimals(values);
        self.put_smallest(numbers, values, out)
    }

    /// Appends the numbers in the way that takes least, or did among like blocks.
    fn put_smallest(
        &mut self,
        numbers: Option<Decimals>,
        values: &[f64],
        out: &mut Vec<u8>,
    ) -> ValueEncoding {
        let ways = self.profile.number_ways(values.len());
        let known = if ways.len() == 1 {
            Some(ways[0])
        } else {
            let known = self.habits.of(numbers).known();
            known.and_then(|number| ways.iter().find(|way| **way as u8 == number).copied())
        };
        if let Some(way) = known {
            self.put_numbers(way, numbers, values, out);
            return encoding_of(way, numbers);
        }
        let start = out.len();
        self.put_numbers(ways[0], numbers, values, out);
        let mut contest = Contest::with_first(out, start);
        for (number, way) in (1..).zip(&ways[1..]) {
            self.put_numbers(*way, numbers, values, out);
            contest.next(number, out);
        }
        let winner = ways[usize::from(contest.winner())];
        self.habits.of(numbers).won(winner as u8);
        encoding_of(winner, numbers)
    }

    /// Appends the numbers, which are `values` or the integers that were taken for them.
    fn put_numbers(
        &mut self,
        way: NumberWay,
        numbers: Option<Decimals>,
        values: &[f64],
        out: &mut Vec<u8>,
    ) {
        let delta = match way {
            NumberWay::Bits => return self.put_bits(numbers, values, out),
            NumberWay::Packed => [Delta::None],
            NumberWay::Differences => [Delta::First],
        };
        let profile = self.profile;
        let Some(Decimals {
            exponent, width, ..
        }) = numbers
        else {
            out.push(PACKED);
            number_chunk::pack_smallest(values, &delta, profile, out);
            return;
        };
        match width {
            Width::Of16 => {
                out.extend_from_slice(&[DECIMAL_16, exponent]);
                narrow(&self.integers, &mut self.narrow_16);
                number_chunk::pack_smallest(&self.narrow_16, &delta, profile, out);
            }
            Width::Of32 => {
                out.extend_from_slice(&[DECIMAL_32, exponent]);
                narrow(&self.integers, &mut self.narrow_32);
                number_chunk::pack_smallest(&self.narrow_32, &delta, profile, out);
            }
            Width::Of64 => {
                out.extend_from_slice(&[DECIMAL_64, exponent]);
                number_chunk::pack_smallest(&self.integers, &delta, profile, out);
            }
        }
    }

    fn put_bits(&mut self, numbers: Option<Decimals>, values: &[f64], out: &mut Vec<u8>) {
        if let Some(Decimals { exponent, .. }) = numbers {
            out.extend_from_slice(&[DECIMAL_BITS, exponent]);
        } else {
            out.push(PACKED_BITS);
            self.integers.clear();
            self.integers.extend(values.iter().copied().map(place_of));
        }
        bit_pack::pack(&self.integers, out);
    }

    /// The smallest exponent `k` such that every value is exactly an integer divided by `10^k`; the integers are
    /// then in `self.integers`.
    fn take_decimals(&mut self, values: &[f64]) -> Option<Decimals> {
        let mut exponent = 0;
        // A larger power may round a value that a smaller one held, so it begins with the first value again.
        while let Err(value) = put_integers(values, exponent, &mut self.integers) {
            let mut larger = exponent + 1..POWERS_OF_TEN.len();
            exponent = larger.find(|k| put_integers(&[value], *k, &mut self.integers).is_ok())?;
        }
        let (mut least, mut greatest, mut moves) = (i64::MAX, i64::MIN, 0_u64);
        let mut previous = self.integers[0];
        for &integer in &self.integers {
            least = least.min(integer);
            greatest = greatest.max(integer);
            moves = moves.saturating_add(integer.abs_diff(previous));
            previous = integer;
        }
        let mean_move = moves / values.len() as u64;
        Some(Decimals {
            exponent: u8::try_from(exponent).ok()?,
            width: Width::of(least, greatest),
            neighbours_are_close: mean_move.saturating_mul(3) < greatest.abs_diff(least),
        })
    }

    /// Sorts the different bit patterns of `values` into `self.levels`; false when there are too many.
    fn take_levels(&mut self, values: &[f64]) -> bool {
        self.levels.clear();
        self.levels
            .extend(values.iter().map(|value| value.to_bits()));
        self.levels.sort_unstable();
        self.levels.dedup();
        self.levels.len() <= MAX_DICTIONARY.min(values.len() / 2)
    }

    fn dictionary(&mut self, values: &[f64], out: &mut Vec<u8>) -> ValueEncoding {
        let profile = self.profile;
        self.bytes.clear();
        number_chunk::pack_smallest(&self.levels, &[Delta::First], profile, &mut self.bytes);
        let levels = &self.levels;
        self.indexes.clear();
        self.indexes.extend(values.iter().map(|value| {
            let place = levels.binary_search(&value.to_bits());
            let place = place.expect("the levels are those of the values");
            u16::try_from(place).expect("a dictionary has at most 4,096 levels")
        }));
        out.push(DICTIONARY);
        varint::put_u64(out, levels.len() as u64);
        varint::put_u64(out, self.bytes.len() as u64);
        out.extend_from_slice(&self.bytes);
        pack_smaller(&mut self.habits.dictionary, &self.indexes, profile, out);
        ValueEncoding::Dictionary
    }
}

/// Appends the numbers, packed with or without delta: whichever is smaller, or was among like blocks.
fn pack_smaller<T: Number>(habit: &mut Habit, numbers: &[T], profile: Profile, out: &mut Vec<u8>) {
    let deltas = [Delta::None, Delta::First];
    if let Some(known) = habit.known() {
        let known = &deltas[usize::from(known)..][..1];
        number_chunk::pack_smallest(numbers, known, profile, out);
    } else {
        habit.won(number_chunk::pack_smallest(numbers, &deltas, profile, out));
    }
}

/// How many of the values equal one that was seen lately, in quarters; not asked of so few that nothing could be saved.
fn quarters_that_come_back(values: &[f64]) -> usize {
    const SLOTS: usize = 1024;
    if values.len() <= 32 {
        return 0;
    }
    let mut seen = [0_u64; SLOTS];
    let mut again = 0;
    for value in values {
        let bits = value.to_bits();
        let slot = (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % SLOTS;
        again += usize::from(seen[slot] == bits);
        seen[slot] = bits;
    }
    again * 4 / values.len()
}

fn put_raw(values: &[f64], out: &mut Vec<u8>) {
    out.extend(
        values
            .iter()
            .flat_map(|value| value.to_bits().to_le_bytes()),
    );
}
