//! The one error of this crate.

use std::io;

use skein_shared::error_kind::ErrorKind;
use skein_shared::ids::Chain;
use skein_shared::offset::Offset;
use skein_shared::units::ByteCount;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed, where, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of the load is out of bounds.
    #[error("the load cannot be made; {key}=`{value}` allowed=`{allowed}`")]
    Setting {
        /// Which one.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// The input is not points as CSV.
    #[error("the input cannot be read as points")]
    Csv(#[source] skein_shared::Error),
    /// The input broke off.
    #[error("reading the input failed; rows before may have been sent, and may be sent again")]
    Input(#[source] io::Error),
    /// Kafka refused, or did not answer.
    #[error("{operation} failed; topic=`{topic}` brokers=`{brokers}` reason=`{reason}`")]
    Kafka {
        /// What was being done.
        operation: &'static str,
        /// With which topic.
        topic: String,
        /// On which cluster.
        brokers: String,
        /// The client's own words, and what to do.
        reason: String,
    },
    /// A broker that drops old records would drop some that are in no ledger yet.
    #[error(
        "partition is full; topic=`{topic}` partition=`{partition}` held=`{held}` limit=`{limit}`: \
         run `skein connect --until-end`, then produce again"
    )]
    BacklogFull {
        /// Of which topic.
        topic: String,
        /// Which one.
        partition: u32,
        /// What it holds beyond the ledger's end.
        held: ByteCount,
        /// What it may hold.
        limit: ByteCount,
    },
    /// Another process has written the next progress of a partition of the old pipeline.
    #[error(
        "another process goes on with the partition; chain=`{chain}` progress=`{number}`: end one of the two, or give each \
         partitions of its own with --partitions"
    )]
    OldPartitionTaken {
        /// Which partition.
        chain: Chain,
        /// The number that is taken.
        number: u64,
    },
    /// The old pipeline cannot go on where it ended.
    #[error(
        "the old pipeline cannot go on; chain=`{chain}` position=`{position}` reason=`{reason}`: records that were not \
         written are gone, or the topic is another one of the same name"
    )]
    OldPosition {
        /// Which partition.
        chain: Chain,
        /// Where it would go on.
        position: Offset,
        /// Why it cannot.
        reason: String,
    },
    /// The operating system gave no runtime.
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    /// A file of the demo cannot be used.
    #[error("{operation} failed; file=`{file}`")]
    File {
        /// What was being done.
        operation: &'static str,
        /// With which file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// A process of ours did not come to a good end.
    #[error(
        "a process did not end well; command=`skein {command}` reason=`{reason}`: its own words stand above"
    )]
    Process {
        /// What was run.
        command: String,
        /// How it ended.
        reason: String,
    },
    /// An engine that the compactor is compared with did not run.
    #[error("an engine cannot be measured; command=`{command}` reason=`{reason}`")]
    Engine {
        /// What was run.
        command: String,
        /// How it ended.
        reason: String,
    },
    /// A thread ended without its result.
    #[error("a thread ended without its result; reason=`{0}`")]
    Ended(String),
    /// The demo was asked to stop.
    #[error("the demo was cancelled")]
    Cancelled,
    /// There is nothing in the bucket that could be damaged.
    #[error("there is nothing to damage: the bucket is empty")]
    NothingToDamage,
    /// Planted damage was not found: a check does not work.
    #[error("the planted damage was not found; plant=`{plant}`: a check does not do its work")]
    PlantNotFound {
        /// What was planted.
        plant: String,
    },
    /// A local server.
    #[error(transparent)]
    Local(#[from] skein_local::Error),
    /// The connector.
    #[error(transparent)]
    Connector(#[from] skein_connector::Error),
    /// The compactor.
    #[error(transparent)]
    Compactor(#[from] skein_compactor::Error),
    /// The reader.
    #[error(transparent)]
    Reader(#[from] skein_reader::Error),
    /// Settings, or an administrative call to Kafka.
    #[error(transparent)]
    Config(#[from] skein_config::Error),
    /// Bucket or format.
    #[error(transparent)]
    Shared(#[from] skein_shared::Error),
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. } | Self::File { .. } | Self::OldPosition { .. } => {
                ErrorKind::Invalid
            }
            Self::OldPartitionTaken { .. } => ErrorKind::Fenced,
            Self::Kafka { .. }
            | Self::BacklogFull { .. }
            | Self::Input(_)
            | Self::Runtime(_)
            | Self::Process { .. }
            | Self::Engine { .. }
            | Self::Ended(_)
            | Self::Cancelled
            | Self::NothingToDamage
            | Self::PlantNotFound { .. } => ErrorKind::Transient,
            Self::Local(error) => error.kind(),
            Self::Connector(error) => error.kind(),
            Self::Compactor(error) => error.kind(),
            Self::Reader(error) => error.kind(),
            Self::Csv(error) | Self::Shared(error) => error.kind(),
            Self::Config(error) => error.kind(),
        }
    }
}
