//! What the compactor costs, from bucket to bucket.
//!
//! State is made once, by a connector from Kafka, and compacted again and again: what a round wrote is deleted before
//! the next one. Each round is a process of its own for each number of threads.

pub mod engines;
pub mod report;

use std::path::{Path, PathBuf};

use futures::future::LocalBoxFuture;
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::units::Millis;

use crate::compactor_load::engines::{Engine, EngineRun, Rows};
use crate::compactor_load::report::{Compaction, CompactorLoad};
use crate::error::Result;
use crate::full_topic::{FullTopic, ORGS};
use crate::generator::{GeneratorSettings, Mix};
use crate::own_process::OwnProcess;

/// What to run.
#[derive(Debug, Clone)]
pub struct CompactorLoadOptions {
    /// The `skein` binary, which the rounds run as processes of their own.
    pub binary: PathBuf,
    /// What state is made of.
    pub points: GeneratorSettings,
    /// How often each number of threads runs.
    pub rounds: u32,
    /// How many threads a process has; a row of the report each.
    pub threads: Vec<u32>,
    /// What else sorts, deduplicates and stores the same points, in each round, with the last number of threads.
    pub engines: Vec<Engine>,
    /// Told what is being done.
    pub progress: fn(&str),
}

/// 60-point payloads in 10 s steps of a monitoring mixture of kinds, 2 % duplicates, 1 % late.
pub fn typical(points: u64) -> GeneratorSettings {
    GeneratorSettings {
        orgs: ORGS,
        series: series_of(points),
        points,
        mix: Mix::Monitoring,
        interval: Millis::seconds(10),
        payload_points: 60,
        late_permille: 10,
        duplicate_permille: 20,
        out_of_order_permille: 0,
        ..GeneratorSettings::default()
    }
}

/// As [`typical`], a third of it full-entropy noise, which no encoder makes small.
pub fn noisy(points: u64) -> GeneratorSettings {
    GeneratorSettings {
        mix: Mix::Noisy,
        ..typical(points)
    }
}

/// 4-point payloads, nearly every one of them behind its successor or late, the rest double.
pub fn worst(points: u64) -> GeneratorSettings {
    GeneratorSettings {
        payload_points: 4,
        late_permille: 490,
        out_of_order_permille: 490,
        ..typical(points)
    }
}

/// Points of a series in the window: five and a half hours at one in 10 s.
const SERIES_POINTS: u64 = 2_000;
const MOST_SERIES: u64 = 100_000;

fn series_of(points: u64) -> u32 {
    let series = (points / SERIES_POINTS).clamp(u64::from(ORGS), MOST_SERIES);
    u32::try_from(series).expect("at most 100,000")
}

/// Starts Apache Kafka and `SeaweedFS`, makes the state and runs the rounds.
///
/// # Errors
/// The servers cannot be had, or a process did not come to its end.
pub fn run<'a>(
    options: &'a CompactorLoadOptions,
    directory: &'a Path,
) -> LocalBoxFuture<'a, Result<CompactorLoad>> {
    Box::pin(async move {
        let points = options.points.clone();
        let full = FullTopic::make(points, directory, options.progress).await?;
        let bucket = Bucket::open(&full.settings.bucket.settings()?).await?;
        let skein = OwnProcess {
            binary: &options.binary,
            config: full.stack.config_file(),
        };
        (options.progress)("connecting: Kafka to state");
        let state = skein
            .run(&["connect", "--until-end", "--format", "json"])
            .await?;
        let rows = rows(options, directory).await?;
        let (mut compactions, mut others) = (Vec::new(), Vec::new());
        for number in 1..=options.rounds {
            for threads in &options.threads {
                let (rounds, progress) = (options.rounds, options.progress);
                progress(&format!(
                    "round {number} of {rounds}, {threads} threads: compacting"
                ));
                compactions.push(round(skein, *threads).await?);
                forget(&bucket).await?;
            }
            if let Some(rows) = &rows {
                others.extend(engine_round(options, rows).await?);
            }
        }
        Ok(CompactorLoad {
            state_bytes: state.number("object_bytes")?,
            raw_bytes: state.number("raw_bytes")?,
            compactions,
            others,
        })
    })
}

async fn rows(options: &CompactorLoadOptions, directory: &Path) -> Result<Option<Rows>> {
    if options.engines.is_empty() {
        return Ok(None);
    }
    (options.progress)("writing the points as rows");
    let rows = Rows::make(options.points.clone(), directory).await?;
    Ok(Some(rows))
}

async fn engine_round(options: &CompactorLoadOptions, rows: &Rows) -> Result<Vec<EngineRun>> {
    let threads = options.threads.last().copied().unwrap_or(1);
    let mut runs = Vec::new();
    for engine in &options.engines {
        (options.progress)(&format!("{}, {threads} threads", engine.name()));
        runs.push(rows.run(*engine, threads).await?);
    }
    Ok(runs)
}

async fn round(skein: OwnProcess<'_>, threads: u32) -> Result<Compaction> {
    let set = format!("compactor.threads={threads}");
    let report = skein
        .run(&["compact", "run", "--format", "json", "--set", &set])
        .await?;
    Ok(Compaction {
        threads,
        points_in: report.number("points_in")?,
        points_out: report.number("points_out")?,
        segment_bytes: report.number("segment_bytes")?,
        elapsed_ms: report.number("elapsed_ms")?,
        cpu_ms: report.number("cpu_ms")?,
        peak_memory_bytes: report.number("peak_memory_bytes")?,
        read_requests: report.number("read_requests")?,
        write_requests: report.number("write_requests")?,
    })
}

/// Deletes what a compactor wrote; the state stays.
async fn forget(bucket: &Bucket) -> Result<()> {
    for listed in bucket.list("", None).await? {
        let written = matches!(
            listed.key.parse(),
            Ok(ObjectKey::Manifest { .. }
                | ObjectKey::Segment { .. }
                | ObjectKey::Quarantine { .. }
                | ObjectKey::Seal { .. }
                | ObjectKey::Leaf { .. })
        );
        if written {
            bucket.delete(&listed.key).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_can_be_generated() {
        for set in [typical, noisy, worst] {
            set(1_000_000).check().unwrap();
        }
    }
}
