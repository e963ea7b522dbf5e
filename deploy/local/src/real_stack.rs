//! Apache Kafka and `SeaweedFS` with a settings file, as `skein dev up --real` runs them.

use std::fs;
use std::path::{Path, PathBuf};

use futures::future::LocalBoxFuture;
use skein_shared::ids::SourceName;

use crate::apache_kafka::{ApacheKafka, Nodes};
use crate::dev_stack::DevStackOptions;
use crate::error::{Error, Result};
use crate::seaweedfs::SeaweedFs;
use crate::settings_file::{BUCKET, SettingsFile, fresh_source};
use crate::unavailable::Unavailable;

/// Both servers; they stop when dropped, and their files go with them.
#[derive(Debug)]
pub struct RealStack {
    kafka: ApacheKafka,
    seaweedfs: SeaweedFs,
    source: SourceName,
    config_file: PathBuf,
}

impl RealStack {
    /// Fetches and starts both, creates the topics, and writes `skein.toml` into the directory.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where they cannot be had; the directory cannot be used.
    pub fn start(options: &DevStackOptions, nodes: Nodes) -> LocalBoxFuture<'_, Result<Self>> {
        Box::pin(async move {
            let directory = &options.directory;
            fs::create_dir_all(directory).map_err(Error::file("create directory", directory))?;
            let directory =
                fs::canonicalize(directory).map_err(Error::file("resolve", directory))?;
            let (kafka, seaweedfs) =
                tokio::join!(ApacheKafka::start(nodes), SeaweedFs::start(BUCKET));
            let (kafka, seaweedfs) = (kafka?, seaweedfs?);
            for topic in &options.topics {
                let created = kafka.create_topic(topic.as_str(), options.partitions).await;
                created.map_err(Unavailable::because)?;
            }
            let source = fresh_source("real");
            let config_file = SettingsFile {
                about: "Apache Kafka and SeaweedFS of one run.",
                brokers: kafka.bootstrap(),
                source: &source,
                topics: &options.topics,
                kafka_lines: "",
                endpoint: &seaweedfs.endpoint(),
                keys: (seaweedfs.access_key(), seaweedfs.secret_key()),
            }
            .write(&directory)?;
            Ok(Self {
                kafka,
                seaweedfs,
                source,
                config_file,
            })
        })
    }

    /// The cluster.
    pub fn kafka(&self) -> &ApacheKafka {
        &self.kafka
    }

    /// The store, which holds the bucket [`BUCKET`].
    pub fn seaweedfs(&self) -> &SeaweedFs {
        &self.seaweedfs
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
