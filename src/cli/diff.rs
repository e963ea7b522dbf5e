//! `skein diff`: is what two pipelines wrote the same, point by point?

mod side_args;
mod ending;
mod create;
mod resume;
mod stop;
mod show;
mod delete;
mod dependents;

use clap::{Args, Subcommand};

use crate::cli::SettingsArgs;
use crate::failure::Outcome;

/// Compares two outputs one to one: the old pipeline with the new one, one of them with itself, or two builds
///
/// Raw points are compared bit by bit, buckets within 1e-5. Equal input is proven by positions: points of records that only
/// one side has read are set aside, and looked at again. Where a side cannot say up to where it has read, a person may
/// declare the input equal, and the verdict says so. What differs is looked at again before it counts. Nothing is changed
/// but the directory of the report, and the verdict in the bucket that gates read.
///
/// Exit codes: 0 pass; 3 something differs; 4 inconclusive, never taken for a pass.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein diff create --name before-switch --org 7 --out diff-7
  skein diff create --name sampled --org 7 --out diff-7s --sample 1 --seed 42 --from 2026-01-01T00:00:00Z
  skein diff create --name dumped --org 7 --out diff-7d --old-csv dump/ --declare-input 'the producer was stopped, OPS-3'
  skein diff resume --out diff-7
  skein diff show --out diff-7
  skein diff dependents --org 7 --out diff-7 --command 'python3 daily_totals.py'")]
pub(crate) struct DiffArgs {
    #[command(subcommand)]
    command: DiffCommand,
}

#[derive(Debug, Subcommand)]
enum DiffCommand {
    Create(Box<create::CreateArgs>),
    Resume(resume::ResumeArgs),
    Stop(stop::StopArgs),
    Show(show::ShowArgs),
    Delete(delete::DeleteArgs),
    Dependents(dependents::DependentsArgs),
}

/// Runs it.
pub(crate) fn run(args: &DiffArgs, settings: &SettingsArgs) -> Outcome {
    match &args.command {
        DiffCommand::Create(args) => create::run(args, settings),
        DiffCommand::Resume(args) => resume::run(args, settings),
        DiffCommand::Stop(args) => stop::run(args),
        DiffCommand::Show(args) => show::run(args, settings),
        DiffCommand::Delete(args) => delete::run(args, settings),
        DiffCommand::Dependents(args) => dependents::run(args, settings),
    }
}
