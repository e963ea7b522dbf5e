//! `skein dev up`: the embedded broker and bucket, for a user to try.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use skein_local::dev_stack::{BUCKET, DevStack, DevStackOptions, MIN_PARTITIONS};
use skein_shared::ids::TopicName;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Runs a broker and a bucket on this machine, to try things out
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    #[command(subcommand)]
    command: DevCommand,
}

#[derive(Debug, Subcommand)]
enum DevCommand {
    /// Starts both and keeps them running until Ctrl-C
    ///
    /// The broker speaks Kafka's protocol and keeps its records in memory, 5 MiB a partition. The bucket
    /// speaks S3's and keeps its objects in the directory, also for the next start. DIR/skein.toml is
    /// written at each start; every other command works with `--config DIR/skein.toml`.
    Up(UpArgs),
}

#[derive(Debug, Args)]
struct UpArgs {
    /// Where the bucket's objects and skein.toml are kept
    #[arg(long, value_name = "DIR", default_value = "skein-dev")]
    dir: PathBuf,
    /// Topic to create
    #[arg(long, value_name = "TOPIC", default_value = "points")]
    topic: String,
    /// How many partitions it gets
    #[arg(long, default_value_t = MIN_PARTITIONS)]
    partitions: u32,
    /// Form of what is printed once both are up
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Where the pair can be reached.
#[derive(Serialize)]
struct Addresses<'a> {
    brokers: &'a str,
    source: &'a str,
    topic: &'a str,
    bucket: String,
    endpoint: String,
    access_key_id: &'a str,
    config: String,
    directory: String,
}

/// Runs it.
pub(crate) fn run(args: &DevArgs, settings: &SettingsArgs) -> Outcome {
    settings.start(&[])?;
    match &args.command {
        DevCommand::Up(args) => up(args),
    }
}

fn up(args: &UpArgs) -> Outcome {
    let topic = TopicName::new(args.topic.as_str()).map_err(Failure::usage)?;
    let stack = DevStack::start(&DevStackOptions {
        directory: args.dir.clone(),
        topics: vec![topic],
        partitions: args.partitions,
    })?;
    let runtime = runtime()?;
    let cancel = {
        let _inside = runtime.enter();
        cancel_on_signal()?
    };
    let config = stack.config_file().display().to_string();
    let addresses = Addresses {
        brokers: stack.broker().bootstrap(),
        source: stack.source().as_str(),
        topic: &args.topic,
        bucket: format!("s3://{BUCKET}"),
        endpoint: stack.bucket().endpoint(),
        access_key_id: stack.bucket().access_key(),
        directory: config.trim_end_matches("/skein.toml").to_owned(),
        config,
    };
    match args.format {
        ReportFormat::Json => output::json(&addresses)?,
        ReportFormat::Text => output::text(&welcome(&addresses))?,
    }
    runtime.block_on(cancel.cancelled());
    Ok(ExitCode::Ok)
}

fn welcome(addresses: &Addresses<'_>) -> String {
    let Addresses {
        brokers,
        source,
        topic,
        bucket,
        endpoint,
        config,
        directory,
        ..
    } = addresses;
    format!(
        "kafka    {brokers}   topic {topic}, source {source}
s3       {endpoint}   {bucket}, keys in {directory}/credentials
settings {config}

Try, in another terminal:
  skein --config {config} produce --topic {topic} --orgs 3 --series 30 --points 30000
  skein --config {config} connect --until-end
  skein --config {config} compact run
  skein --config {config} ls
  skein --config {config} read --all --format csv | head
  kcat -b {brokers} -L
  aws --endpoint-url {endpoint} s3 ls --recursive {bucket}

Ctrl-C ends both; the objects stay in {directory}, the records in the broker do not.
"
    )
}
