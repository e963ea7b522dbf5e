//! What one compaction did and what it took, stage by stage: the objects under `runs/`.

mod body;

use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::object_key::Attempt;
use crate::ids::{PlanId, WriteId};
use crate::stage_time::StageTime;
use crate::window::TimestampMs;

/// The record of one compaction that did something. Nothing depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its name: random.
    pub run: Attempt,
    /// When it was over, by the bucket's clock.
    pub at: TimestampMs,
    /// What it was.
    pub of: RunKind,
    /// How it ended.
    pub ended: RunEnd,
    /// Version of the software.
    pub software: String,
    /// Version of the encoder.
    pub encoder: u32,
    /// Tasks at the same time, at most.
    pub threads: u64,
    /// What it did.
    pub did: RunTotals,
    /// What it took, in the order in which points pass the stages.
    pub stages: Vec<RecordedStage>,
}

/// What ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// All shards, on one machine.
    Run,
    /// One task of a plan.
    Task {
        /// Of which plan.
        plan: PlanId,
        /// Which of its tasks.
        index: u32,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// With everything done.
    Done,
    /// Some shards failed, or it was stopped: the counts are of what was committed, the times of all that was tried.
    Short,
}

/// What a run did, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunTotals {
    /// Shards that it looked at.
    pub shards: u64,
    /// Shards that it took forward.
    pub shards_advanced: u64,
    /// Points that it took in.
    pub points_in: u64,
    /// Points of live segments that it merged again.
    pub points_merged: u64,
    /// Points in the segments that it wrote.
    pub points_out: u64,
    /// Stored bytes of state that it read.
    pub object_bytes: u64,
    /// Bytes of segments that it wrote, rollups too.
    pub segment_bytes: u64,
    /// Time from begin to end.
    pub wall: Duration,
    /// Processor time of the process meanwhile.
    pub cpu: Duration,
    /// Time of its tasks from begin to end, one after the other.
    pub tasks: Duration,
}

/// One stage of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedStage {
    /// Its name.
    pub name: String,
    /// Whether tasks wait for it.
    pub place: StagePlace,
    /// How long its pieces took.
    pub time: StageTime,
}

/// Whether a stage is part of a task's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StagePlace {
    /// A task does it, or waits for it, and nothing else meanwhile.
    InTask,
    /// It runs beside tasks, several at the same time.
    Beside,
}

impl RunTotals {
    /// Points that went through the stages: those that came in, and those that were merged again.
    pub fn points_passed(&self) -> u64 {
        self.points_in.saturating_add(self.points_merged)
    }
}

impl RunRecord {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::RunRecord, write_id, &body::RunBody::of(self))
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact record.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, body) = envelope::open::<body::RunBody>(Kind::RunRecord, bytes)?;
        let refuse = |reason| Error::decode(Kind::RunRecord.name(), HEADER_BYTES as u64, reason);
        Ok((id, body.read().map_err(refuse)?))
    }
}

#[cfg(test)]
mod tests;
