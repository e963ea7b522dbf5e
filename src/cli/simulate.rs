//! `skein simulate`: the connector's core in worlds that fail.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};
use skein_gamedays::cutover_history::history_range;
use skein_gamedays::cutover_history::mutant::{TRAPS, Trap};
use skein_gamedays::mutants::{BUGS, Bug};
use skein_gamedays::seed_range::{
    self, Failure as FailedSeed, Progress, RangeOptions, RangeReport, SeedReport, Tally,
};

use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Proves promises of connector and cutovers in simulated worlds, a seed each
///
/// Of the connector: drives the connector's own decisions on a virtual clock, with a model Kafka and a model S3 that stall, throttle, lie
/// and lose answers, processes that are killed and paused, and a janitor at any moment; checks every promise after every
/// step. Of cutovers: two pipelines, late and repeated points, nodes that are cut off, and operators that go forward and back;
/// checks after every step that a read is what one system would have returned. The same seed gives the same world: a failing one is printed with the command that replays it. Exits with 3
/// when a promise was broken.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// What is simulated
    #[arg(value_enum, default_value_t = Subject::Connector)]
    subject: Subject,
    /// Which seeds, first included, last not
    #[arg(long, value_name = "A..B", value_parser = seed_span, default_value = "0..10000")]
    seeds: Range<u64>,
    /// Switches a known bug on, which the seeds are then to find
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// Lists the known bugs and who had them
    #[arg(long)]
    list_mutants: bool,
    /// Prints everything that happens in the first of the seeds
    #[arg(long)]
    trace: bool,
    /// Threads; 0 is one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Failing seeds after which no more are begun
    #[arg(long, default_value_t = 1, value_name = "N")]
    failures: usize,
    /// Form of the closing report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The connector's core in worlds that fail
    Connector,
    /// Histories of cutovers between two pipelines
    Cutover,
    /// The same, where operators go by the product's verbs
    Verbs,
}

/// Time between two lines of progress.
const PROGRESS_MS: u64 = 2_000;

#[derive(Serialize)]
struct Report {
    seeds: u64,
    mutant: Option<String>,
    failures: Vec<FailureRow>,
    elapsed_ms: u128,
    seeds_per_second: f64,
    #[serde(serialize_with = "as_map")]
    counts: Vec<(&'static str, u64)>,
}

#[derive(Serialize)]
struct FailureRow {
    seed: u64,
    reason: String,
    replay: String,
}

/// What one seed did, line by line, and the promise that broke.
type Traced = (Vec<String>, Option<FailedSeed>);

/// How one seed is run, and told.
struct Runner<M, C> {
    run: fn(u64, Option<M>) -> SeedReport<C>,
    trace: fn(u64, Option<M>) -> Traced,
}

#[derive(Serialize)]
struct BugRow {
    name: &'static str,
    origin: &'static str,
    caught_by_seed: u64,
}

/// Runs it.
pub(crate) fn run(args: &SimulateArgs) -> Outcome {
    if args.list_mutants {
        return list_mutants(args);
    }
    seed_range::keep_panics_quiet();
    let mutant = args.mutant.as_deref();
    match args.subject {
        Subject::Connector => {
            let bug = mutant.map(|name| known(Bug::named(name), name));
            let runner = Runner {
                run: seed_range::run_seed,
                trace: seed_range::trace_seed,
            };
            run_seeds(args, bug.transpose()?.map(|bug| bug.mutation), &runner)
        }
        Subject::Cutover | Subject::Verbs => {
            let trap = mutant.map(|name| known(Trap::named(name), name));
            let by_verbs = Runner {
                run: history_range::run_product_seed,
                trace: history_range::trace_product_seed,
            };
            let by_model = Runner {
                run: history_range::run_seed,
                trace: history_range::trace_seed,
            };
            let runner = if args.subject == Subject::Verbs {
                by_verbs
            } else {
                by_model
            };
            run_seeds(args, trap.transpose()?.map(|trap| trap.mutant), &runner)
        }
    }
}

fn run_seeds<M: Copy + Sync, C: Tally>(
    args: &SimulateArgs,
    mutation: Option<M>,
    runner: &Runner<M, C>,
) -> Outcome {
    if args.trace {
        return trace((runner.trace)(args.seeds.start, mutation));
    }
    let options = RangeOptions {
        seeds: args.seeds.clone(),
        mutation,
        enough_failures: args.failures.max(1),
        threads: args.threads,
    };
    let report = seed_range::run_each(&options, runner.run, teller());
    let report = Report::of(&report, args);
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&report.shown())?,
    }
    Ok(if report.failures.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

fn known<T>(named: Option<T>, name: &str) -> Result<T, Failure> {
    named.ok_or_else(|| {
        Failure::usage(format!(
            "no such mutant; --mutant=`{name}`; `skein simulate --list-mutants` lists them"
        ))
    })
}

fn seed_span(text: &str) -> Result<Range<u64>, String> {
    let refusal = || format!("`{text}` is not `A..B` with A below B");
    let (first, end) = text.split_once("..").ok_or_else(refusal)?;
    let first = first.parse().map_err(|_| refusal())?;
    let end = end.parse().map_err(|_| refusal())?;
    if first < end {
        Ok(first..end)
    } else {
        Err(refusal())
    }
}

fn list_mutants(args: &SimulateArgs) -> Outcome {
    let bug = |bug: Bug| BugRow {
        name: bug.name,
        origin: bug.origin,
        caught_by_seed: bug.caught_by,
    };
    let trap = |trap: Trap| BugRow {
        name: trap.name,
        origin: trap.words,
        caught_by_seed: trap.caught_by,
    };
    let rows: Vec<BugRow> = match args.subject {
        Subject::Connector => BUGS.into_iter().map(bug).collect(),
        Subject::Cutover | Subject::Verbs => TRAPS.into_iter().map(trap).collect(),
    };
    match args.format {
        ReportFormat::Json => output::json(&rows.as_slice())?,
        ReportFormat::Text => {
            let line = |row: &BugRow| format!("{:34} {}", row.name, row.origin);
            output::lines(&rows.iter().map(line).collect::<Vec<_>>())?;
        }
    }
    Ok(ExitCode::Ok)
}

fn trace((mut lines, failure): Traced) -> Outcome {
    let code = match failure {
        Some(failure) => {
            lines.push(failure.words);
            ExitCode::Difference
        }
        None => ExitCode::Ok,
    };
    output::lines(&lines)?;
    Ok(code)
}

/// Tells the progress, but not each time it is told.
fn teller() -> impl Fn(Progress) + Sync {
    let next = AtomicU64::new(PROGRESS_MS);
    move |progress| {
        let Progress {
            done,
            seeds,
            elapsed,
        } = progress;
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let due = next.load(Ordering::Relaxed);
        let is_mine = due <= elapsed_ms
            && next
                .compare_exchange(
                    due,
                    elapsed_ms + PROGRESS_MS,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if is_mine {
            let rate = per_second(done, elapsed);
            eprintln!("{done} of {seeds} seeds, {rate:.0}/s");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(seeds: u64, elapsed: Duration) -> f64 {
    seeds as f64 / elapsed.as_secs_f64().max(0.001)
}

fn as_map<S: Serializer>(counts: &[(&'static str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().copied())
}

impl Report {
    fn of<C: Tally>(report: &RangeReport<C>, args: &SimulateArgs) -> Self {
        let mutant = args.mutant.clone();
        let subject = match args.subject {
            Subject::Connector => "",
            Subject::Cutover => " cutover",
            Subject::Verbs => " verbs",
        };
        let row = |failed: &FailedSeed| {
            let seed = failed.seed;
            let with = mutant.as_ref().map(|name| format!(" --mutant {name}"));
            FailureRow {
                seed,
                reason: failed.words.clone(),
                replay: format!(
                    "skein simulate{subject} --seeds {seed}..{}{} --trace",
                    seed + 1,
                    with.unwrap_or_default()
                ),
            }
        };
        Self {
            seeds: report.seeds,
            failures: report.failures.iter().map(row).collect(),
            mutant,
            elapsed_ms: report.elapsed.as_millis(),
            seeds_per_second: per_second(report.seeds, report.elapsed),
            counts: report.counts.named(),
        }
    }

    fn shown(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for FailureRow {
            seed,
            reason,
            replay,
        } in &self.failures
        {
            lines.push(format!("seed {seed}: {reason}\n  replay: {replay}"));
        }
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        lines.push(counts.join(", "));
        lines.push(format!(
            "{} seeds, {} failed, in {} ms: {:.0} seeds/s",
            self.seeds,
            self.failures.len(),
            self.elapsed_ms,
            self.seeds_per_second
        ));
        lines
    }
}
