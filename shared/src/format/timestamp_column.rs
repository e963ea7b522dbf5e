//! Timestamps of a block: strictly ascending milliseconds, the first of which is known from elsewhere.
//!
//! One byte names the encoding. A constant step goes before all others, then timestamps that an earlier block of the run has;
//! then the smallest wins, or the one that won among like blocks of the run:
//! - constant step: the step as a varint; nothing at all for a single timestamp;
//! - shared: how many blocks before this one the block stands that has the same timestamps, as a varint;
//! - steps: differences of the steps as varints, through zstd;
//! - packed: the steps through pco;
//! - bits: the steps as [bits](crate::format::bit_pack).

mod run_times;

use crate::error::{Error, Result};
use crate::format::bit_pack;
use crate::format::habit::{Contest, Habit};
use crate::format::number_chunk::{self, Delta, Squeezer};
use crate::format::profile::{NumberWay, Profile};
use crate::format::varint;

use self::run_times::RunTimes;

const FORMAT: &str = "timestamp column";

const CONSTANT_STEP: u8 = 1;
const VARINT_STEPS: u8 = 2;
const PACKED_STEPS: u8 = 3;
const STEP_BITS: u8 = 4;
const SHARED: u8 = 5;

/// How a block's timestamps are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimestampEncoding {
    /// One step for all.
    ConstantStep,
    /// Differences of steps as varints, through zstd.
    VarintSteps,
    /// Steps through pco.
    PackedSteps,
    /// Steps as bits.
    StepBits,
    /// Those of an earlier block of the run.
    Shared,
}

impl TimestampEncoding {
    /// That of a column; `None` when this build does not know it.
    pub fn of(column: &[u8]) -> Option<Self> {
        match *column.first()? {
            CONSTANT_STEP => Some(Self::ConstantStep),
            VARINT_STEPS => Some(Self::VarintSteps),
            PACKED_STEPS => Some(Self::PackedSteps),
            STEP_BITS => Some(Self::StepBits),
            SHARED => Some(Self::Shared),
            _ => None,
        }
    }

    /// The name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConstantStep => "timestamps constant step",
            Self::VarintSteps => "timestamps varint steps",
            Self::PackedSteps => "timestamps packed steps",
            Self::StepBits => "timestamps step bits",
            Self::Shared => "timestamps shared",
        }
    }
}

/// Encodes the timestamps of one run's blocks.
#[derive(Debug, Default)]
pub struct TimestampEncoder {
    profile: Profile,
    steps: Vec<u64>,
    integers: Vec<i64>,
    changes: Vec<u8>,
    squeezer: Squeezer,
    habits: [Habit; STEADINESS],
    run_times: RunTimes,
}

/// Blocks whose steps stay the same about as often are encoded alike.
const STEADINESS: usize = 5;

impl TimestampEncoder {
    /// An encoder at the begin of a run.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            ..Self::default()
        }
    }

    /// Forgets what won in the run before, and what timestamps it had.
    pub fn begin_run(&mut self) {
        self.habits = [Habit::default(); STEADINESS];
        self.run_times.begin_run();
    }

    /// Appends the encoding of the next block's `timestamps` (not empty, strictly ascending) without the first.
    ///
    /// # Panics
    /// If they do not ascend strictly.
    pub fn encode(&mut self, timestamps_ms: &[i64], out: &mut Vec<u8>) -> TimestampEncoding {
        self.steps.clear();
        self.steps.extend(timestamps_ms.windows(2).map(|pair| {
            assert!(pair[0] < pair[1], "timestamps of a block ascend strictly");
            pair[1].wrapping_sub(pair[0]).cast_unsigned()
        }));
        let first_step = self.steps.first().copied().unwrap_or(0);
        if self.steps.iter().all(|step| *step == first_step) {
            out.push(CONSTANT_STEP);
            if !self.steps.is_empty() {
                varint::put_u64(out, first_step);
            }
            self.run_times.pass();
            return TimestampEncoding::ConstantStep;
        }
        if let Some(distance) = self.run_times.find(timestamps_ms) {
            out.push(SHARED);
            varint::put_u64(out, distance.into());
            return TimestampEncoding::Shared;
        }
        if !self.profile.has_habits() {
            self.habits = [Habit::default(); STEADINESS];
        }
        let ways: &[u8] = match self.profile.number_ways(self.steps.len()) {
            [NumberWay::Bits] => &[VARINT_STEPS, STEP_BITS],
            _ => &[VARINT_STEPS, PACKED_STEPS],
        };
        let steadiness = steadiness(&self.steps);
        let known = self.habits[steadiness].known();
        if let Some(known) = known.filter(|known| ways.contains(known)) {
            return self.put(known, out);
        }
        let start = out.len();
        let mut encodings = [self.put(ways[0], out); 2];
        let mut contest = Contest::with_first(out, start);
        encodings[1] = self.put(ways[1], out);
        contest.next(1, out);
        let winner = usize::from(contest.winner());
        self.habits[steadiness].won(ways[winner]);
        encodings[winner]
    }

    fn put(&mut self, way: u8, out: &mut Vec<u8>) -> TimestampEncoding {
        match way {
            STEP_BITS => self.bits(out),
            PACKED_STEPS => self.packed(out),
            _ => self.varints(out),
        }
    }

    fn bits(&mut self, out: &mut Vec<u8>) -> TimestampEncoding {
        self.integers.clear();
        let steps = self.steps.iter();
        self.integers.extend(steps.map(|step| step.cast_signed()));
        out.push(STEP_BITS);
        bit_pack::pack(&self.integers, out);
        TimestampEncoding::StepBits
    }

    fn varints(&mut self, out: &mut Vec<u8>) -> TimestampEncoding {
        self.changes.clear();
        put_step_changes(&self.steps, &mut self.changes);
        out.push(VARINT_STEPS);
        varint::put_u64(out, self.changes.len() as u64);
        self.squeezer.squeeze(&self.changes, out);
        TimestampEncoding::VarintSteps
    }

    fn packed(&self, out: &mut Vec<u8>) -> TimestampEncoding {
        out.push(PACKED_STEPS);
        number_chunk::pack_smallest(&self.steps, &[Delta::None], self.profile, out);
        TimestampEncoding::PackedSteps
    }
}

/// How many of the steps equal the one before, in quarters.
fn steadiness(steps: &[u64]) -> usize {
    let pairs = steps.windows(2).filter(|pair| pair[0] == pair[1]);
    pairs.count() * (STEADINESS - 1) / steps.len()
}

/// How many blocks before this one the block stands whose timestamps it shares; `None` of a column of its own.
///
/// # Errors
/// Corrupt when the column says it and does not say which.
pub fn shared_with(column: &[u8]) -> Result<Option<u64>> {
    let Some((&SHARED, mut body)) = column.split_first() else {
        return Ok(None);
    };
    match varint::take_u64(&mut body) {
        Some(distance) if distance > 0 && body.is_empty() => Ok(Some(distance)),
        Some(_) | None => refuse("shared is not one distance"),
    }
}

/// Appends the `count` timestamps that `bytes`, a column of its own, encode, `first_ms` the first of them.
///
/// # Errors
/// Corrupt when the bytes are no such column; what was appended is then without meaning.
pub fn decode(bytes: &[u8], count: usize, first_ms: i64, out: &mut Vec<i64>) -> Result<()> {
    debug_assert!(count > 0, "there are no empty blocks");
    let Some((tag, mut body)) = bytes.split_first() else {
        return refuse("is empty");
    };
    let steps = count - 1;
    out.reserve(count);
    match *tag {
        CONSTANT_STEP => {
            let step = if steps == 0 {
                Some(1)
            } else {
                varint::take_u64(&mut body)
            };
            match step {
                Some(step) if body.is_empty() => {
                    accumulate(first_ms, std::iter::repeat_n(step, steps), out)
                }
                Some(_) | None => refuse("constant step is not one varint"),
            }
        }
        VARINT_STEPS => {
            let raw_bytes = varint::take_u64(&mut body).filter(|n| *n <= largest_raw_bytes(steps));
            let Some(raw_bytes) = raw_bytes else {
                return refuse("length of the steps is not plausible");
            };
            let raw_bytes = usize::try_from(raw_bytes).unwrap_or(usize::MAX);
            let raw = number_chunk::unsqueeze(body, raw_bytes).or_else(refuse)?;
            let steps = read_step_changes(&raw, steps)?;
            accumulate(first_ms, steps.into_iter(), out)
        }
        PACKED_STEPS if steps > 0 => {
            let mut numbers = vec![0_u64; steps];
            number_chunk::unpack(body, &mut numbers).or_else(refuse)?;
            accumulate(first_ms, numbers.into_iter(), out)
        }
        STEP_BITS if steps > 0 => {
            let mut numbers = vec![0; steps];
            bit_pack::unpack(body, &mut numbers).or_else(refuse)?;
            let steps = numbers.iter().map(|step| step.cast_unsigned());
            accumulate(first_ms, steps, out)
        }
        unknown => refuse(format!("encoding {unknown} is unknown")),
    }
}

fn accumulate(first_ms: i64, steps: impl Iterator<Item = u64>, out: &mut Vec<i64>) -> Result<()> {
    let mut timestamp = first_ms;
    out.push(timestamp);
    for step in steps {
        match timestamp.checked_add_unsigned(step) {
            Some(next) if step > 0 => timestamp = next,
            Some(_) => return refuse("timestamps do not ascend"),
            None => return refuse("timestamps pass 64 bits"),
        }
        out.push(timestamp);
    }
    Ok(())
}

/// Each step minus the one before, as zigzag varints; wrapping, so that every pair of steps has one.
fn put_step_changes(steps: &[u64], bytes: &mut Vec<u8>) {
    let mut previous = 0;
    for step in steps {
        varint::put_i64(bytes, step.wrapping_sub(previous).cast_signed());
        previous = *step;
    }
}

fn read_step_changes(mut raw: &[u8], count: usize) -> Result<Vec<u64>> {
    let mut steps = Vec::with_capacity(count);
    let mut step = 0_u64;
    for _ in 0..count {
        let Some(change) = varint::take_i64(&mut raw) else {
            return refuse("steps end too early");
        };
        step = step.wrapping_add(change.cast_unsigned());
        steps.push(step);
    }
    if raw.is_empty() {
        Ok(steps)
    } else {
        refuse("steps go on after the last")
    }
}

fn largest_raw_bytes(steps: usize) -> u64 {
    (steps * varint::MAX_VARINT_BYTES) as u64
}

fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::decode(FORMAT, 0, reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(timestamps_ms: &[i64]) -> (TimestampEncoding, usize) {
        let mut bytes = Vec::new();
        let encoding = TimestampEncoder::default().encode(timestamps_ms, &mut bytes);
        let mut back = vec![-1];
        decode(&bytes, timestamps_ms.len(), timestamps_ms[0], &mut back).unwrap();
        assert_eq!(&back[1..], timestamps_ms);
        (encoding, bytes.len())
    }

    #[test]
    fn a_regular_grid_takes_no_bytes_to_speak_of() {
        let grid: Vec<i64> = (0..8192).map(|i| 1_700_000_000_000 + i * 10_000).collect();
        let (encoding, bytes) = check(&grid);
        assert_eq!(encoding, TimestampEncoding::ConstantStep);
        assert!(bytes <= 4, "{bytes}");
        assert_eq!(check(&[5]).1, 1);
        check(&[i64::MIN, i64::MAX]);
        check(&[i64::MIN, 0, i64::MAX]);
    }

    #[test]
    fn missed_scrapes_and_jitter_stay_small() {
        let mut rng = fastrand::Rng::with_seed(1);
        let gaps: Vec<i64> = (0..5000_i64)
            .filter(|_| rng.u8(..) > 5)
            .map(|i| i * 10_000)
            .collect();
        let (_, bytes) = check(&gaps);
        assert!(bytes < gaps.len() / 8, "{bytes} for {}", gaps.len());
        let jitter: Vec<i64> = (0..5000_i64)
            .map(|i| i * 10_000 + rng.i64(-500..=500))
            .collect();
        let (_, bytes) = check(&jitter);
        assert!(bytes < jitter.len() * 3 / 2, "{bytes}");
    }

    proptest! {
        #[test]
        fn every_ascending_sequence_reads_back(
            timestamps in proptest::collection::btree_set(any::<i64>(), 1..300),
            small in proptest::collection::btree_set(0_i64..100_000, 1..300),
        ) {
            check(&timestamps.into_iter().collect::<Vec<_>>());
            check(&small.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>, count in 1_usize..9000, first: i64) {
            let _ = decode(&bytes, count, first, &mut Vec::new());
        }

        #[test]
        fn a_truncated_column_is_refused(
            timestamps in proptest::collection::btree_set(0_i64..100_000, 3..300),
        ) {
            let timestamps: Vec<i64> = timestamps.into_iter().collect();
            let mut bytes = Vec::new();
            TimestampEncoder::default().encode(&timestamps, &mut bytes);
            for cut in 0..bytes.len() {
                let result = decode(&bytes[..cut], timestamps.len(), timestamps[0], &mut Vec::new());
                prop_assert!(result.is_err(), "cut at {}", cut);
            }
        }
    }
}
