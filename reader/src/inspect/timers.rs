//! What compactions took, stage by stage, from their records.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::Attempt;
use skein_shared::format::run_record::{RecordedStage, RunEnd, RunKind, RunRecord, StagePlace};
use skein_shared::{Result, run_log};

/// Stages that are named as the slowest.
const SLOWEST: usize = 3;

/// One compaction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRow {
    /// Its name.
    pub run: String,
    /// Key of its record.
    pub key: String,
    /// When it was over, by the bucket's clock, RFC 3339.
    pub at: String,
    /// `run`, or `task <index> of <plan>`.
    pub of: String,
    /// Whether it ended with everything done.
    pub complete: bool,
    /// Version of the software.
    pub software: String,
    /// Version of the encoder.
    pub encoder: u32,
    /// Tasks at the same time, at most.
    pub threads: u64,
    /// Shards that it looked at.
    pub shards: u64,
    /// Shards that it took forward.
    pub shards_advanced: u64,
    /// Points that came in.
    pub points_in: u64,
    /// Points of live segments that were merged again.
    pub points_merged: u64,
    /// Points in the segments written.
    pub points_out: u64,
    /// Stored bytes of state read.
    pub object_bytes: u64,
    /// Bytes of segments written, rollups too.
    pub segment_bytes: u64,
    /// From begin to end.
    pub wall_ns: u64,
    /// Processor time of the process.
    pub cpu_ns: u64,
    /// Time of all tasks, one after the other: what the shares are of.
    pub tasks_ns: u64,
    /// The same for each point that came in or was merged again; `None` without any.
    pub ns_per_point: Option<f64>,
    /// The stages of tasks that took most, the slowest first.
    pub slowest: Vec<String>,
    /// Its stages.
    pub stages: Vec<StageRow>,
}

/// One stage of a compaction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageRow {
    /// Its name.
    pub stage: String,
    /// Whether it runs beside tasks: its total is none of their time, and has no share.
    pub beside: bool,
    /// All of its pieces together.
    pub total_ns: u64,
    /// Part of the tasks' time, between 0 and 1.
    pub share: Option<f64>,
    /// How many pieces.
    pub pieces: u64,
    /// What half of them took at most.
    pub p50_ns: u64,
    /// What nine tenths took at most.
    pub p90_ns: u64,
    /// What all but a hundredth took at most.
    pub p99_ns: u64,
    /// The longest.
    pub longest_ns: u64,
    /// The total for each point that came in or was merged again; `None` without any.
    pub ns_per_point: Option<f64>,
}

/// One compaction beside another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The one.
    pub run: RunRow,
    /// What it is compared with.
    pub against: RunRow,
    /// Time of the tasks for each point: the one divided by the other; `None` where one has none.
    pub ratio: Option<f64>,
    /// Every stage that one of them has.
    pub stages: Vec<StageRatio>,
}

/// One stage in two compactions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageRatio {
    /// Its name.
    pub stage: String,
    /// Its time for each point.
    pub ns_per_point: Option<f64>,
    /// The same in the other.
    pub against_ns_per_point: Option<f64>,
    /// The one divided by the other.
    pub ratio: Option<f64>,
    /// The middle pieces of both, divided.
    pub p50_ratio: Option<f64>,
}

/// The newest `most` compactions, the newest first.
///
/// # Errors
/// `Corrupt` when a record does not read back, and what the bucket says.
pub fn newest(bucket: &Bucket, most: u16) -> BoxFuture<'_, Result<Vec<RunRow>>> {
    Box::pin(async move {
        let records = run_log::newest(bucket, most).await?;
        Ok(records.iter().map(RunRow::of).collect())
    })
}

/// The compaction of this name; `None` when it has no record, or none any more.
///
/// # Errors
/// As [`newest`].
pub fn find(bucket: &Bucket, run: Attempt) -> BoxFuture<'_, Result<Option<RunRow>>> {
    Box::pin(async move {
        let record = run_log::find(bucket, run).await?;
        Ok(record.as_ref().map(RunRow::of))
    })
}

/// `run` beside `against`.
pub fn compare(run: RunRow, against: RunRow) -> Comparison {
    let mut seen = BTreeSet::new();
    let rows = run.stages.iter().chain(&against.stages);
    let names = rows.map(|row| row.stage.as_str());
    let names: Vec<_> = names.filter(|name| seen.insert(*name)).collect();
    let stages = names.into_iter().map(|name| {
        let (ours, theirs) = (run.stage(name), against.stage(name));
        let per_point = |row: Option<&StageRow>| row.and_then(|row| row.ns_per_point);
        let middle = |row: Option<&StageRow>| row.map(|row| float(row.p50_ns));
        StageRatio {
            stage: name.to_owned(),
            ns_per_point: per_point(ours),
            against_ns_per_point: per_point(theirs),
            ratio: ratio(per_point(ours), per_point(theirs)),
            p50_ratio: ratio(middle(ours), middle(theirs)),
        }
    });
    let stages = stages.collect();
    Comparison {
        ratio: ratio(run.ns_per_point, against.ns_per_point),
        stages,
        run,
        against,
    }
}

impl RunRow {
    /// Whatever a record says.
    pub fn of(record: &RunRecord) -> Self {
        let did = &record.did;
        let points = did.points_passed();
        let row = |stage| StageRow::of(stage, did.tasks, points);
        let stages: Vec<StageRow> = record.stages.iter().map(row).collect();
        Self {
            run: record.run.to_string(),
            key: run_log::key_of(record).to_string(),
            at: record.at.to_string(),
            of: match record.of {
                RunKind::Run => "run".to_owned(),
                RunKind::Task { plan, index } => format!("task {index} of {plan}"),
            },
            complete: record.ended == RunEnd::Done,
            software: record.software.clone(),
            encoder: record.encoder,
            threads: record.threads,
            shards: did.shards,
            shards_advanced: did.shards_advanced,
            points_in: did.points_in,
            points_merged: did.points_merged,
            points_out: did.points_out,
            object_bytes: did.object_bytes,
            segment_bytes: did.segment_bytes,
            wall_ns: nanos(did.wall),
            cpu_ns: nanos(did.cpu),
            tasks_ns: nanos(did.tasks),
            ns_per_point: per_point(did.tasks, points),
            slowest: slowest(&stages),
            stages,
        }
    }

    /// Time of the tasks that no stage has.
    pub fn other_ns(&self) -> u64 {
        let in_tasks = self.stages.iter().filter(|stage| !stage.beside);
        let timed = in_tasks.map(|stage| stage.total_ns).sum();
        self.tasks_ns.saturating_sub(timed)
    }

    fn stage(&self, name: &str) -> Option<&StageRow> {
        self.stages.iter().find(|row| row.stage == name)
    }
}

impl StageRow {
    fn of(stage: &RecordedStage, tasks: Duration, points: u64) -> Self {
        let time = &stage.time;
        let beside = stage.place == StagePlace::Beside;
        let share =
            (!beside && !tasks.is_zero()).then(|| time.total().as_secs_f64() / tasks.as_secs_f64());
        Self {
            stage: stage.name.clone(),
            beside,
            total_ns: nanos(time.total()),
            share,
            pieces: time.pieces(),
            p50_ns: nanos(time.quantile(0.5)),
            p90_ns: nanos(time.quantile(0.9)),
            p99_ns: nanos(time.quantile(0.99)),
            longest_ns: nanos(time.longest()),
            ns_per_point: per_point(time.total(), points),
        }
    }
}

fn slowest(stages: &[StageRow]) -> Vec<String> {
    let mut in_tasks: Vec<&StageRow> = stages.iter().filter(|stage| !stage.beside).collect();
    in_tasks.sort_by_key(|stage| std::cmp::Reverse(stage.total_ns));
    let slowest = in_tasks.into_iter().take(SLOWEST);
    slowest.map(|stage| stage.stage.clone()).collect()
}

fn per_point(time: Duration, points: u64) -> Option<f64> {
    (points > 0).then(|| float(nanos(time)) / float(points))
}

fn ratio(of: Option<f64>, to: Option<f64>) -> Option<f64> {
    let (of, to) = (of?, to?);
    (to > 0.0).then(|| of / to)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio for people; three digits are enough"
)]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
