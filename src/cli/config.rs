//! `skein config`: what the settings are, and whether they can be used.

use clap::{Args, Subcommand};
use serde::Serialize;
use skein_config::Settings;
use skein_config::settings::connector_floor;
use skein_shared::units::ByteCount;

use crate::cli::SettingsArgs;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Shows and checks settings
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Checks all layers and prints the settings that they give
    ///
    /// Names every fault at once: key, value, what is allowed, and the layer that set it. Talks to no server.
    Check {
        /// Form of the report
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Prints the embedded default file, in which every key has its reason
    Default,
}

#[derive(Serialize)]
struct CheckReport<'a> {
    settings: &'a Settings,
    shards: u64,
    connector_memory_floor: ByteCount,
}

pub(crate) fn run(args: &ConfigArgs, settings: &SettingsArgs) -> Outcome {
    match args.command {
        ConfigCommand::Check { format } => check(&settings.load()?, format)?,
        ConfigCommand::Default => {
            output::text(skein_config::load::DEFAULT_TOML)?;
            output::text(skein_config::load::SHARDS_TOML)?;
        }
    }
    Ok(ExitCode::Ok)
}

fn check(settings: &Settings, format: ReportFormat) -> Result<(), Failure> {
    let report = CheckReport {
        settings,
        shards: settings.shards.shard_count(),
        connector_memory_floor: connector_floor(
            settings.shards.shard_count(),
            settings.limits.payload_bytes,
        ),
    };
    match format {
        ReportFormat::Json => output::json(&report),
        ReportFormat::Text => {
            output::text(&settings.to_toml())?;
            let CheckReport {
                shards,
                connector_memory_floor,
                ..
            } = report;
            let budget = settings.connector.memory_budget;
            eprintln!(
                "settings are valid: {shards} shards; connector.memory_budget {budget}, floor {connector_memory_floor}"
            );
            Ok(())
        }
    }
}
