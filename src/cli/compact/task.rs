//! `skein compact task`: one task of a plan.

use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use skein_compactor::Error;
use skein_compactor::planned_task::{TaskReport, run_task};
use skein_compactor::task_results::ShardProgress;
use skein_config::cutover::acknowledger::Acknowledger;
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;
use skein_shared::cutover::NodeRole;
use skein_shared::ids::PlanId;

use crate::cli::compact::run::teller;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Where engines say which of an array's tasks a process is, the first that is set counts.
const INDEX_VARIABLES: [&str; 5] = [
    "SKEIN_TASK_INDEX",
    "JOB_COMPLETION_INDEX",
    "AWS_BATCH_JOB_ARRAY_INDEX",
    "BATCH_TASK_INDEX",
    "SLURM_ARRAY_TASK_ID",
];

/// Flags of `skein compact task`.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// The plan: its id, its key `plans/ID`, or a URL that ends with it
    #[arg(long, value_name = "PLAN")]
    plan: PlanUri,
    /// Which task, from 0; `auto` asks the engine: `SKEIN_TASK_INDEX`, `JOB_COMPLETION_INDEX` (Kubernetes),
    /// `AWS_BATCH_JOB_ARRAY_INDEX`, `BATCH_TASK_INDEX` (Google) or `SLURM_ARRAY_TASK_ID`
    #[arg(long, default_value = "auto", value_name = "INDEX|auto")]
    index: TaskIndex,
    /// Form of the closing report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// A plan's id, however it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanUri(pub(crate) PlanId);

#[derive(Debug, Clone, Copy)]
enum TaskIndex {
    Given(u32),
    Auto,
}

#[derive(Serialize)]
struct Report {
    shard: String,
    part: u32,
    parts: u32,
    /// Whether an earlier try had made the result.
    done_before: bool,
    points_in: u64,
    points_out: u64,
    segments: u64,
    segment_bytes: u64,
    spilled_bytes: u64,
    busy_ms: u128,
    /// `committed`, `passed`, `waiting` or `split`.
    became: &'static str,
    generation: Option<u64>,
    parts_missing: u32,
}

impl FromStr for PlanUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let last = text.rsplit('/').next().unwrap_or_default();
        last.parse().map(Self)
    }
}

impl FromStr for TaskIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let index = text.parse().map(Self::Given);
        index.map_err(|_| format!("`{text}` is neither a number nor `auto`"))
    }
}

impl TaskIndex {
    fn number(self) -> Result<u32, Failure> {
        if let Self::Given(index) = self {
            return Ok(index);
        }
        let set = INDEX_VARIABLES
            .iter()
            .find_map(|name| Some((name, std::env::var(name).ok()?)));
        let Some((name, value)) = set else {
            let names = INDEX_VARIABLES.join(", ");
            let message =
                format!("--index auto finds no index: set one of {names}, or give --index");
            return Err(Failure::usage(message));
        };
        let refuse = |_| Failure::usage(format!("{name}=`{value}` is no task's index"));
        value.trim().parse().map_err(refuse)
    }
}

/// Runs it.
pub(super) fn run(args: &TaskArgs, settings: &SettingsArgs) -> Outcome {
    let index = args.index.number()?;
    let settings = settings.start_watched("compact", &[Need::Bucket])?;
    let report = runtime()?.block_on(async {
        let opened = Bucket::open(&settings.bucket.settings()?).await;
        let bucket = opened.map_err(|error| Failure::of_task(&error.into()))?;
        let cancel = cancel_on_signal()?;
        let node = Acknowledger::start(&bucket, NodeRole::Compactor, &settings.cutover).await;
        let node = node.map_err(|error| Failure::of_task(&error.into()))?;
        let task = run_task(
            &settings.compactor,
            &bucket,
            node.timelines(),
            (args.plan.0, index),
            (cancel, Arc::new(teller())),
        );
        let done = task.await;
        let ended = node.end().await;
        match done {
            Ok(report) => {
                ended.map_err(|error| Failure::of_task(&error.into()))?;
                Ok(Some(report))
            }
            // Arrays of some engines cannot be as small as a plan.
            Err(Error::NoSuchTask { .. }) if matches!(args.index, TaskIndex::Auto) => Ok(None),
            Err(error) => Err(Failure::of_task(&error)),
        }
    })?;
    let Some(report) = report else {
        output::lines(&[format!("the plan has no task {index}: nothing to do")])?;
        return Ok(ExitCode::Ok);
    };
    let report = Report::of(&report);
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&[report.shown(index)])?,
    }
    match report.became {
        "split" => Ok(ExitCode::TaskOverBudget),
        _ => Ok(ExitCode::Ok),
    }
}

impl Report {
    fn of(report: &TaskReport) -> Self {
        let did = report.did.clone().unwrap_or_default();
        let (became, generation, parts_missing) = match report.shard {
            ShardProgress::Committed(generation) => ("committed", Some(generation.0), 0),
            ShardProgress::Passed => ("passed", None, 0),
            ShardProgress::Waiting { parts } => ("waiting", None, parts),
            ShardProgress::Split { .. } => ("split", None, 0),
        };
        Self {
            shard: report.task.shard.to_string(),
            part: report.task.part.number,
            parts: report.task.part.of,
            done_before: report.did.is_none(),
            points_in: did.counts.points_in,
            points_out: did.points_out,
            segments: did.segments,
            segment_bytes: did.segment_bytes,
            spilled_bytes: did.spilled_bytes,
            busy_ms: did.busy.as_millis(),
            became,
            generation,
            parts_missing,
        }
    }

    fn shown(&self, index: u32) -> String {
        let what = if self.done_before {
            "was done before".to_owned()
        } else {
            format!(
                "{} points in, {} points out, {} segments, {} bytes, {} bytes over the local disk",
                self.points_in,
                self.points_out,
                self.segments,
                self.segment_bytes,
                self.spilled_bytes
            )
        };
        let became = match (self.became, self.generation) {
            ("committed", Some(generation)) => format!("committed as generation {generation}"),
            ("waiting", _) => format!("waits for {} more parts", self.parts_missing),
            ("split", _) => "has a part that is too large: plan again".to_owned(),
            _ => "has been committed before, or overtaken".to_owned(),
        };
        format!(
            "task {index} (part {}/{} of {}): {what}; the shard {became}",
            self.part + 1,
            self.parts,
            self.shard
        )
    }
}
