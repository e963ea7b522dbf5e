//! `skein loadtest`: what a role costs on this machine.

mod compactor;
mod memory;

use clap::{Args, Subcommand};
use serde::Serialize;
use skein_config::settings::Need;
use skein_loadtest::connector_load::bare_loop::{self, Work};
use skein_loadtest::connector_load::report::{ConnectorLoad, Consumption, Round};
use skein_loadtest::connector_load::{self, ConnectorLoadOptions};
use skein_loadtest::spread::Spread;
use skein_shared::ids::TopicName;
use skein_shared::units::ByteCount;

use crate::cli::connect::ConnectArgs;
use crate::cli::loadtest::compactor::CompactorArgs;
use crate::cli::loadtest::memory::{MemoryArgs, MemoryWorkerArgs};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Measures what a role costs on this machine
#[derive(Debug, Args)]
pub(crate) struct LoadtestArgs {
    #[command(subcommand)]
    command: LoadtestCommand,
}

#[derive(Debug, Subcommand)]
enum LoadtestCommand {
    Connector(ConnectorArgs),
    Compactor(CompactorArgs),
    Memory(MemoryArgs),
    #[command(hide = true)]
    BareLoop(BareLoopArgs),
    #[command(hide = true)]
    MemoryWorker(MemoryWorkerArgs),
    /// `connect`, ended by the end of its standard input
    #[command(hide = true)]
    MemoryConnect(ConnectArgs),
}

/// The connector beside the cheapest consumers of the same topic, in one run
///
/// Starts Apache Kafka and `SeaweedFS` (fetched once), sends records once for each size, and in each round
/// reads all of them with a bare poll loop, with the same loop that also compresses (zstd level 1, blocks of
/// 1 MiB), and with `skein connect --until-end`, as processes of their own. What counts is the ratio within a
/// round. Exit code 3 when the connector takes more than it promises.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein loadtest connector
  skein loadtest connector --payload-points 110 --size '256 MiB' --rounds 5 --format json")]
struct ConnectorArgs {
    /// Points of a payload, one set of rounds each; 110 make records of about 1 KiB, 3 of about 71 bytes
    #[arg(long, value_delimiter = ',', default_value = "110,3")]
    payload_points: Vec<u32>,
    /// Bytes of values to send for each size
    #[arg(long, default_value = "512 MiB")]
    size: ByteCount,
    /// How often each process runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Reads a topic without doing anything about it
#[derive(Debug, Args)]
struct BareLoopArgs {
    #[arg(long)]
    topic: String,
    #[arg(long)]
    compress: bool,
}

/// One size's figures.
#[derive(Serialize)]
struct Shown<'a> {
    payload_points: u32,
    load: &'a ConnectorLoad,
    cpu_ratio: Spread,
    rate_ratio: Spread,
    broken_promises: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &LoadtestArgs, settings: &SettingsArgs) -> Outcome {
    match &args.command {
        LoadtestCommand::Connector(args) => connector(args),
        LoadtestCommand::Compactor(args) => compactor::compactor(args),
        LoadtestCommand::Memory(args) => memory::memory(args, settings.assignments()),
        LoadtestCommand::BareLoop(args) => bare_loop(args, settings),
        LoadtestCommand::MemoryWorker(args) => memory::memory_worker(args, settings),
        LoadtestCommand::MemoryConnect(args) => memory::memory_connect(args, settings),
    }
}

fn connector(args: &ConnectorArgs) -> Outcome {
    let runtime = runtime()?;
    let mut code = ExitCode::Ok;
    for &payload_points in &args.payload_points {
        let options = ConnectorLoadOptions {
            binary: std::env::current_exe()?,
            payload_points,
            value_bytes: args.size.0,
            rounds: args.rounds,
            progress: |text| eprintln!("skein: {text}"),
        };
        let directory = tempfile::tempdir()?;
        let load = runtime.block_on(connector_load::run(&options, directory.path()))?;
        let broken_promises = load.broken_promises();
        if !broken_promises.is_empty() {
            code = ExitCode::Difference;
        }
        let shown = Shown {
            payload_points,
            cpu_ratio: load.cpu_ratio(),
            rate_ratio: load.rate_ratio(),
            load: &load,
            broken_promises,
        };
        match args.format {
            ReportFormat::Json => output::json(&shown)?,
            ReportFormat::Text => output::text(&text_of(&shown))?,
        }
    }
    Ok(code)
}

fn text_of(shown: &Shown<'_>) -> String {
    let load = shown.load;
    let mean = load.value_bytes / load.records.max(1);
    let row = |name: &str, of: fn(&Round) -> Consumption| {
        vec![
            name.to_owned(),
            spread(load.cpu_seconds_per_gib(of), 2),
            spread(load.megabytes_per_second(of), 0),
            spread(load.peak_mib(of), 0),
        ]
    };
    let table = output::table(
        &["min median max", "CPU-s/GiB", "MB/s", "peak MiB"],
        vec![
            row("bare loop", |round| round.bare),
            row("reads and compresses", |round| round.compressing),
            row("connector", |round| round.connector),
        ],
    );
    let stored = format!(
        "objects of {} MiB on average, {} writes for each GiB stored",
        spread(load.object_mib(), 1),
        spread(load.writes_per_gib(), 0),
    );
    let broken = shown.broken_promises.iter();
    let broken: Vec<String> = broken.map(|it| format!("PROMISE BROKEN: {it}\n")).collect();
    format!(
        "{} records, {} bytes of values, {mean} bytes a record\n{table}\
         connector / reads and compresses: processor time {}, rate {}\n{stored}\n{}",
        load.records,
        load.value_bytes,
        spread(shown.cpu_ratio, 2),
        spread(shown.rate_ratio, 2),
        broken.concat(),
    )
}

fn spread(figures: Spread, digits: usize) -> String {
    let Spread { min, median, max } = figures;
    format!("{min:.digits$} {median:.digits$} {max:.digits$}")
}

fn bare_loop(args: &BareLoopArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Brokers])?;
    let topic = TopicName::new(args.topic.as_str()).map_err(Failure::usage)?;
    let queue = settings.connector.memory_shares().kafka_queue;
    let work = if args.compress {
        Work::Compress
    } else {
        Work::Poll
    };
    output::json(&bare_loop::run(&settings.kafka, queue, &topic, work)?)?;
    Ok(ExitCode::Ok)
}
