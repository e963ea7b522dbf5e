//! What one system would return: computed from the records alone, by nothing of the product's.

use crate::cutover_history::input::{Input, Place};

/// A point with where it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Write {
    /// Its time.
    pub at: i64,
    /// How many seals its record lies beyond.
    pub beyond: u8,
    /// Its record's timestamp.
    pub record: i64,
    /// Where its record lies.
    pub place: Place,
    /// Its place in the record.
    pub index: usize,
    /// Its value.
    pub value: f64,
}

/// What of a record's point counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// It does not.
    No,
    /// It does, and its record lies beyond so many seals.
    Beyond(u8),
}

impl Write {
    fn key(&self) -> (i64, u8, i64, Place, usize) {
        (self.at, self.beyond, self.record, self.place, self.index)
    }
}

/// The points of a series that count, the last write of each time, in ascending time.
pub fn points(input: &Input, series: usize, counts: impl Fn(i64, Place) -> Counts) -> Vec<Write> {
    let mut writes = Vec::new();
    for place in input.places(series) {
        let record = input.record(*place);
        for (index, (at, value)) in record.points.iter().enumerate() {
            if let Counts::Beyond(beyond) = counts(*at, *place) {
                writes.push(Write {
                    at: *at,
                    beyond,
                    record: record.timestamp,
                    place: *place,
                    index,
                    value: *value,
                });
            }
        }
    }
    last_of_each(writes)
}

/// The last write of each time, in ascending time.
pub fn last_of_each(mut writes: Vec<Write>) -> Vec<Write> {
    writes.sort_unstable_by_key(|write| std::cmp::Reverse(write.key()));
    writes.dedup_by_key(|write| write.at);
    writes.reverse();
    writes
}
