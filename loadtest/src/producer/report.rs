//! What was sent, and how far the sending is.

use std::time::Duration;

use serde::Serialize;
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::points_csv::BadRow;
use skein_shared::ids::TopicName;

use crate::generator::Expectation;

/// What was sent and delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceReport {
    /// Into which topic.
    pub topic: TopicName,
    /// How many partitions it has.
    pub partitions: u32,
    /// Records delivered.
    pub records: u64,
    /// Points in them; a point that was sent twice counts twice.
    pub points: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
    /// Wall time.
    pub elapsed: Duration,
    /// Rows that were left out.
    pub bad_rows: BadRows,
    /// What a generator's records must come to; `None` unless all of them were sent.
    pub expected: Option<Expectation>,
    /// Digest of the rows that were sent: that of what is stored, if no point came twice.
    pub sent_digest: Option<ContentDigest>,
    /// Whether all of the input was sent.
    pub ending: Ending,
}

/// How the sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All of the input was sent.
    Complete,
    /// Somebody asked for the end before: the rest was not sent.
    Cancelled,
}

/// Rows that were left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadRows {
    /// How many.
    pub count: u64,
    /// The first of them, at most [`BadRows::KEPT`].
    pub first: Vec<BadRow>,
}

/// How far the sending is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProduceProgress {
    /// Records handed to the client.
    pub records: u64,
    /// Points in them.
    pub points: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
}

impl BadRows {
    /// How many bad rows are kept for the report; all are counted.
    pub const KEPT: usize = 1000;

    pub(super) fn push(&mut self, row: BadRow) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(row);
        }
    }
}

impl ProduceReport {
    /// Points handed over and acknowledged each second.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people needs no more than 53 bits"
    )]
    pub fn points_per_second(&self) -> f64 {
        self.points as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}
