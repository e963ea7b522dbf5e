//! `skein compact`: state to segments, on one machine or as tasks of any engine.

pub(crate) mod run;
mod plan;
mod task;
mod emit;
mod rebuild;
mod gc;

use clap::{Args, Subcommand};

use crate::cli::SettingsArgs;
use crate::failure::Outcome;
use crate::output::ReportFormat;

/// Rebuilds state objects into sorted, compressed segments
///
/// `run` does everything on this machine. `plan` cuts the same work into tasks, which any engine can start as
/// `task --plan PLAN --index auto`; `emit` prints what an engine needs to be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein compact run
  skein compact plan
  skein compact task --plan 0123456789abcdef0123456789abcdef --index 0
  skein compact emit --engine k8s --plan 0123456789abcdef0123456789abcdef --image skein:1 | kubectl apply -f -")]
pub(crate) struct CompactArgs {
    #[command(subcommand)]
    command: CompactCommand,
}

#[derive(Debug, Subcommand)]
enum CompactCommand {
    /// Compacts everything that the ledger has and the shards' manifests do not, once, on all cores
    ///
    /// Each shard commits its own next manifest: what is done stays done when a run is interrupted, and two
    /// runs at once do no harm. With nothing new it writes nothing.
    ///
    /// With --watch it does so again and again until SIGTERM or Ctrl-C: a shard that fails is told of and tried again
    /// in the next round.
    Run(run::RunArgs),
    /// Cuts what is to be done into tasks and keeps the plan in the bucket, the largest task first
    ///
    /// First commits the shards that earlier plans have finished. The same bucket and settings give the same plan.
    /// With nothing to do it writes nothing and prints no plan.
    Plan {
        /// Form of the plan
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Runs one task of a plan; its shard is committed when all of its tasks have results
    ///
    /// Exit codes are made for engines: 0 done, or done before; 20 retry; 30 superseded and 42 damaged, do not retry;
    /// 43 too large, plan again; 143 preempted.
    Task(task::TaskArgs),
    /// Makes segments anew from state and puts them in the place of the live ones, where they differ
    ///
    /// Whole closed windows of whole shards, each shard with one commit. Where nothing has changed the bytes are the same
    /// and nothing is replaced; damaged segments and rollups are. A window whose points differ is told of and left as
    /// it is, unless --replace-other-points. With --dry-run it only compares. Exit code 3 when something stays wrong.
    Rebuild(rebuild::RebuildArgs),
    /// Deletes segments and manifests that no read can need any more
    ///
    /// What is live, what was live within `compactor.reader_pin`, and what a compactor that is under way may still commit is
    /// left alone. The results of a plan that was not finished within that time may go: its tasks run again then.
    /// Safe at any time, any number at once, and after being killed. It lists the whole bucket: one request for each
    /// thousand objects.
    Gc(gc::GcArgs),
    /// Prints a plan as what an engine takes: a Kubernetes Job, AWS Batch, a Slurm script, a Spark program
    Emit(emit::EmitArgs),
}

/// Runs it.
pub(crate) fn run(args: &CompactArgs, settings: &SettingsArgs) -> Outcome {
    match &args.command {
        CompactCommand::Run(args) => run::run(args, settings),
        CompactCommand::Plan { format } => plan::run(*format, settings),
        CompactCommand::Task(args) => task::run(args, settings),
        CompactCommand::Rebuild(args) => rebuild::run(args, settings),
        CompactCommand::Gc(args) => gc::run(args, settings),
        CompactCommand::Emit(args) => emit::run(args, settings),
    }
}
