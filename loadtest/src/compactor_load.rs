//! What the compactor costs, from bucket to bucket, and whether it keeps its memory budget.
//!
//! State is made once, by a connector from Kafka, and compacted again and again: what a round wrote is deleted before
//! the next one. Each round is a process of its own for each number of threads.

pub mod engines;
pub mod report;

use std::path::{Path, PathBuf};

use futures::future::LocalBoxFuture;
use skein_config::bucket::BucketSection;
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::TimestampMs;

use crate::compactor_load::engines::{Engine, EngineRun, Rows};
use crate::compactor_load::report::{Compaction, CompactorLoad, Store};
use crate::error::{Error, Result};
use crate::full_topic::{FullTopic, ORGS};
use crate::generator::{GeneratorSettings, Mix};
use crate::own_process::{OwnProcess, ProcessReport};

/// What to run.
#[derive(Debug, Clone)]
pub struct CompactorLoadOptions {
    /// The `skein` binary, which the rounds run as processes of their own.
    pub binary: PathBuf,
    /// What state is made of.
    pub points: GeneratorSettings,
    /// Where state lies and segments go.
    pub store: Store,
    /// `compactor.memory_budget`, which has to be kept; `None` leaves the default and looks at nothing.
    pub budget: Option<ByteCount>,
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

/// One series, a point in 10 ms and a payload each, most of them double: the first [`WINDOW_POINTS`] lie in one window,
/// and take as many bytes as points can.
pub fn one_series(points: u64) -> GeneratorSettings {
    GeneratorSettings {
        orgs: 1,
        series: 1,
        interval: Millis(10),
        // From the beginning of a window.
        start: TimestampMs(1_704_067_200_000),
        payload_points: 1,
        late_permille: 0,
        duplicate_permille: 900,
        ..typical(points)
    }
}

/// Points of [`one_series`] in a window.
pub const WINDOW_POINTS: u64 = 86_400_000 / 10;

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
        let place = Place::of(options, &full, directory)?;
        (options.progress)("connecting: Kafka to state");
        let connect = ["connect", "--until-end", "--format", "json"];
        let state = place.run(&connect).await?;
        // Where nothing is asked of them the servers would only take memory and time.
        let servers = match options.store {
            Store::S3 => Some(full.stack),
            Store::File => None,
        };
        let bucket = Bucket::open(&place.bucket.settings()?).await?;
        let rows = rows(options, directory).await?;
        let (mut compactions, mut others) = (Vec::new(), Vec::new());
        for number in 1..=options.rounds {
            for threads in &options.threads {
                let (rounds, progress) = (options.rounds, options.progress);
                progress(&format!(
                    "round {number} of {rounds}, {threads} threads: compacting"
                ));
                compactions.push(place.compact(*threads, options.budget).await?);
                forget(&bucket).await?;
            }
            if let Some(rows) = &rows {
                others.extend(engine_round(options, rows).await?);
            }
        }
        drop(servers);
        Ok(CompactorLoad {
            store: options.store,
            budget: options.budget,
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

/// What processes are started with.
struct Place {
    binary: PathBuf,
    config: PathBuf,
    bucket: BucketSection,
}

impl Place {
    fn of(options: &CompactorLoadOptions, full: &FullTopic, directory: &Path) -> Result<Self> {
        let mut bucket = full.settings.bucket.clone();
        if options.store == Store::File {
            let folder = directory.join("bucket");
            std::fs::create_dir(&folder).map_err(|error| Error::Process {
                command: format!("mkdir {}", folder.display()),
                reason: error.to_string(),
            })?;
            bucket.url = format!("file://{}", folder.display());
        }
        Ok(Self {
            binary: options.binary.clone(),
            config: full.stack.config_file().to_owned(),
            bucket,
        })
    }

    async fn run(&self, arguments: &[&str]) -> Result<ProcessReport> {
        let skein = OwnProcess {
            binary: &self.binary,
            config: &self.config,
        };
        let bucket = ["--bucket", &self.bucket.url];
        skein.run(&[arguments, &bucket].concat()).await
    }

    async fn compact(&self, threads: u32, budget: Option<ByteCount>) -> Result<Compaction> {
        let threads_set = format!("compactor.threads={threads}");
        let budget_set = budget.map(|budget| format!("compactor.memory_budget=\"{budget}\""));
        let mut arguments = vec!["compact", "run", "--format", "json", "--set", &threads_set];
        if let Some(set) = &budget_set {
            arguments.extend(["--set", set]);
        }
        let report = self.run(&arguments).await?;
        Ok(Compaction {
            threads,
            points_in: report.number("points_in")?,
            points_out: report.number("points_out")?,
            segment_bytes: report.number("segment_bytes")?,
            elapsed_ms: report.number("elapsed_ms")?,
            cpu_ms: report.number("cpu_ms")?,
            peak_memory_bytes: report.number("peak_memory_bytes")?,
            spilled_bytes: report.number("spilled_bytes")?,
            read_requests: report.number("read_requests")?,
            write_requests: report.number("write_requests")?,
        })
    }
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
                | ObjectKey::Leaf { .. }
                | ObjectKey::Account { .. })
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
        for set in [typical, noisy, worst, one_series] {
            set(1_000_000).check().unwrap();
        }
    }
}
