//! `skein compact plan`: the work as tasks.

use serde::Serialize;
use skein_compactor::planner::{self, Planned};
use skein_compactor::run::RunOptions;
use skein_config::cutover::timelines::Timelines;
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::PlannedTask;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

#[derive(Serialize)]
struct Report {
    /// `None` when there is nothing to do.
    plan: Option<String>,
    watermark: Option<String>,
    committed: Vec<CommittedRow>,
    tasks: Vec<TaskRow>,
}

#[derive(Serialize)]
struct CommittedRow {
    shard: String,
    generation: u64,
}

#[derive(Serialize)]
struct TaskRow {
    task: u32,
    shard: String,
    part: u32,
    parts: u32,
    objects: usize,
    object_bytes: u64,
    payload_bytes: u64,
    rewrites: usize,
}

/// Runs it.
pub(super) fn run(format: ReportFormat, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let planned = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let options = RunOptions {
            limits: settings.limits.limits(),
            timelines: Timelines::load(&bucket, settings.cutover.unenrolled.pipeline()).await?,
        };
        Ok::<_, Failure>(planner::plan(&settings.compactor, &bucket, &options).await?)
    })?;
    let report = Report::of(&planned);
    match format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&report.shown())?,
    }
    Ok(ExitCode::Ok)
}

impl Report {
    fn of(planned: &Planned) -> Self {
        let plan = planned.plan.as_ref();
        let committed = planned.unfinished.committed.iter();
        let committed = committed.map(|(shard, generation)| CommittedRow {
            shard: shard.to_string(),
            generation: generation.0,
        });
        let tasks = plan.map_or(&[][..], |(_, plan)| &plan.tasks);
        Self {
            plan: plan.map(|(id, _)| id.to_string()),
            watermark: plan
                .and_then(|(_, plan)| plan.rules.watermark)
                .map(|time| time.to_string()),
            committed: committed.collect(),
            tasks: (0..).zip(tasks).map(TaskRow::of).collect(),
        }
    }

    fn shown(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for CommittedRow { shard, generation } in &self.committed {
            lines.push(format!(
                "{shard}: committed generation {generation} of an earlier plan"
            ));
        }
        let Some(plan) = &self.plan else {
            lines.push("nothing to do: every manifest has reached the ledger's end".to_owned());
            return lines;
        };
        for row in &self.tasks {
            lines.push(format!(
                "task {:>4}  {:18} part {}/{}  {:>6} objects  {:>14} bytes  {:>14} payload bytes  {} windows to rewrite",
                row.task,
                row.shard,
                row.part + 1,
                row.parts,
                row.objects,
                row.object_bytes,
                row.payload_bytes,
                row.rewrites,
            ));
        }
        lines.push(format!(
            "plan {plan}: {} tasks; start each as",
            self.tasks.len()
        ));
        lines.push(format!("  skein compact task --plan {plan} --index INDEX"));
        lines
    }
}

impl TaskRow {
    fn of((task, planned): (u32, &PlannedTask)) -> Self {
        Self {
            task,
            shard: planned.shard.to_string(),
            part: planned.part.number,
            parts: planned.part.of,
            objects: planned.step.objects.len(),
            object_bytes: planned.step.object_bytes(),
            payload_bytes: planned.step.raw_bytes(),
            rewrites: planned.step.rewrites.len(),
        }
    }
}
