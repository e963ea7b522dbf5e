//! The timestamps of a payload, as they came.

use std::borrow::Cow;

use crate::payload::refusal::Refusal;
use crate::payload::wire::{self, Cursor, Value};
use crate::window::TimestampMs;

/// The event times of a payload's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Of the first point, as the payload has them.
    pub first: TimestampMs,
    /// The smallest.
    pub earliest: TimestampMs,
    /// The largest.
    pub latest: TimestampMs,
}

/// The timestamps of a payload.
#[derive(Debug, Clone)]
pub(super) enum Times<'a> {
    /// Varints of zigzag deltas.
    Deltas(Cow<'a, [u8]>),
    /// At equal distances.
    Regular(Regular),
}

/// So many timestamps at equal distances.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Regular {
    pub(super) start_ms: i64,
    pub(super) step_ms: u64,
    pub(super) count: u32,
}

impl Times<'_> {
    pub(super) fn count(&self) -> u64 {
        match self {
            // The last byte of each varint has its high bit clear.
            Self::Deltas(bytes) => bytes.iter().map(|byte| u64::from(*byte < 0x80)).sum(),
            Self::Regular(regular) => u64::from(regular.count),
        }
    }

    pub(super) fn range(&self) -> Result<Option<TimeRange>, Refusal> {
        match self {
            Self::Deltas(bytes) => range_of_deltas(bytes),
            Self::Regular(regular) => regular.range(),
        }
    }

    /// Appends the `count` timestamps, of which [`Times::range`] has been asked.
    ///
    /// # Panics
    /// If there are fewer.
    pub(super) fn decode_into(&self, count: usize, timestamps: &mut Vec<i64>) {
        match self {
            Self::Deltas(bytes) => decode_deltas(bytes, count, timestamps),
            Self::Regular(regular) => timestamps.extend(
                // The range has checked the last one, so no product and no sum wraps.
                (0..u64::from(regular.count)).map(|i| {
                    regular
                        .start_ms
                        .wrapping_add_unsigned(i.wrapping_mul(regular.step_ms))
                }),
            ),
        }
    }
}

impl Regular {
    pub(super) fn read(&mut self, mut cursor: Cursor<'_>) -> Result<(), Refusal> {
        while let Some((field, value)) = cursor.next_field()? {
            match (field, value) {
                (1, Value::Varint(start)) => self.start_ms = wire::signed(start),
                (2, Value::Varint(step)) => self.step_ms = step,
                (3, Value::Varint(count)) => {
                    self.count = u32::try_from(count)
                        .map_err(|_| cursor.fault("a count of more than 32 bits"))?;
                }
                (1..=3, _) => return Err(cursor.fault("a field whose wire type is not its own")),
                _ => {}
            }
        }
        Ok(())
    }

    fn range(self) -> Result<Option<TimeRange>, Refusal> {
        let Some(last_index) = u64::from(self.count).checked_sub(1) else {
            return Ok(None);
        };
        let last = last_index
            .checked_mul(self.step_ms)
            .and_then(|sum| self.start_ms.checked_add_unsigned(sum))
            .ok_or(Refusal::TimestampOverflow { index: last_index })?;
        Ok(Some(TimeRange {
            first: TimestampMs(self.start_ms),
            earliest: TimestampMs(self.start_ms),
            latest: TimestampMs(last),
        }))
    }
}

fn range_of_deltas(bytes: &[u8]) -> Result<Option<TimeRange>, Refusal> {
    let (mut rest, mut index, mut time) = (bytes, 0_u64, 0_i64);
    let (mut first, mut earliest, mut latest) = (0, i64::MAX, i64::MIN);
    while !rest.is_empty() {
        let Some((number, len)) = wire::varint(rest) else {
            return Err(Refusal::Malformed {
                at: bytes.len() - rest.len(),
                reason: "packed timestamps hold a varint that does not end or exceeds 64 bits",
            });
        };
        rest = &rest[len..];
        time = time
            .checked_add(wire::signed(number))
            .ok_or(Refusal::TimestampOverflow { index })?;
        if index == 0 {
            first = time;
        }
        index += 1;
        earliest = earliest.min(time);
        latest = latest.max(time);
    }
    let [first, earliest, latest] = [first, earliest, latest].map(TimestampMs);
    Ok((index > 0).then_some(TimeRange {
        first,
        earliest,
        latest,
    }))
}

fn decode_deltas(bytes: &[u8], count: usize, timestamps: &mut Vec<i64>) {
    let (mut rest, mut time) = (bytes, 0_i64);
    timestamps.extend((0..count).map(|_| {
        let (number, len) = wire::varint(rest).expect("the range has read every varint");
        rest = &rest[len..];
        time = time.wrapping_add(wire::signed(number));
        time
    }));
}
