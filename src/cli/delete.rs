//! `skein delete`: points that are to be gone for ever.

mod create;
mod receipt;

use clap::{Args, Subcommand};

use crate::cli::SettingsArgs;
use crate::failure::Outcome;
use crate::output::ReportFormat;

/// Deletes an org's points for ever, and tells how far each delete is
///
/// A delete takes what records below the ledger's present ends say of an org, or of one of its metrics, in a span of event
/// times or in all. No read shows those points from then on. The compactor takes them out of segments when these are
/// rewritten anyway, and of all once the delete has waited for `compactor.delete_after`. What is written after the delete
/// stays. There is no way back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein delete create --org 7 --reason 'contract ended' --ticket OPS-12 --dry-run
  skein delete create --org 7 --reason 'contract ended' --ticket OPS-12 --yes
  skein delete create --org 7 --metric cpu --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z --reason 'bad sensor'
  skein delete ls
  skein delete show 1 --format json")]
pub(crate) struct DeleteArgs {
    #[command(subcommand)]
    command: DeleteCommand,
}

#[derive(Debug, Subcommand)]
enum DeleteCommand {
    /// Deletes what an org has in the ledger by now
    ///
    /// First says what it touches. Asks for a confirmation on a terminal; elsewhere it needs --yes, and is refused with exit
    /// code 7 without. What connectors hold in memory and Kafka in its log is not touched: end what produces it, run
    /// `skein flush`, then delete.
    Create(create::CreateArgs),
    /// Lists all deletes: what, who, when, and how far each is
    Ls {
        /// Form of the list
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Shows the receipt of one delete; exit code 3 when it missed its deadline
    ///
    /// `masked`: no read shows its points. `rewriting`: some of the segments that held them are rewritten. `gone`: no
    /// segment that is live holds any, nor ever will; the segments they were in go with the next `skein compact gc`.
    Show {
        /// Its number
        number: u64,
        /// Form of the receipt
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
}

/// Runs it.
pub(crate) fn run(args: &DeleteArgs, settings: &SettingsArgs) -> Outcome {
    match &args.command {
        DeleteCommand::Create(args) => create::run(args, settings),
        DeleteCommand::Ls { format } => receipt::list(*format, settings),
        DeleteCommand::Show { number, format } => receipt::show(*number, *format, settings),
    }
}
