//! `skein config`: what the settings are, and whether they can be used.

use clap::{Args, Subcommand};
use serde::Serialize;
use skein_config::Settings;
use skein_config::kafka::KafkaSettings;
use skein_config::settings::{Need, connector_floor, partitions_need};
use skein_config::show::ShownKey;
use skein_connector::record_source::kafka::look;
use skein_connector::retention::state_warnings;
use skein_shared::bucket::Bucket;
use skein_shared::shard_map_log;
use skein_shared::units::{ByteCount, Millis};

use crate::cli::{SettingsArgs, now, runtime};
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
    /// Names every fault at once: key, value, what is allowed, and the layer that set it. Where the brokers can be
    /// reached, it also warns of topics that Kafka keeps for more than half as long as state is kept, and of a memory
    /// budget with which one worker cannot read all their partitions.
    Check {
        /// Form of the report
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Prints every setting with its value and the layer that gave it; secrets are hidden
    Show {
        /// Form of the listing
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
    /// Prints a JSON Schema of the settings file, for editors and for checks before a deployment
    Schema,
    /// Prints the embedded default file, in which every key has its reason
    Default,
    /// Publishes the routing of the settings as the newest version of the shard map
    ///
    /// A starting connector does so by itself for a routing that is new. To go back to the routing of an earlier
    /// version is left to this command, so that a worker that restarts with old settings cannot do it. The new
    /// version is in force for records from the second midnight (UTC) on.
    PublishShards {
        /// Form of the report
        #[arg(long, default_value = "text")]
        format: ReportFormat,
    },
}

/// A cluster that does not answer within this is not asked.
const CLUSTER_PATIENCE: Millis = Millis::seconds(2);

#[derive(Serialize)]
struct CheckReport<'a> {
    settings: &'a Settings,
    shards: u64,
    connector_memory_floor: ByteCount,
    connector_resident_limit: ByteCount,
}

pub(crate) fn run(args: &ConfigArgs, settings: &SettingsArgs) -> Outcome {
    match args.command {
        ConfigCommand::Check { format } => {
            let settings = settings.load()?;
            check(&settings, format)?;
            warn_of_cluster(&settings)?;
        }
        ConfigCommand::Show { format } => {
            show(&skein_config::show::show(&settings.layers()?)?, format)?;
        }
        ConfigCommand::Schema => output::json(&skein_config::schema::schema()?)?,
        ConfigCommand::Default => {
            output::text(skein_config::load::DEFAULT_TOML)?;
            output::text(skein_config::load::SHARDS_TOML)?;
            output::text(skein_config::load::PRICES_TOML)?;
        }
        ConfigCommand::PublishShards { format } => publish_shards(settings, format)?,
    }
    Ok(ExitCode::Ok)
}

#[derive(Serialize)]
struct Published {
    version: usize,
    modulus: u32,
    dedicated: Vec<u64>,
}

fn publish_shards(settings: &SettingsArgs, format: ReportFormat) -> Result<(), Failure> {
    let settings = settings.start(&[Need::Bucket])?;
    let routing = settings.shards.routing();
    let map = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        Ok::<_, Failure>(shard_map_log::publish(&bucket, &routing, now()).await?)
    })?;
    let published = Published {
        version: map.version_count() - 1,
        modulus: routing.modulus,
        dedicated: routing.dedicated.iter().map(|org| org.0).collect(),
    };
    match format {
        ReportFormat::Json => output::json(&published),
        ReportFormat::Text => output::lines(&[format!(
            "version {} of the shard map: modulus {}, {} orgs with a shard of their own",
            published.version,
            published.modulus,
            published.dedicated.len()
        )]),
    }
}

/// Whether one worker could hold all partitions there are.
fn memory_warning(settings: &Settings, kafka: &KafkaSettings) -> Option<String> {
    let client = kafka.lookup_client().ok()?;
    let partitions = look(&client, kafka).ok()?.partitions;
    let (shards, payload) = (settings.shards.shard_count(), settings.limits.payload_bytes);
    let need = ByteCount(connector_floor(shards, payload).0 + partitions_need(partitions).0);
    let budget = settings.connector.memory_budget;
    (budget < need).then(|| {
        format!(
            "connector.memory_budget {budget} is too little for one worker that reads all {partitions} partitions, \
             which takes {need}: raise it, or run enough workers that each reads fewer"
        )
    })
}

/// Asks the cluster how long it keeps the topics and how many partitions they have, if it is there: that is no matter
/// of the settings alone.
fn warn_of_cluster(settings: &Settings) -> Result<(), Failure> {
    if settings.kafka.brokers.is_empty() || settings.kafka.topics.is_empty() {
        return Ok(());
    }
    let mut kafka = settings.kafka.clone();
    kafka.metadata_timeout = kafka.metadata_timeout.min(CLUSTER_PATIENCE);
    if kafka.look().is_err() {
        eprintln!("kafka did not answer at once: how long it keeps the topics was not looked at");
        return Ok(());
    }
    if let Some(warning) = memory_warning(settings, &kafka) {
        eprintln!("warning: {warning}");
    }
    let warnings = runtime()?.block_on(state_warnings(&kafka, &settings.retention));
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

fn show(keys: &[ShownKey], format: ReportFormat) -> Result<(), Failure> {
    let line = |shown: &ShownKey| {
        let setting = format!("{} = {}", shown.key, shown.value_text());
        format!("{setting:60} # {}", shown.origin)
    };
    match format {
        ReportFormat::Json => output::json(&keys),
        ReportFormat::Text => output::lines(&keys.iter().map(line).collect::<Vec<_>>()),
    }
}

fn check(settings: &Settings, format: ReportFormat) -> Result<(), Failure> {
    let report = CheckReport {
        settings,
        shards: settings.shards.shard_count(),
        connector_memory_floor: connector_floor(
            settings.shards.shard_count(),
            settings.limits.payload_bytes,
        ),
        connector_resident_limit: settings.connector.resident_limit(),
    };
    match format {
        ReportFormat::Json => output::json(&report),
        ReportFormat::Text => {
            output::text(&settings.to_toml())?;
            let CheckReport {
                shards,
                connector_memory_floor,
                connector_resident_limit,
                ..
            } = report;
            let budget = settings.connector.memory_budget;
            eprintln!(
                "settings are valid: {shards} shards; connector.memory_budget {budget}, floor {connector_memory_floor}; \
                 a connector takes at most {connector_resident_limit} of memory"
            );
            Ok(())
        }
    }
}
