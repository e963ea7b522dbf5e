//! The embedded pair with a settings file, as `skein demo` and `skein dev up` run it.
//!
//! The directory keeps the bucket's objects over restarts. The broker's records and the addresses do not
//! survive: each start is a new Kafka cluster, so it gets a source name of its own (a source is bound to
//! one cluster for ever), and the settings file is written anew.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use skein_shared::ids::{SourceName, TopicName};
use uuid::Uuid;

use crate::embedded_broker::EmbeddedBroker;
use crate::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use crate::error::{Error, Result};

/// Name of the bucket.
pub const BUCKET: &str = "skein";

/// Partitions that a topic should have at least, so that what is produced between two looks fits the
/// little that the embedded broker keeps of each.
pub const MIN_PARTITIONS: u32 = 64;

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
        let stack = Self {
            broker,
            bucket,
            source: fresh_source(),
            config_file: directory.join("skein.toml"),
        };
        let credentials = directory.join("credentials");
        write_private(&credentials, &stack.credentials_text())?;
        write_private(
            &stack.config_file,
            &stack.config_text(options, &credentials),
        )?;
        Ok(stack)
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

    fn credentials_text(&self) -> String {
        format!(
            "access_key_id = {}\nsecret_access_key = {}\n",
            quoted(self.bucket.access_key()),
            quoted(self.bucket.secret_key()),
        )
    }

    fn config_text(&self, options: &DevStackOptions, credentials: &Path) -> String {
        let topics: Vec<String> = options
            .topics
            .iter()
            .map(|topic| quoted(topic.as_str()))
            .collect();
        let lines = [
            "# The embedded broker and bucket of one run. Every start writes this file anew."
                .to_owned(),
            "[kafka]".to_owned(),
            format!("brokers = {}", quoted(self.broker.bootstrap())),
            "# Each start is another cluster, and a source is bound to one cluster.".to_owned(),
            format!("source = {}", quoted(self.source.as_str())),
            format!("topics = [{}]", topics.join(", ")),
            "# This broker keeps 5 MiB of a partition and silently drops what is older.".to_owned(),
            "backlog_limit = \"4 MiB\"".to_owned(),
            String::new(),
            "[kafka.properties]".to_owned(),
            "# The embedded broker takes long over the cooperative one.".to_owned(),
            "\"partition.assignment.strategy\" = \"range\"".to_owned(),
            "# When a member leaves, it waits nearly a session for others before it lets one join."
                .to_owned(),
            "\"session.timeout.ms\" = \"4000\"".to_owned(),
            "\"heartbeat.interval.ms\" = \"1000\"".to_owned(),
            String::new(),
            "[bucket]".to_owned(),
            format!("url = {}", quoted(&format!("s3://{BUCKET}"))),
            format!("endpoint = {}", quoted(&self.bucket.endpoint())),
            "region = \"us-east-1\"".to_owned(),
            "path_style = true".to_owned(),
            format!(
                "credentials = {}",
                quoted(&credentials.display().to_string())
            ),
        ];
        lines.iter().fold(String::new(), |mut text, line| {
            writeln!(text, "{line}").expect("a string takes any text");
            text
        })
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

fn fresh_source() -> SourceName {
    let digits = Uuid::new_v4().simple().to_string();
    SourceName::new(format!("embedded-{}", &digits[..8])).expect("hexadecimal digits are valid")
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension(format!("draft-{}", Uuid::new_v4().simple()));
    let mut open = OpenOptions::new();
    let mut file: File = open
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(Error::file("create", &draft))?;
    file.write_all(text.as_bytes())
        .map_err(Error::file("write", &draft))?;
    fs::rename(&draft, path).map_err(Error::file("rename", path))
}

/// As a TOML basic string, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
