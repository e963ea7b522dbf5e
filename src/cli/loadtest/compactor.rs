//! `skein loadtest compactor`: what it costs to make segments of state, and whether it keeps its memory budget.

use clap::{Args, ValueEnum};
use serde::Serialize;
use skein_loadtest::compactor_load::engines::{Engine, EngineRun};
use skein_loadtest::compactor_load::report::{CompactorLoad, MEMORY_BESIDE_BUDGET, Store};
use skein_loadtest::compactor_load::{self, CompactorLoadOptions};
use skein_shared::units::ByteCount;

use crate::cli::loadtest::spread;
use crate::cli::runtime;
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::{self, ReportFormat};

/// The compactor, from bucket to bucket
///
/// Starts Apache Kafka and `SeaweedFS` (fetched once), makes state once, and compacts all of it in each round, as
/// processes of their own: points for each second of processor time (requests included) and of wall time, bytes for
/// each point, memory and requests. With `--bucket file` state and segments are files, and no server runs meanwhile.
/// With `--memory-budget` it ends with exit code 3 when a compaction takes more than that and 128 MiB, or spills less
/// than ten times as much.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein loadtest compactor
  skein loadtest compactor --points 20000000 --set-of worst --rounds 1 --format json
  skein loadtest compactor --bucket file --points 20000000 --threads 1,2
  skein loadtest compactor --bucket file --points 60000000 --set-of worst --memory-budget '128 MiB' --rounds 1
  skein loadtest compactor --bucket file --points 8640000 --set-of one-series --memory-budget '128 MiB' --rounds 1
  skein loadtest compactor --points 20000000 --threads 2 --with duckdb,spark")]
pub(super) struct CompactorArgs {
    /// How many points, each time of a series counted once
    #[arg(long, default_value_t = 200_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    points: u64,
    /// What the points are like
    #[arg(long, default_value = "typical")]
    set_of: PointSet,
    /// Where state lies and segments go: `s3` is `SeaweedFS` on the same cores
    // The name of the flag that all commands have, which says nothing here: so its type has to be the same.
    #[arg(long, default_value = "s3", value_parser = ["s3", "file"])]
    bucket: String,
    /// `compactor.memory_budget`, which has to be kept
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<ByteCount>,
    /// How often each number of threads runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Tasks at the same time, one row each
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<u32>,
    /// Engines that sort, deduplicate and store the same points as Parquet, in each round; fetched once
    #[arg(long = "with", value_delimiter = ',')]
    engines: Vec<EngineArg>,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineArg {
    /// `DuckDB`, in one process
    Duckdb,
    /// Apache Spark, in one JVM; 20 million points suffice
    Spark,
}

impl From<EngineArg> for Engine {
    fn from(engine: EngineArg) -> Self {
        match engine {
            EngineArg::Duckdb => Self::Duckdb,
            EngineArg::Spark => Self::Spark,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PointSet {
    /// 60-point payloads in 10 s steps, 2 % duplicates, 1 % late: 30 % counters, 30 % gauges, 20 % integers, 15 %
    /// constants, 5 % noise
    Typical,
    /// The same with 35 % noise, which no encoder makes small
    Noisy,
    /// As typical, in 4-point payloads that come in disorder
    Worst,
    /// One series, a point in 10 ms and a payload each, most of them double: 8,640,000 fill a window
    OneSeries,
}

#[derive(Serialize)]
struct Shown<'a> {
    load: &'a CompactorLoad,
    broken_promises: &'a [String],
}

/// Runs it.
pub(super) fn compactor(args: &CompactorArgs) -> Outcome {
    let options = CompactorLoadOptions {
        binary: std::env::current_exe()?,
        points: match args.set_of {
            PointSet::Typical => compactor_load::typical(args.points),
            PointSet::Noisy => compactor_load::noisy(args.points),
            PointSet::Worst => compactor_load::worst(args.points),
            PointSet::OneSeries => compactor_load::one_series(args.points),
        },
        store: match args.bucket.as_str() {
            "file" => Store::File,
            _ => Store::S3,
        },
        budget: args.memory_budget,
        rounds: args.rounds,
        threads: args.threads.clone(),
        engines: args.engines.iter().copied().map(Engine::from).collect(),
        progress: |text| eprintln!("skein: {text}"),
    };
    let directory = tempfile::tempdir()?;
    let load = runtime()?.block_on(compactor_load::run(&options, directory.path()))?;
    let broken_promises = load.broken_promises();
    match args.format {
        ReportFormat::Json => output::json(&Shown {
            load: &load,
            broken_promises: &broken_promises,
        })?,
        ReportFormat::Text => output::text(&text_of(&load))?,
    }
    if !load.differing().is_empty() || !broken_promises.is_empty() {
        return Ok(ExitCode::Difference);
    }
    Ok(ExitCode::Ok)
}

fn text_of(load: &CompactorLoad) -> String {
    let row = |threads: u32| {
        vec![
            threads.to_string(),
            spread(load.points_per_cpu_second(threads), 0),
            spread(load.points_per_second(threads), 0),
            spread(load.bytes_per_point(threads), 3),
            spread(load.peak_mib(threads), 0),
            spread(load.requests(threads), 0),
        ]
    };
    let head = [
        "threads",
        "points/CPU-s",
        "points/s",
        "B/point",
        "peak MiB",
        "requests",
    ];
    let table = output::table(&head, load.threads().into_iter().map(row).collect());
    let store = match load.store {
        Store::S3 => "from S3 to S3, on the same cores",
        Store::File => "from files to files, without a server",
    };
    format!(
        "{store}: {} bytes of records, {} bytes of state\nmin median max\n{table}{}{}{}",
        load.raw_bytes,
        load.state_bytes,
        text_of_threads(load),
        text_of_memory(load),
        text_of_engines(load)
    )
}

/// What more threads bring, where one thread was measured too.
fn text_of_threads(load: &CompactorLoad) -> String {
    let threads = load.threads();
    if !threads.contains(&1) {
        return String::new();
    }
    let more = threads.iter().filter(|threads| **threads > 1);
    let lines = more.map(|threads| {
        let times = load.times_of_one_thread(*threads);
        format!("{threads} threads take in {times:.2} times the points/s of one\n")
    });
    lines.collect()
}

/// How the budget was kept, where one is.
fn text_of_memory(load: &CompactorLoad) -> String {
    let Some(budget) = load.budget else {
        return String::new();
    };
    let rounds = load.compactions.iter().map(|it| {
        format!(
            "{} threads: peak {} MiB of {} (budget {}), {} MiB spilled\n",
            it.threads,
            it.peak_memory_bytes >> 20,
            (budget.0 + MEMORY_BESIDE_BUDGET.0) >> 20,
            budget.0 >> 20,
            it.spilled_bytes >> 20,
        )
    });
    let broken = load.broken_promises();
    let broken = broken.iter().map(|it| format!("PROMISE BROKEN: {it}\n"));
    rounds.chain(broken).collect()
}

fn text_of_engines(load: &CompactorLoad) -> String {
    let engines = load.engines();
    if engines.is_empty() {
        return String::new();
    }
    let row = |engine: Engine| {
        let of = |figure: fn(&EngineRun) -> f64| load.of_engine(engine, figure);
        vec![
            engine.name().to_owned(),
            spread(of(EngineRun::points_per_cpu_second), 0),
            spread(of(EngineRun::points_per_second), 0),
            spread(of(EngineRun::bytes_per_point), 3),
            spread(of(EngineRun::peak_mib), 0),
            format!("{:.1}", load.times_of_engine(engine)),
        ]
    };
    let head = [
        "engine",
        "points/CPU-s",
        "points/s",
        "B/point",
        "peak MiB",
        "compactor/engine",
    ];
    let table = output::table(&head, engines.into_iter().map(row).collect());
    let differing = load.differing();
    let differing: Vec<String> = differing
        .iter()
        .map(|it| format!("{} LEFT ANOTHER NUMBER OF POINTS\n", it.name()))
        .collect();
    format!("{table}{}", differing.concat())
}
