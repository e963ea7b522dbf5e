//! The worker's side: runs the pipeline on a made topic and says how it goes, a JSON line at a time.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use skein_config::Settings;
use skein_connector::chain_lookup::ChainLookup;
use skein_connector::pipeline::{Controls, Setup, Until, run_on};
use skein_connector::report::{Outcome, Progress};
use skein_shared::bucket::Bucket;
use skein_shared::process_use;

use crate::error::Result;
use crate::memory_load::made_records::{Gauges, MadeEnds, MadeRecords};
use crate::memory_load::scenario::Scenario;

/// What a worker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Whether it has come to its end.
    pub is_last: bool,
    /// Whether everything is in the ledger.
    pub caught_up: bool,
    /// Records taken in.
    pub records: u64,
    /// Records in the ledger.
    pub durable_records: u64,
    /// What the budget counts.
    pub buffered_bytes: u64,
    /// Whether fetching waits for memory.
    pub is_paused: bool,
    /// Time that it waited so far.
    pub paused_ms: u64,
    /// The longest time between two polls.
    pub longest_silence_ms: u64,
    /// Resident before the first record.
    pub baseline_bytes: u64,
    /// The most that was ever resident.
    pub peak_bytes: u64,
    /// Resident now.
    pub resident_bytes: u64,
    /// Processor time so far.
    pub cpu_ms: u64,
    /// Objects stored.
    pub objects: u64,
}

/// Runs to the end of the topic.
///
/// # Errors
/// What the connector or the bucket says.
pub fn run(scenario: Scenario, settings: &Settings) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        bucket.probe().await?;
        let baseline_bytes = process_use::peak_memory_bytes().unwrap_or(0);
        let gauges = Arc::new(Gauges::default());
        let told = Arc::clone(&gauges);
        let controls = Controls {
            progress: Box::new(move |progress| tell(&said(&told, progress, baseline_bytes))),
            ..Controls::silent()
        };
        let setup = Setup::of(settings, bucket, Until::EndAtAssignment);
        let lookup = ChainLookup::new(Arc::new(MadeEnds(scenario)), "a made topic");
        let queue = setup.connector.memory_shares().kafka_queue;
        let source = Arc::clone(&gauges);
        let join = move || Ok(MadeRecords::join(scenario, queue, source));
        let report = run_on(setup, controls, lookup, join).await?;
        tell(&Said {
            is_last: true,
            caught_up: report.outcome == Outcome::EndReached
                && report.durable_records == scenario.records()
                && report.stopped_partitions.is_empty(),
            records: report.records,
            durable_records: report.durable_records,
            is_paused: false,
            objects: report.objects,
            ..gauged(&gauges, baseline_bytes)
        });
        Ok(())
    })
}

fn said(gauges: &Gauges, progress: &Progress, baseline_bytes: u64) -> Said {
    Said {
        records: progress.records,
        durable_records: progress.durable_records,
        buffered_bytes: progress.buffered_bytes,
        ..gauged(gauges, baseline_bytes)
    }
}

/// What the process itself tells.
fn gauged(gauges: &Gauges, baseline_bytes: u64) -> Said {
    Said {
        is_last: false,
        caught_up: false,
        records: 0,
        durable_records: 0,
        buffered_bytes: 0,
        is_paused: gauges.is_paused.load(Ordering::Relaxed),
        paused_ms: gauges.paused_ms.load(Ordering::Relaxed),
        longest_silence_ms: gauges.longest_silence_ms.load(Ordering::Relaxed),
        baseline_bytes,
        peak_bytes: process_use::peak_memory_bytes().unwrap_or(0),
        resident_bytes: process_use::memory_bytes().unwrap_or(0),
        cpu_ms: process_use::cpu_ms(),
        objects: 0,
    }
}

fn tell(said: &Said) {
    let mut out = std::io::stdout().lock();
    // Who started us has gone when it cannot be told: then nobody wants to know.
    if let Ok(line) = serde_json::to_string(said) {
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
}
