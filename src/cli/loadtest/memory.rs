//! `skein loadtest memory`: whether a connector keeps its memory, whatever comes.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use skein_config::settings::Need;
use skein_loadtest::memory_load::compressed_topic::{self, CompressedTopic};
use skein_loadtest::memory_load::parent_watch::end_with_parent;
use skein_loadtest::memory_load::report::Measured;
use skein_loadtest::memory_load::scenario::{Scenario, Skew};
use skein_loadtest::memory_load::{self, MemoryLoadOptions, worker};
use skein_local::apache_kafka::Nodes;
use skein_shared::units::{ByteCount, Millis};

use crate::cli::connect::{self, ConnectArgs};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Whether a connector keeps its memory budget: partitions, shards and skews, with a bucket that stops answering
///
/// For each combination one worker process runs the real pipeline on records that are made as it asks for them, and
/// writes to an embedded bucket in this process. Once it reads, the bucket stops answering, until fetching has
/// paused for longer than the group's session; then it answers again and everything has to be caught up. Where a
/// control group may be made, the kernel kills a worker that takes more than its budget and the stated constant.
/// Exit code 3 when a promise is broken.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein loadtest memory
  skein loadtest memory --partitions 10000 --shards 1000 --skew even --record-bytes 71 --format json")]
pub(super) struct MemoryArgs {
    /// Partitions of the topic
    #[arg(long, value_delimiter = ',', default_value = "1,100,10000")]
    partitions: Vec<u32>,
    /// Shards, each of one org
    #[arg(long, value_delimiter = ',', default_value = "1,70,1000")]
    shards: Vec<u32>,
    /// How records are spread
    #[arg(long, value_delimiter = ',', default_value = "even,hot-partition,one-org",
        value_parser = ["even", "hot-partition", "one-org"])]
    skew: Vec<String>,
    /// Bytes of a record's value
    #[arg(long, value_delimiter = ',', default_value = "1024",
        value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    record_bytes: Vec<u32>,
    /// Records that come of one partition before another's
    #[arg(long, value_delimiter = ',', default_value = "16",
        value_parser = clap::value_parser!(u32).range(1..))]
    batch_records: Vec<u32>,
    /// `connector.memory_budget`; without it, the smallest that shards and partitions allow
    #[arg(long)]
    budget: Option<ByteCount>,
    /// Bytes of values as a multiple of the budget, so that fetching has to pause
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    budgets_of_records: u64,
    /// How long the bucket does not answer after fetching has paused
    #[arg(long, default_value = "8 s")]
    stall: Millis,
    /// How long a member of the group may be silent
    #[arg(long, default_value = "6 s")]
    session: Millis,
    /// Instead: batches that are 20 times as large once they are unpacked, on Apache Kafka (fetched once) with this
    /// many nodes, 1 or 3, read by `skein connect`
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3),
        conflicts_with_all = ["partitions", "shards", "skew", "record_bytes", "batch_records"])]
    kafka_nodes: Option<u32>,
    /// How long one scenario may take
    #[arg(long, default_value = "10 min")]
    patience: Millis,
    /// Form of the report: a line for each scenario as it ends, or one JSON document
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// The worker of one scenario
#[derive(Debug, Args)]
pub(super) struct MemoryWorkerArgs {
    #[arg(long)]
    scenario: String,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    measured: Measured,
    promised_bytes: u64,
    broken_promises: Vec<String>,
}

pub(super) fn memory(args: &MemoryArgs, set: &[String]) -> Outcome {
    let runtime = runtime()?;
    let options = MemoryLoadOptions {
        binary: std::env::current_exe()?,
        stall: args.stall.duration(),
        patience: args.patience.duration(),
        set: set.to_vec(),
    };
    if options.stall <= Duration::from_millis(args.session.0) {
        return Err(Failure::usage(
            "--stall must be longer than --session, or it proves nothing",
        ));
    }
    if let Some(nodes) = args.kafka_nodes {
        return compressed(args, &options, nodes);
    }
    let mut shown = Vec::new();
    for scenario in scenarios(args)? {
        eprintln!("skein: {}", name(&scenario));
        let directory = tempfile::tempdir()?;
        let measured = runtime.block_on(memory_load::run(&options, scenario, directory.path()))?;
        let one = Shown {
            promised_bytes: measured.promised_bytes(),
            broken_promises: measured.broken_promises(),
            measured,
        };
        if let ReportFormat::Text = args.format {
            eprintln!("{}", line(&one));
        }
        shown.push(one);
    }
    match args.format {
        ReportFormat::Json => output::json(&shown)?,
        ReportFormat::Text => output::text(&text_of(&shown))?,
    }
    let kept = shown.iter().all(|one| one.broken_promises.is_empty());
    Ok(if kept {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

#[derive(Serialize)]
struct ShownTopic {
    #[serde(flatten)]
    measured: CompressedTopic,
    ratio: u64,
    promised_bytes: u64,
    broken_promises: Vec<String>,
}

fn compressed(args: &MemoryArgs, options: &MemoryLoadOptions, nodes: u32) -> Outcome {
    let nodes = match nodes {
        1 => Nodes::One,
        3 => Nodes::Three,
        other => return Err(Failure::usage(format!("--kafka-nodes {other}: 1 or 3"))),
    };
    let directory = tempfile::tempdir()?;
    let what = (nodes, args.budget, args.session);
    let measured = runtime()?.block_on(compressed_topic::run(options, what, directory.path()))?;
    let shown = ShownTopic {
        ratio: measured.ratio(),
        promised_bytes: measured.promised_bytes(),
        broken_promises: measured.broken_promises(),
        measured,
    };
    match args.format {
        ReportFormat::Json => output::json(&shown)?,
        ReportFormat::Text => output::lines(&lines_of(&shown))?,
    }
    Ok(if shown.broken_promises.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

fn lines_of(shown: &ShownTopic) -> Vec<String> {
    let measured = &shown.measured;
    let mut lines = vec![format!(
        "{} records, {} MiB unpacked, {} times as large as sent, {} nodes; bucket silent for {} ms, {} pauses
peak {} MiB, promised {} (budget {}), {} records durable, limited by the kernel: {}",
        measured.records,
        measured.value_bytes >> 20,
        shown.ratio,
        measured.nodes,
        measured.stalled_ms,
        measured.pauses,
        measured.peak_bytes >> 20,
        shown.promised_bytes >> 20,
        measured.budget_bytes >> 20,
        measured.durable_records,
        if measured.is_caged { "yes" } else { "no" },
    )];
    let broken = shown.broken_promises.iter();
    lines.extend(broken.map(|it| format!("PROMISE BROKEN: {it}")));
    lines
}

pub(super) fn memory_worker(args: &MemoryWorkerArgs, settings: &SettingsArgs) -> Outcome {
    end_with_parent()?;
    let settings = settings.start(&[Need::Bucket])?;
    let scenario = Scenario::of_json(&args.scenario)?;
    runtime()?.block_on(worker::run(scenario, &settings))?;
    Ok(ExitCode::Ok)
}

pub(super) fn memory_connect(args: &ConnectArgs, settings: &SettingsArgs) -> Outcome {
    end_with_parent()?;
    connect::run(args, settings)
}

fn scenarios(args: &MemoryArgs) -> Result<Vec<Scenario>, Failure> {
    let mut all = Vec::new();
    for &shards in &args.shards {
        for &partitions in &args.partitions {
            let floor = Scenario::floor(shards, partitions);
            let budget = args.budget.unwrap_or(floor);
            let template = Scenario {
                partitions,
                shards,
                skew: Skew::Even,
                record_bytes: 16,
                batch_records: 1,
                budget_bytes: budget.0,
                volume_bytes: budget.0.saturating_mul(args.budgets_of_records),
                session_ms: args.session.0,
            };
            for skew in &args.skew {
                let skew = Skew::of_name(skew).expect("the command line takes only names of skews");
                all.extend(of_sizes(args, &Scenario { skew, ..template }));
            }
        }
    }
    for scenario in &all {
        // What the worker will read from its command line has to be sound.
        Scenario::of_json(&scenario.to_json())?;
    }
    Ok(all)
}

fn of_sizes(args: &MemoryArgs, template: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for &record_bytes in &args.record_bytes {
        all.extend(args.batch_records.iter().map(|&batch_records| Scenario {
            record_bytes,
            batch_records,
            ..*template
        }));
    }
    all
}

fn name(scenario: &Scenario) -> String {
    format!(
        "{} partitions, {} shards, {}, {} B by {}",
        scenario.partitions,
        scenario.shards,
        scenario.skew.name(),
        scenario.record_bytes,
        scenario.batch_records
    )
}

fn line(one: &Shown) -> String {
    let broken = one.broken_promises.join("; ");
    let word = if broken.is_empty() { "kept" } else { "BROKEN" };
    let peak = one.measured.last.map_or(0, |last| last.peak_bytes);
    format!(
        "  {word}: {} of {} MiB {broken}",
        peak >> 20,
        one.promised_bytes >> 20
    )
}

fn text_of(shown: &[Shown]) -> String {
    let mib = |bytes: u64| (bytes >> 20).to_string();
    let row = |one: &Shown| {
        let measured = &one.measured;
        let of = |figure: fn(&worker::Said) -> String| {
            measured
                .last
                .as_ref()
                .map_or_else(|| "-".to_owned(), figure)
        };
        vec![
            name(&measured.scenario),
            mib(measured.scenario.budget_bytes),
            mib(one.promised_bytes),
            of(|said| (said.peak_bytes >> 20).to_string()),
            of(|said| (said.baseline_bytes >> 20).to_string()),
            of(|said| format!("{:.1}", Duration::from_millis(said.paused_ms).as_secs_f64())),
            of(|said| said.longest_silence_ms.to_string()),
            of(|said| if said.caught_up { "yes" } else { "NO" }.to_owned()),
            if measured.is_caged { "yes" } else { "no" }.to_owned(),
        ]
    };
    let head = [
        "scenario",
        "budget",
        "promised",
        "peak",
        "at start",
        "paused s",
        "silent ms",
        "caught up",
        "limited",
    ];
    let table = output::table(&head, shown.iter().map(row).collect());
    let broken = shown.iter().flat_map(|one| {
        let name = name(&one.measured.scenario);
        let broken = one.broken_promises.iter();
        broken.map(move |it| format!("PROMISE BROKEN: {name}: {it}\n"))
    });
    format!(
        "MiB, and the worker's own memory alone\n{table}{}",
        broken.collect::<String>()
    )
}
