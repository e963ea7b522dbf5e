//! What the compactor costs, from bucket to bucket.
//!
//! State is made once, by a connector from Kafka, and compacted again and again: what a round wrote is deleted before
//! the next one. Each round is a process of its own for each number of threads.

pub mod report;

use std::path::{Path, PathBuf};

use futures::future::LocalBoxFuture;
use skein_config::Settings;
use skein_config::load::{Layers, load};
use skein_local::apache_kafka::Nodes;
use skein_local::dev_stack::DevStackOptions;
use skein_local::real_stack::RealStack;
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::TopicName;
use tokio_util::sync::CancellationToken;

use crate::compactor_load::report::{Compaction, CompactorLoad};
use crate::error::Result;
use crate::generator::{Generator, GeneratorSettings};
use crate::own_process::OwnProcess;
use crate::producer::{ProduceOptions, produce_generated};

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
    /// Told what is being done.
    pub progress: fn(&str),
}

/// 60-point payloads in 10 s steps of a mixture of kinds, 2 % duplicates, 1 % late.
pub fn typical(points: u64) -> GeneratorSettings {
    GeneratorSettings {
        orgs: ORGS,
        series: series_of(points),
        points,
        payload_points: 60,
        late_permille: 10,
        duplicate_permille: 20,
        out_of_order_permille: 0,
        ..GeneratorSettings::default()
    }
}

/// 4-point payloads, every one of them behind its successor or late.
pub fn worst(points: u64) -> GeneratorSettings {
    GeneratorSettings {
        payload_points: 4,
        late_permille: 500,
        out_of_order_permille: 500,
        ..typical(points)
    }
}

const TOPIC: &str = "load";
const PARTITIONS: u32 = 32;
/// 64 shared shards, all of them hit.
const ORGS: u32 = 80;
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
///
/// # Panics
/// Never: the topic's name is valid.
pub fn run<'a>(
    options: &'a CompactorLoadOptions,
    directory: &'a Path,
) -> LocalBoxFuture<'a, Result<CompactorLoad>> {
    Box::pin(async move {
        (options.progress)("starting Apache Kafka and SeaweedFS");
        let topic = TopicName::new(TOPIC).expect("a word is a topic's name");
        let stack_options = DevStackOptions {
            topics: vec![topic.clone()],
            partitions: PARTITIONS,
            ..DevStackOptions::new(directory.to_path_buf())
        };
        let stack = RealStack::start(&stack_options, Nodes::One).await?;
        let settings = load(&Layers {
            file: Some(stack.config_file().to_path_buf()),
            ..Layers::default()
        })?;
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let skein = OwnProcess {
            binary: &options.binary,
            config: stack.config_file(),
        };
        (options.progress)("sending the points");
        send(&options.points, settings, topic).await?;
        (options.progress)("connecting: Kafka to state");
        let state = skein
            .run(&["connect", "--until-end", "--format", "json"])
            .await?;
        let mut compactions = Vec::new();
        for number in 1..=options.rounds {
            for threads in &options.threads {
                let (rounds, progress) = (options.rounds, options.progress);
                progress(&format!(
                    "round {number} of {rounds}, {threads} threads: compacting"
                ));
                compactions.push(round(skein, *threads).await?);
                forget(&bucket).await?;
            }
        }
        Ok(CompactorLoad {
            state_bytes: state.number("object_bytes")?,
            raw_bytes: state.number("raw_bytes")?,
            compactions,
        })
    })
}

async fn send(points: &GeneratorSettings, settings: Settings, topic: TopicName) -> Result<()> {
    let generator = Generator::new(points.clone())?;
    let sending = move || {
        let options = ProduceOptions {
            kafka: &settings.kafka,
            topic,
            partitions: None,
            backlog: None,
            cancel: CancellationToken::new(),
            progress: |_| {},
        };
        produce_generated(options, &generator)
    };
    let sent = tokio::task::spawn_blocking(sending).await;
    sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    Ok(())
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
                | ObjectKey::Quarantine { .. })
        );
        if written {
            bucket.delete(&listed.key).await?;
        }
    }
    Ok(())
}
