//! What the connector costs beside the cheapest consumers of the same topic, in one run.
//!
//! Each round runs three processes one after the other over one topic: a bare poll loop, the same loop that
//! also compresses what it reads, and `skein connect --until-end`. Machines are noisy, so what counts is the
//! ratio within a round.

pub mod bare_loop;
pub mod report;

use std::path::{Path, PathBuf};

use futures::future::LocalBoxFuture;

use crate::connector_load::report::{ConnectorLoad, Consumption, Round, Stored};
use crate::error::Result;
use crate::full_topic::{FullTopic, ORGS, TOPIC};
use crate::generator::GeneratorSettings;
use crate::own_process::{OwnProcess, ProcessReport};

/// What to run.
#[derive(Debug, Clone)]
pub struct ConnectorLoadOptions {
    /// The `skein` binary, which the rounds run as processes of their own.
    pub binary: PathBuf,
    /// Points of a payload, which decides the size of a record.
    pub payload_points: u32,
    /// Bytes of record values to send.
    pub value_bytes: u64,
    /// How often each process runs.
    pub rounds: u32,
    /// Told what is being done.
    pub progress: fn(&str),
}

/// 70 shards: 64 shared ones and six of their own.
const SHARDS: &str = "dedicated=[1000,1001,1002,1003,1004,1005]";
/// Points and bytes of a payload grow together; this is near enough to choose how many points to send.
const BYTES_PER_POINT: u64 = 10;

/// Starts Apache Kafka and `SeaweedFS`, sends the records once and runs the rounds.
///
/// # Errors
/// The servers cannot be had, or a process did not come to its end.
pub fn run<'a>(
    options: &'a ConnectorLoadOptions,
    directory: &'a Path,
) -> LocalBoxFuture<'a, Result<ConnectorLoad>> {
    Box::pin(async move {
        let points = GeneratorSettings {
            orgs: ORGS,
            points: options.value_bytes / BYTES_PER_POINT,
            payload_points: options.payload_points,
            ..GeneratorSettings::default()
        };
        let full = FullTopic::make(points, directory, options.progress).await?;
        let mut rounds = Vec::new();
        for number in 1..=options.rounds {
            (options.progress)(&format!("round {number} of {}", options.rounds));
            rounds.push(round(options, full.stack.config_file(), number).await?);
        }
        Ok(ConnectorLoad {
            records: full.sent.records,
            value_bytes: full.sent.value_bytes,
            rounds,
        })
    })
}

async fn round(options: &ConnectorLoadOptions, config: &Path, number: u32) -> Result<Round> {
    let bare = ["loadtest", "bare-loop", "--topic", TOPIC];
    let compress = [&bare[..], &["--compress"]].concat();
    let prefix = format!("bucket.url=\"s3://skein/round-{number}\"");
    let group = format!("kafka.group=\"round-{number}\"");
    let shards = format!("shards.{SHARDS}");
    let connect = [
        "connect",
        "--until-end",
        "--format",
        "json",
        "--set",
        &prefix,
        "--set",
        &group,
        "--set",
        &shards,
    ];
    let skein = OwnProcess {
        binary: &options.binary,
        config,
    };
    let bare = skein.run(&bare).await?;
    let compressing = skein.run(&compress).await?;
    let connector = skein.run(&connect).await?;
    Ok(Round {
        bare: consumption(&bare)?,
        compressing: consumption(&compressing)?,
        connector: consumption(&connector)?,
        stored: Stored {
            objects: connector.number("objects")?,
            object_bytes: connector.number("object_bytes")?,
            write_requests: connector.number("write_requests")?,
        },
    })
}

fn consumption(report: &ProcessReport) -> Result<Consumption> {
    Ok(Consumption {
        records: report.number("records")?,
        cpu_ms: report.number("cpu_ms")?,
        reading_ms: report.number("reading_ms")?,
        peak_memory_bytes: report.number("peak_memory_bytes")?,
    })
}
