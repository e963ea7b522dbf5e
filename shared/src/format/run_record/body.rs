//! The record's protobuf body.

use std::time::Duration;

use prost::Message;

use super::{RecordedStage, RunEnd, RunKind, RunRecord, RunTotals, StagePlace};
use crate::format::object_key::Attempt;
use crate::format::wire::{Reading, required};
use crate::stage_time::{EqualPieces, StageTime};
use crate::window::TimestampMs;

#[derive(Clone, PartialEq, Message)]
pub(super) struct RunBody {
    #[prost(fixed64, tag = "1")]
    run: u64,
    #[prost(sint64, tag = "2")]
    at_ms: i64,
    /// Absent when all shards were compacted.
    #[prost(message, optional, tag = "3")]
    task: Option<TaskBody>,
    #[prost(bool, tag = "4")]
    short: bool,
    #[prost(string, tag = "5")]
    software: String,
    #[prost(uint32, tag = "6")]
    encoder: u32,
    #[prost(uint64, tag = "7")]
    threads: u64,
    #[prost(message, optional, tag = "8")]
    did: Option<TotalsBody>,
    #[prost(message, repeated, tag = "9")]
    stages: Vec<StageBody>,
}

#[derive(Clone, PartialEq, Message)]
struct TaskBody {
    #[prost(string, tag = "1")]
    plan: String,
    #[prost(uint32, tag = "2")]
    index: u32,
}

#[derive(Clone, PartialEq, Message)]
struct TotalsBody {
    #[prost(uint64, tag = "1")]
    shards: u64,
    #[prost(uint64, tag = "2")]
    shards_advanced: u64,
    #[prost(uint64, tag = "3")]
    points_in: u64,
    #[prost(uint64, tag = "4")]
    points_merged: u64,
    #[prost(uint64, tag = "5")]
    points_out: u64,
    #[prost(uint64, tag = "6")]
    object_bytes: u64,
    #[prost(uint64, tag = "7")]
    segment_bytes: u64,
    #[prost(uint64, tag = "8")]
    wall_nanos: u64,
    #[prost(uint64, tag = "9")]
    cpu_nanos: u64,
    #[prost(uint64, tag = "10")]
    tasks_nanos: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StageBody {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    beside: bool,
    #[prost(uint64, tag = "3")]
    total_nanos: u64,
    #[prost(uint64, tag = "4")]
    longest_nanos: u64,
    /// Ascending, each as the difference to the one before it.
    #[prost(uint64, repeated, tag = "5")]
    nanos: Vec<u64>,
    /// As many.
    #[prost(uint64, repeated, tag = "6")]
    pieces: Vec<u64>,
}

impl RunBody {
    pub(super) fn of(record: &RunRecord) -> Self {
        let task = match record.of {
            RunKind::Run => None,
            RunKind::Task { plan, index } => Some(TaskBody {
                plan: plan.to_string(),
                index,
            }),
        };
        Self {
            run: record.run.0,
            at_ms: record.at.0,
            task,
            short: record.ended == RunEnd::Short,
            software: record.software.clone(),
            encoder: record.encoder,
            threads: record.threads,
            did: Some(TotalsBody::of(&record.did)),
            stages: record.stages.iter().map(StageBody::of).collect(),
        }
    }

    pub(super) fn read(self) -> Reading<RunRecord> {
        let of = match self.task {
            None => RunKind::Run,
            Some(TaskBody { plan, index }) => RunKind::Task {
                plan: plan.parse()?,
                index,
            },
        };
        Ok(RunRecord {
            run: Attempt(self.run),
            at: TimestampMs(self.at_ms),
            of,
            ended: if self.short {
                RunEnd::Short
            } else {
                RunEnd::Done
            },
            software: self.software,
            encoder: self.encoder,
            threads: self.threads,
            did: required(self.did, "what it did")?.read(),
            stages: self
                .stages
                .into_iter()
                .map(StageBody::read)
                .collect::<Reading<_>>()?,
        })
    }
}

impl TotalsBody {
    fn of(did: &RunTotals) -> Self {
        Self {
            shards: did.shards,
            shards_advanced: did.shards_advanced,
            points_in: did.points_in,
            points_merged: did.points_merged,
            points_out: did.points_out,
            object_bytes: did.object_bytes,
            segment_bytes: did.segment_bytes,
            wall_nanos: nanos(did.wall),
            cpu_nanos: nanos(did.cpu),
            tasks_nanos: nanos(did.tasks),
        }
    }

    fn read(self) -> RunTotals {
        RunTotals {
            shards: self.shards,
            shards_advanced: self.shards_advanced,
            points_in: self.points_in,
            points_merged: self.points_merged,
            points_out: self.points_out,
            object_bytes: self.object_bytes,
            segment_bytes: self.segment_bytes,
            wall: Duration::from_nanos(self.wall_nanos),
            cpu: Duration::from_nanos(self.cpu_nanos),
            tasks: Duration::from_nanos(self.tasks_nanos),
        }
    }
}

impl StageBody {
    fn of(stage: &RecordedStage) -> Self {
        let mut before = 0;
        let (mut times, mut pieces) = (Vec::new(), Vec::new());
        for equal in stage.time.equal_pieces() {
            times.push(equal.nanos - before);
            pieces.push(equal.pieces);
            before = equal.nanos;
        }
        Self {
            name: stage.name.clone(),
            beside: stage.place == StagePlace::Beside,
            total_nanos: nanos(stage.time.total()),
            longest_nanos: nanos(stage.time.longest()),
            nanos: times,
            pieces,
        }
    }

    fn read(self) -> Reading<RecordedStage> {
        if self.nanos.len() != self.pieces.len() {
            return Err(format!("stage `{}` has times without pieces", self.name));
        }
        let mut at: u64 = 0;
        let mut equal = Vec::with_capacity(self.pieces.len());
        for (step, pieces) in self.nanos.into_iter().zip(self.pieces) {
            let next = at.checked_add(step);
            at = next.ok_or_else(|| format!("stage `{}` has an endless piece", self.name))?;
            equal.push(EqualPieces { nanos: at, pieces });
        }
        let total = Duration::from_nanos(self.total_nanos);
        let longest = Duration::from_nanos(self.longest_nanos);
        Ok(RecordedStage {
            name: self.name,
            place: if self.beside {
                StagePlace::Beside
            } else {
                StagePlace::InTask
            },
            time: StageTime::from_pieces(equal, (total, longest))?,
        })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
