//! Keeps what a run did and took: `skein timers` shows it.

use std::time::{Duration, Instant};

use skein_config::compactor::CompactorSettings;
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::Attempt;
use skein_shared::format::run_record::{RunEnd, RunKind, RunRecord, RunTotals};
use skein_shared::format::segment_writer::ENCODER_VERSION;
use skein_shared::ids::WriteId;
use skein_shared::{process_use, run_log};

use crate::metrics;
use crate::report::StepReport;
use crate::stage_timers::StageTimers;

/// What a run has used since it began.
#[derive(Debug)]
pub struct RunClock {
    started: Instant,
    cpu_before_ms: u64,
}

/// What a record tells of a run.
#[derive(Debug)]
pub struct RunFacts<'a> {
    /// What ran.
    pub of: RunKind,
    /// How it ended.
    pub ended: RunEnd,
    /// Tasks at the same time, at most.
    pub threads: usize,
    /// Shards that it looked at, and that it took forward.
    pub shards: (usize, usize),
    /// What its steps did.
    pub steps: &'a StepReport,
    /// What their stages took.
    pub timers: &'a StageTimers,
}

impl RunClock {
    /// Begins.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            cpu_before_ms: process_use::cpu_ms(),
        }
    }

    /// Writes the record, unless none are kept. Without it the run is as good as with it: what goes wrong is told, and no
    /// error.
    pub async fn keep(self, bucket: &Bucket, settings: &CompactorSettings, facts: RunFacts<'_>) {
        let keep = usize::try_from(settings.run_records).unwrap_or(usize::MAX);
        if keep == 0 {
            return;
        }
        let kept = async {
            let (run, _) = WriteId::random().0.as_u64_pair();
            let record = RunRecord {
                run: Attempt(run),
                at: bucket.now().await?,
                of: facts.of,
                ended: facts.ended,
                software: concat!("skein ", env!("CARGO_PKG_VERSION")).to_owned(),
                encoder: ENCODER_VERSION,
                threads: facts.threads as u64,
                did: self.totals(&facts),
                stages: facts.timers.recorded(),
            };
            run_log::append(bucket, record, keep).await
        };
        if let Err(error) = kept.await {
            metrics::run_record_failed(&error);
        }
    }

    fn totals(&self, facts: &RunFacts<'_>) -> RunTotals {
        let steps = facts.steps;
        let (shards, shards_advanced) = facts.shards;
        let cpu_ms = process_use::cpu_ms().saturating_sub(self.cpu_before_ms);
        RunTotals {
            shards: shards as u64,
            shards_advanced: shards_advanced as u64,
            points_in: steps.counts.points_in,
            points_merged: steps.points_merged,
            points_out: steps.points_out,
            object_bytes: steps.object_bytes,
            segment_bytes: steps.segment_bytes + steps.rollup_bytes,
            wall: self.started.elapsed(),
            cpu: Duration::from_millis(cpu_ms),
            tasks: facts.timers.tasks(),
        }
    }
}
