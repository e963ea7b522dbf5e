//! Points to bytes: what a producer sends.

use crate::ids::{MetricId, OrgId};
use crate::window::TimestampMs;

/// Points of one series, to be encoded as one record's value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Payload {
    /// Whose points.
    pub org: OrgId,
    /// Which series of the org.
    pub metric: MetricId,
    /// One for each value, in any order.
    pub timestamps: Vec<TimestampMs>,
    /// One for each timestamp.
    pub values: Vec<f64>,
    /// What describes the series; a key stands once.
    pub metadata: Vec<(String, String)>,
}

impl Payload {
    /// Appends the bytes; the regular form where every step is the same and not negative.
    ///
    /// # Panics
    /// If timestamps and values are not as many, or two neighbouring timestamps lie further apart than
    /// 64 bits can say.
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert_eq!(
            self.timestamps.len(),
            self.values.len(),
            "a payload has one timestamp for each value"
        );
        put_varint_field(out, 1, self.org.0);
        put_varint_field(out, 2, self.metric.0);
        match regular_step(&self.timestamps) {
            Some(step_ms) => self.put_regular(out, step_ms),
            None => self.put_deltas(out),
        }
        if !self.values.is_empty() {
            put_length_field(out, 5, self.values.len() * 8);
            out.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        }
        for (key, value) in &self.metadata {
            put_entry(out, key, value);
        }
    }

    fn put_regular(&self, out: &mut Vec<u8>, step_ms: u64) {
        let start = zigzag(self.timestamps[0].0);
        let count = self.timestamps.len() as u64;
        put_length_field(
            out,
            4,
            3 + varint_len(start) + varint_len(step_ms) + varint_len(count),
        );
        put_varint_field(out, 1, start);
        put_varint_field(out, 2, step_ms);
        put_varint_field(out, 3, count);
    }

    fn put_deltas(&self, out: &mut Vec<u8>) {
        let Some(first) = self.timestamps.first() else {
            return;
        };
        let deltas = self.timestamps.windows(2).map(|pair| {
            pair[1]
                .0
                .checked_sub(pair[0].0)
                .expect("neighbouring timestamps lie less than 64 bits apart")
        });
        let zigzags = || std::iter::once(first.0).chain(deltas.clone()).map(zigzag);
        put_length_field(out, 3, zigzags().map(varint_len).sum());
        for number in zigzags() {
            put_varint(out, number);
        }
    }
}

/// The one step between all timestamps, where there is one.
fn regular_step(timestamps: &[TimestampMs]) -> Option<u64> {
    let [first, second, ..] = timestamps else {
        return None;
    };
    let step = u64::try_from(second.0.checked_sub(first.0)?).ok()?;
    timestamps
        .windows(2)
        .all(|pair| pair[0].0.checked_add_unsigned(step) == Some(pair[1].0))
        .then_some(step)
}

fn put_entry(out: &mut Vec<u8>, key: &str, value: &str) {
    let text_len = |text: &str| 1 + varint_len(text.len() as u64) + text.len();
    put_length_field(out, 6, text_len(key) + text_len(value));
    put_length_field(out, 1, key.len());
    out.extend_from_slice(key.as_bytes());
    put_length_field(out, 2, value.len());
    out.extend_from_slice(value.as_bytes());
}

fn put_varint_field(out: &mut Vec<u8>, field: u8, number: u64) {
    out.push(field << 3);
    put_varint(out, number);
}

fn put_length_field(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(field << 3 | 2);
    put_varint(out, len as u64);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

const fn varint_len(number: u64) -> usize {
    // One byte for each 7 bits, at least one.
    (70 - (number | 1).leading_zeros() as usize).div_euclid(7)
}

const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_length_is_what_is_written() {
        for bits in 0..64 {
            for number in [1_u64 << bits, (1_u64 << bits) - 1, u64::MAX >> bits] {
                let mut out = Vec::new();
                put_varint(&mut out, number);
                assert_eq!(out.len(), varint_len(number), "{number}");
            }
        }
    }

    #[test]
    fn equal_steps_cost_no_bytes_for_each_point() {
        let payload = |step: fn(i64) -> i64| {
            let mut out = Vec::new();
            Payload {
                timestamps: (0..60).map(|i| TimestampMs(step(i))).collect(),
                values: vec![0.0; 60],
                ..Payload::default()
            }
            .encode(&mut out);
            out.len()
        };
        assert!(payload(|i| i * 15_000) < 60 * 8 + 24);
        assert!(payload(|_| 7) < 60 * 8 + 24, "a step of zero is a step");
        assert!(payload(|i| i * i) > 60 * 9);
        assert!(
            payload(|i| -i) > 60 * 9,
            "a negative step has no regular form"
        );
    }
}
