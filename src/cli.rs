//! The command line: one file a subcommand, each thin.

mod settings_args;
mod produce;
mod connect;
mod old_pipeline;
mod flush;
mod compact;
mod incomplete;
mod owner;
mod read;
mod serve;
mod export;
mod ls;
mod cat;
mod explain;
mod timers;
mod status;
mod retire;
mod janitor;
mod verify;
mod quarantine;
mod replay;
mod retention;
mod delete;
mod migrate;
mod cohort;
mod diff;
mod demo;
mod dev;
mod simulate;
mod loadtest;
mod config;

use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use skein_shared::window::TimestampMs;
use tokio::runtime::Runtime;

use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};

pub(crate) use settings_args::SettingsArgs;

/// Timeseries payloads from Kafka to state in S3 and on to compressed per-series files.
///
/// The path: `produce` puts points into Kafka, `connect` takes them out into state objects, `compact`
/// rebuilds those into one sorted file a shard and day, `read` gives them back. `demo` does all of it in
/// one process.
#[derive(Debug, Parser)]
#[command(name = "skein", version, max_term_width = 110, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: SettingsArgs,
}

const AFTER_HELP: &str = "\
First steps:
  skein demo                            the whole path on embedded services, checked point by point
  skein dev up --dir /tmp/skein         a broker and a bucket to try, until Ctrl-C; then, elsewhere:
  skein --config /tmp/skein/skein.toml produce --topic points --points 100000
  skein --config /tmp/skein/skein.toml connect --until-end
  skein --config /tmp/skein/skein.toml compact run
  skein --config /tmp/skein/skein.toml read --all --format csv

Exit codes, the same for every command:
  0 all is well   1 internal, may succeed when tried again   2 usage, settings or permission
  3 a difference was found or a check failed   4 inconclusive   5 another process won a race
  6 timed out while waiting   7 refused as irreversible

Data goes to stdout and talk to stderr; SKEIN_LOG=info,skein_connector=debug makes it talk more.";

#[derive(Debug, Subcommand)]
enum Command {
    Produce(produce::ProduceArgs),
    Connect(connect::ConnectArgs),
    OldPipeline(old_pipeline::OldPipelineArgs),
    Flush(flush::FlushArgs),
    Compact(compact::CompactArgs),
    Read(read::ReadArgs),
    Serve(serve::ServeArgs),
    Export(export::ExportArgs),
    Ls(ls::LsArgs),
    Cat(cat::CatArgs),
    Explain(explain::ExplainArgs),
    Timers(timers::TimersArgs),
    Status(status::StatusArgs),
    Retire(retire::RetireArgs),
    Janitor(janitor::JanitorArgs),
    Verify(verify::VerifyArgs),
    Quarantine(quarantine::QuarantineArgs),
    Replay(replay::ReplayArgs),
    Retention(retention::RetentionArgs),
    Delete(delete::DeleteArgs),
    Migrate(migrate::MigrateArgs),
    Cohort(cohort::CohortArgs),
    Diff(diff::DiffArgs),
    Demo(demo::DemoArgs),
    Dev(dev::DevArgs),
    Simulate(simulate::SimulateArgs),
    Loadtest(loadtest::LoadtestArgs),
    Config(config::ConfigArgs),
}

/// Runs the subcommand.
pub(crate) fn run(cli: &Cli) -> Outcome {
    let settings = &cli.settings;
    match &cli.command {
        Command::Produce(args) => produce::run(args, settings),
        Command::Connect(args) => connect::run(args, settings),
        Command::OldPipeline(args) => old_pipeline::run(args, settings),
        Command::Flush(args) => flush::run(args, settings),
        Command::Compact(args) => compact::run(args, settings),
        Command::Read(args) => read::run(args, settings),
        Command::Serve(args) => serve::run(args, settings),
        Command::Export(args) => export::run(args, settings),
        Command::Ls(args) => ls::run(args, settings),
        Command::Cat(args) => cat::run(args, settings),
        Command::Explain(args) => explain::run(args, settings),
        Command::Timers(args) => timers::run(args, settings),
        Command::Status(args) => status::run(args, settings),
        Command::Retire(args) => retire::run(args, settings),
        Command::Janitor(args) => janitor::run(args, settings),
        Command::Verify(args) => verify::run(args, settings),
        Command::Quarantine(args) => quarantine::run(args, settings),
        Command::Replay(args) => replay::run(args, settings),
        Command::Retention(args) => retention::run(args, settings),
        Command::Delete(args) => delete::run(args, settings),
        Command::Migrate(args) => migrate::run(args, settings),
        Command::Cohort(args) => cohort::run(args, settings),
        Command::Diff(args) => diff::run(args, settings),
        Command::Demo(args) => demo::run(args),
        Command::Dev(args) => dev::run(args, settings),
        Command::Simulate(args) => simulate::run(args),
        Command::Loadtest(args) => loadtest::run(args, settings),
        Command::Config(args) => config::run(args, settings),
    }
}

/// A runtime for the commands that talk to servers.
fn runtime() -> Result<Runtime, Failure> {
    Runtime::new().map_err(|error| {
        Failure::Said(
            ExitCode::Internal,
            format!("start runtime failed; reason=`{error}`"),
        )
    })
}

/// The time on this machine's clock.
fn now() -> TimestampMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    TimestampMs(i64::try_from(since.as_millis()).expect("the clock is not millions of years ahead"))
}
