//! `skein retire`: nobody waits for a partition any more.

use clap::Args;
use serde::Serialize;
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;
use skein_shared::format::retirement::Retirement;
use skein_shared::ids::{Chain, Incarnation, PartitionId, TopicName};
use skein_shared::ledger::Ledger;
use skein_shared::status_log;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Retires a partition whose topic is gone, so that it no longer holds the watermark back
///
/// Its state stays, and so does its ledger. Should it get more records after all, it counts again by itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  skein --config skein.toml retire points-old 7 --reason 'topic deleted, ticket OPS-12'")]
pub(crate) struct RetireArgs {
    /// Topic
    topic: String,
    /// Partition of the topic
    partition: u32,
    /// Which life of the topic
    #[arg(long, default_value_t = 0)]
    incarnation: u32,
    /// Why, for those who come after
    #[arg(long)]
    reason: String,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Retired {
    partition: String,
    ledger_end: i64,
    reason: String,
}

/// Runs it.
pub(crate) fn run(args: &RetireArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let chain = Chain {
        source: settings.kafka.source_name(),
        topic: TopicName::new(&args.topic).map_err(Failure::usage)?,
        incarnation: Incarnation(args.incarnation),
        partition: PartitionId(args.partition),
    };
    let retired = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        retire(&bucket, chain, &args.reason).await
    })?;
    match args.format {
        ReportFormat::Json => output::json(&retired)?,
        ReportFormat::Text => output::lines(&[format!(
            "retired {} at offset {}",
            retired.partition, retired.ledger_end
        )])?,
    }
    Ok(ExitCode::Ok)
}

async fn retire(bucket: &Bucket, chain: Chain, reason: &str) -> Result<Retired, Failure> {
    let end = Ledger::new(bucket.clone()).end(&chain, None).await?;
    let Some(end) = end else {
        let known = "`skein status` shows those that have one";
        return Err(Failure::usage(format!("{chain} has no ledger: {known}")));
    };
    let retirement = Retirement {
        chain,
        end: end.offset,
        reason: reason.to_owned(),
    };
    status_log::retire(bucket, &retirement).await?;
    Ok(Retired {
        partition: retirement.chain.to_string(),
        ledger_end: end.offset.0,
        reason: retirement.reason,
    })
}
