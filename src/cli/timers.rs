//! `skein timers`: what compactions took, stage by stage.

use std::str::FromStr;

use clap::Args;
use skein_config::settings::Need;
use skein_reader::inspect::timers::{Comparison, RunRow, StageRow, compare, find, newest};
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::{Attempt, ObjectKey};

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Shows what the stages of compactions took: of the newest, of the last ones, or of two side by side
///
/// Each `compact run` and `compact task` that did something keeps a record (`compactor.run_records`). A stage's share is of
/// the time of all tasks; `fetch` and `upload` run beside them and have none. Times for points count those that came in
/// and those that were merged again. `skein cat KEY` shows a whole record.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein timers
  skein timers --last 20
  skein timers --against 0123456789abcdef")]
pub(crate) struct TimersArgs {
    /// The run that is shown, by its name or the key of its record; the newest when none is named
    #[arg(long, value_name = "RUN")]
    run: Option<RunName>,
    /// One line for each of the last N runs instead, the newest first
    #[arg(long, value_name = "N", conflicts_with_all = ["run", "against"], value_parser = clap::value_parser!(u16).range(1..=1000))]
    last: Option<u16>,
    /// Compares with this run, point by point
    #[arg(long, value_name = "RUN")]
    against: Option<RunName>,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// A run, however it is named.
#[derive(Debug, Clone, Copy)]
struct RunName(Attempt);

impl FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ObjectKey::RunRecord { run, .. }) = text.parse() {
            return Ok(Self(run));
        }
        let number = u64::from_str_radix(text, 16).map(Attempt);
        let named = number.ok().filter(|run| run.to_string() == text);
        let what = "the 16 hex digits that `skein timers --last` shows, or the key of a record";
        named
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no run: give {what}"))
    }
}

/// Runs it.
pub(crate) fn run(args: &TimersArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        if let Some(most) = args.last {
            let rows = newest(&bucket, most).await?;
            return tell(args, &rows, || trend(&rows));
        }
        let Some(row) = chosen(&bucket, args.run).await? else {
            let none: Option<RunRow> = None;
            return tell(args, &none, || {
                "no compaction has left a record yet\n".to_owned()
            });
        };
        let Some(against) = args.against else {
            return tell(args, &row, || stages(&row));
        };
        let against = named(&bucket, against).await?;
        let comparison = compare(row, against);
        tell(args, &comparison, || ratios(&comparison))
    })
}

async fn chosen(bucket: &Bucket, run: Option<RunName>) -> Result<Option<RunRow>, Failure> {
    match run {
        Some(run) => named(bucket, run).await.map(Some),
        None => Ok(newest(bucket, 1).await?.into_iter().next()),
    }
}

async fn named(bucket: &Bucket, run: RunName) -> Result<RunRow, Failure> {
    let found = find(bucket, run.0).await?;
    let known = "`skein timers --last 1000` shows those that have";
    found.ok_or_else(|| Failure::usage(format!("run {} has no record: {known}", run.0)))
}

fn tell(
    args: &TimersArgs,
    document: &impl serde::Serialize,
    shown: impl FnOnce() -> String,
) -> Outcome {
    match args.format {
        ReportFormat::Json => output::json(document)?,
        ReportFormat::Text => output::text(&shown())?,
    }
    Ok(ExitCode::Ok)
}

fn stages(run: &RunRow) -> String {
    let million = |ns: Option<f64>| or_dash(ns.map(|ns| time(ns * 1e6)));
    let row = |stage: &StageRow| {
        vec![
            stage.stage.clone(),
            time(float(stage.total_ns)),
            stage.share.map_or_else(|| "beside".to_owned(), percent),
            stage.pieces.to_string(),
            time(float(stage.p50_ns)),
            time(float(stage.p90_ns)),
            time(float(stage.p99_ns)),
            time(float(stage.longest_ns)),
            million(stage.ns_per_point),
        ]
    };
    let mut rows: Vec<_> = run.stages.iter().map(row).collect();
    let other = float(run.other_ns());
    let mut last = vec!["other".to_owned(), time(other)];
    last.push(or_dash(share(other, float(run.tasks_ns)).map(percent)));
    last.extend(std::iter::repeat_n("-".to_owned(), 6));
    rows.push(last);
    let head = [
        "stage",
        "total",
        "share",
        "pieces",
        "p50",
        "p90",
        "p99",
        "longest",
        "per million points",
    ];
    let named = run.slowest.iter().map(|name| {
        let stage = run.stages.iter().find(|stage| stage.stage == *name);
        let share = stage.and_then(|stage| stage.share);
        format!("{name} {}", or_dash(share.map(percent)))
    });
    let named: Vec<_> = named.collect();
    let RunRow {
        points_in,
        points_merged,
        points_out,
        threads,
        ..
    } = run;
    format!(
        "{}\n{points_in} points in, {points_merged} merged again, {points_out} out; {} wall, {} processor, {} in tasks on {threads} threads, \
         {} per million points\n\n{}\nslowest: {}\n",
        title(run),
        time(float(run.wall_ns)),
        time(float(run.cpu_ns)),
        time(float(run.tasks_ns)),
        million(run.ns_per_point),
        output::table(&head, rows),
        named.join(", "),
    )
}

fn title(run: &RunRow) -> String {
    let short = if run.complete { "" } else { ", ended short" };
    let RunRow {
        run: name,
        at,
        of,
        software,
        encoder,
        ..
    } = run;
    format!("run {name} at {at}{short}: {of}, {software}, encoder {encoder}")
}

fn trend(runs: &[RunRow]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for stage in runs.iter().flat_map(|run| &run.stages) {
        if !names.contains(&stage.stage.as_str()) {
            names.push(&stage.stage);
        }
    }
    let mut head = vec!["run", "at", "points in", "merged", "wall", "per million"];
    head.extend(&names);
    let rows = runs.iter().map(|run| {
        let million = run.ns_per_point.map(|ns| time(ns * 1e6));
        let mut row = vec![
            run.run.clone(),
            run.at.clone(),
            run.points_in.to_string(),
            run.points_merged.to_string(),
            time(float(run.wall_ns)),
            or_dash(million),
        ];
        row.extend(names.iter().map(|name| {
            let stage = run.stages.iter().find(|stage| stage.stage == *name);
            or_dash(stage.map(|stage| time(float(stage.total_ns))))
        }));
        row
    });
    output::table(&head, rows.collect())
}

fn ratios(comparison: &Comparison) -> String {
    let million = |ns: Option<f64>| or_dash(ns.map(|ns| time(ns * 1e6)));
    let times = |ratio: Option<f64>| or_dash(ratio.map(|ratio| format!("{ratio:.3}")));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for stage in &comparison.stages {
        rows.push(vec![
            stage.stage.clone(),
            million(stage.ns_per_point),
            million(stage.against_ns_per_point),
            times(stage.ratio),
            times(stage.p50_ratio),
        ]);
    }
    rows.push(vec![
        "all of a task".to_owned(),
        million(comparison.run.ns_per_point),
        million(comparison.against.ns_per_point),
        times(comparison.ratio),
        "-".to_owned(),
    ]);
    let head = ["stage", "per million", "against", "ratio", "ratio of p50"];
    format!(
        "{}\nagainst {}\n\n{}",
        title(&comparison.run),
        title(&comparison.against),
        output::table(&head, rows)
    )
}

/// Three digits and a unit.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    match value {
        value if value < 10.0 => format!("{value:.2} {unit}"),
        value if value < 100.0 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn share(part: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| part / of)
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a time for people; three digits are shown"
)]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_a_unit() {
        for (ns, shown) in [
            (0.0, "0.00 ns"),
            (12.34, "12.3 ns"),
            (9_990.0, "9.99 µs"),
            (123_456_789.0, "123 ms"),
            (3_600e9, "3600 s"),
        ] {
            assert_eq!(time(ns), shown);
        }
    }

    #[test]
    fn a_run_is_named_by_its_digits_or_its_key() {
        let key = ObjectKey::RunRecord {
            at: skein_shared::window::TimestampMs(5),
            run: Attempt(0xab),
        };
        for text in ["00000000000000ab", &key.to_string()] {
            assert_eq!(text.parse::<RunName>().unwrap().0, Attempt(0xab));
        }
        for text in ["ab", "", "00000000000000AB", "runs/1-00000000000000ab"] {
            assert!(text.parse::<RunName>().is_err(), "{text}");
        }
    }
}
