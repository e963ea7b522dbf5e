//! `skein migrate`: moves orgs from the old pipeline to the new one, and back.

mod plane;
mod row;
mod ask;
mod overview;
mod show;
mod plan;
mod past;
mod mend;
mod controller;
mod apply;

use clap::{Args, Subcommand};
use skein_config::cutover::request::{EdgeChoice, Request, Reverse};
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cli::SettingsArgs;
use crate::failure::{Failure, Outcome};
use crate::output::ReportFormat;

use ask::{AskArgs, Asked};

pub(crate) use ask::{WhyArgs, row_of};
pub(crate) use plane::open;
pub(crate) use row::{OrgRow, worst};

const HELP: &str = "\
The way on, and how to take each step back:
  create           off -> starting -> shadow      both pipelines write          cancel
  mirror-traffic   shadow -> canary               a share of reads is compared  mirror-traffic 0, cancel
  switch-traffic   canary -> scheduled -> armed -> switched
                                                  readers see the new one       cancel, reverse-traffic
  complete         switched -> contracting -> sealed
                                                  the old one ends              reverse-traffic
  complete         sealed -> done                 it is kept to be read alone   reverse-traffic, while it can write

Examples:
  skein migrate create --org 7 --reason 'first of the small ones' --ticket OPS-12 --dry-run
  skein migrate create --org 7 --reason 'first of the small ones' --ticket OPS-12 --wait --timeout '30 min'
  skein migrate plan --org 7
  skein migrate status
  skein migrate reverse-traffic --org 7 --void --reason 'wrong values since the switch'
  skein migrate controller

Exit codes: 3 a gate says no   4 a gate cannot say   5 somebody else was faster, or it stands elsewhere
  6 timed out while waiting   7 the org has to be named";

/// Moves orgs from an old pipeline to this one, one by one, and back
///
/// Every verb makes one new version of the org's timeline in the bucket, with who, why, and what taking it back costs. Nodes
/// read it, say that they have, and go by it; `skein migrate controller` takes on what time and they allow.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Begins: the new pipeline writes beside the old one from an edge on
    Create {
        #[command(flatten)]
        edge: EdgeArgs,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Lists all orgs that were ever cut over; exit code 3 when one is blocked or faulted, 4 when one is inconclusive
    Status(overview::StatusArgs),
    /// Shows all that is known of one org, and what can be done now
    Show(show::ShowArgs),
    /// Has a share of reads run on the new pipeline as well, to be compared; 0 ends it
    MirrorTraffic {
        /// Of a hundred reads: 5, 50, then 100
        percent: u8,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Sends readers to the new pipeline from an edge in the future on
    SwitchTraffic {
        #[command(flatten)]
        edge: EdgeArgs,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Sends readers back to the old pipeline: from an edge in the future on, or with --void from the switch on
    ReverseTraffic {
        /// Gives readers the old pipeline's points from the switch on, at once: answers that were given change
        #[arg(long, conflicts_with = "at")]
        void: bool,
        #[command(flatten)]
        edge: EdgeArgs,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Ends the old pipeline: of a switched org it ceases to write, a sealed one is done with it
    Complete {
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Takes back what has not taken effect; of an org that only the old pipeline shows all of it
    Cancel {
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Gives a span that was replayed and compared back to the old pipeline
    Reassign {
        /// First event time
        #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
        from: TimestampMs,
        /// First event time beyond
        #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
        to: TimestampMs,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Gives up what the old pipeline has, once all that readers see of it has expired
    Purge {
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Stops it, at once; takes an edge back that has not come
    Pause {
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Lets it go on
    Resume {
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Shows the release plan and the rollback plan of an org, and what each step costs to take back
    Plan(plan::PlanArgs),
    /// Tells who owned an org at an event time, by which version, and who said so
    Explain(past::ExplainArgs),
    /// Lists every version of an org
    History(past::HistoryArgs),
    /// Checks the logs of versions: gaps, forged versions, steps that no verb makes; exit code 3 when one is not whole
    VerifyLog(mend::VerifyArgs),
    /// Makes log and fleet agree again after a crash
    Repair(mend::RepairArgs),
    /// Leads orgs to where a file wants them; shows the plan first
    Apply(apply::ApplyArgs),
    /// Takes every org on when its time has come
    Controller(controller::ControllerArgs),
}

/// Where an edge is to lie.
#[derive(Debug, Args)]
struct EdgeArgs {
    /// The edge, on the grid; as soon as is safe by default: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    at: Option<TimestampMs>,
}

impl EdgeArgs {
    fn choice(&self) -> EdgeChoice {
        self.at.map_or(EdgeChoice::Soonest, EdgeChoice::At)
    }
}

/// Runs it.
pub(crate) fn run(args: &MigrateArgs, settings: &SettingsArgs) -> Outcome {
    use MigrateCommand as C;
    let ask = |asked: Asked, ask: &AskArgs| ask::run(&asked, ask, settings);
    let plain = |request: Request| Asked::Request(request);
    match &args.command {
        C::Create { edge, ask: args } => ask(plain(Request::Create(edge.choice())), args),
        C::MirrorTraffic { percent, ask: args } => {
            ask(plain(Request::MirrorTraffic(*percent)), args)
        }
        C::SwitchTraffic { edge, ask: args } => {
            ask(plain(Request::SwitchTraffic(edge.choice())), args)
        }
        C::ReverseTraffic {
            void,
            edge,
            ask: args,
        } => {
            let forward = Reverse::Forward(edge.choice());
            let reverse = if *void { Reverse::Void } else { forward };
            ask(plain(Request::ReverseTraffic(reverse)), args)
        }
        C::Complete { ask: args } => ask(Asked::Complete, args),
        C::Purge { ask: args } => ask(Asked::Purge, args),
        C::Cancel { ask: args } => ask(plain(Request::Cancel), args),
        C::Reassign {
            from,
            to,
            ask: args,
        } => {
            let (from, to) = (*from, *to);
            ask(plain(Request::Reassign(TimeSpan { from, to })), args)
        }
        C::Pause { ask: args } => ask(plain(Request::Pause), args),
        C::Resume { ask: args } => ask(plain(Request::Resume), args),
        C::Status(args) => overview::run(args, settings),
        C::Show(args) => show::run(args, settings),
        C::Plan(args) => plan::run(args, settings),
        C::Explain(args) => past::explain(args, settings),
        C::History(args) => past::history(args, settings),
        C::VerifyLog(args) => mend::verify(args, settings),
        C::Repair(args) => mend::repair(args, settings),
        C::Apply(args) => apply::run(args, settings),
        C::Controller(args) => controller::run(args, settings),
    }
}

/// A list of rows as the caller wants it.
fn print(
    format: ReportFormat,
    rows: &impl serde::Serialize,
    lines: impl FnOnce() -> Vec<String>,
) -> Result<(), Failure> {
    match format {
        ReportFormat::Json => crate::output::json(rows),
        ReportFormat::Text => crate::output::lines(&lines()),
    }
}
