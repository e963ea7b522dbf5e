//! The embedded pair with a settings file, as `skein demo` and `skein dev up` run it.
//!
//! The directory keeps the bucket's objects over restarts. The broker's records and the addresses do not
//! survive: each start is a new Kafka cluster, so it gets a source name of its own (a source is bound to
//! one cluster for ever), and the settings file is written anew.

use std::fs;
use std::path::{Path, PathBuf};

use skein_shared::ids::{SourceName, TopicName};
use uuid::Uuid;

use crate::embedded_broker::EmbeddedBroker;
use crate::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use crate::error::{Error, Result};
use crate::settings_file::{SettingsFile, fresh_source};

pub use crate::settings_file::BUCKET;

/// Partitions that a topic should have at least, so that what is produced between two looks fits the
/// little that the embedded broker keeps of each.
pub const MIN_PARTITIONS: u32 = 64;

/// What this broker needs beside its address.
const KAFKA_LINES: &str = r#"# This broker keeps 5 MiB of a partition and silently drops what is older.
backlog_limit = "4 MiB"

[kafka.properties]
# The embedded broker takes long over the cooperative one.
"partition.assignment.strategy" = "range"
# When a member leaves, it waits nearly a session for others before it lets one join.
"session.timeout.ms" = "4000"
"heartbeat.interval.ms" = "1000"
"#;

/// What to start, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevStackOptions {
    /// Holds the settings file and the bucket; created when absent.
    pub directory: PathBuf,
    /// Topics to create.
    pub topics: Vec<TopicName>,
    /// Partitions of each topic, at least [`MIN_PARTITIONS`].
    pub partitions: u32,
}

/// The running pair; both stop when dropped.
#[derive(Debug)]
pub struct DevStack {
    broker: EmbeddedBroker,
    bucket: EmbeddedBucket,
    source: SourceName,
    config_file: PathBuf,
}

impl DevStackOptions {
    /// One topic, `points`, with [`MIN_PARTITIONS`] partitions.
    ///
    /// # Panics
    /// Never: the topic's name is valid.
    pub fn new(directory: PathBuf) -> Self {
        let points = TopicName::new("points").expect("`points` is a valid topic name");
        Self {
            directory,
            topics: vec![points],
            partitions: MIN_PARTITIONS,
        }
    }
}

impl DevStack {
    /// Starts both servers and writes `skein.toml` beside the bucket.
    ///
    /// # Errors
    /// The directory cannot be used, or is used by another process; too few partitions.
    pub fn start(options: &DevStackOptions) -> Result<Self> {
        if options.partitions < MIN_PARTITIONS {
            return Err(Error::Invalid {
                what: "number of partitions",
                input: options.partitions.to_string(),
                reason: format!(
                    "the embedded broker keeps 5 MiB of each: use {MIN_PARTITIONS} or more"
                ),
            });
        }
        let directory = &options.directory;
        fs::create_dir_all(directory).map_err(Error::file("create directory", directory))?;
        let directory = fs::canonicalize(directory).map_err(Error::file("resolve", directory))?;
        let bucket = start_bucket(&directory)?;
        let broker = EmbeddedBroker::start()?;
        for topic in &options.topics {
            broker.create_topic(topic.as_str(), options.partitions)?;
        }
        let source = fresh_source("embedded");
        let config_file = SettingsFile {
            about: "The embedded broker and bucket of one run.",
            brokers: broker.bootstrap(),
            source: &source,
            topics: &options.topics,
            kafka_lines: KAFKA_LINES,
            endpoint: &bucket.endpoint(),
            keys: (bucket.access_key(), bucket.secret_key()),
        }
        .write(&directory)?;
        Ok(Self {
            broker,
            bucket,
            source,
            config_file,
        })
    }

    /// The broker.
    pub fn broker(&self) -> &EmbeddedBroker {
        &self.broker
    }

    /// The bucket server, which holds the bucket [`BUCKET`].
    pub fn bucket(&self) -> &EmbeddedBucket {
        &self.bucket
    }

    /// The source name of this start.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// The settings file, for `--config`.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }
}

fn start_bucket(directory: &Path) -> Result<EmbeddedBucket> {
    let mut options = BucketOptions::new(Storage::Directory(directory.join("bucket")));
    // Other users of the machine reach the loopback address too, so the secret is a fresh one.
    options.secret_key = Uuid::new_v4().simple().to_string();
    let bucket = EmbeddedBucket::start(options)?;
    bucket.create_bucket(BUCKET)?;
    Ok(bucket)
}
