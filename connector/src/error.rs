//! The one error of this crate.

use skein_shared::ErrorKind;
use skein_shared::ids::TopicName;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to Kafka failed.
    #[error("kafka {operation} failed; brokers=`{brokers}` reason=`{reason}`")]
    Kafka {
        /// What was being asked.
        operation: &'static str,
        /// Whom.
        brokers: String,
        /// Kafka's words, and what to do.
        reason: String,
        /// What the caller must do.
        kind: ErrorKind,
    },
    /// A topic to consume is not there.
    #[error(
        "kafka has no such topic; brokers=`{brokers}` topic=`{topic}`: create it, or correct kafka.topics"
    )]
    MissingTopic {
        /// Where it was looked for.
        brokers: String,
        /// Which one.
        topic: TopicName,
    },
    /// No topic of the cluster matches the settings.
    #[error("kafka has no topic that matches; brokers=`{brokers}` pattern=`{pattern}`")]
    NoTopicMatches {
        /// Where it was looked for.
        brokers: String,
        /// Which pattern.
        pattern: String,
    },
    /// A setting has a value that cannot work.
    #[error("setting is not valid; key=`{key}` reason=`{reason}`")]
    Setting {
        /// Which.
        key: &'static str,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// A thread or task could not be started or ended without its result.
    #[error("{what} ended without a result; reason=`{reason}`")]
    Ended {
        /// Which.
        what: &'static str,
        /// Why, as far as it is known.
        reason: String,
    },
    /// A step that the connector cannot go on without failed for good. Nothing is lost: what the ledger
    /// does not name is read again at the next start.
    #[error("the connector stopped; step=`{step}` reason=`{reason}`")]
    Stopped {
        /// Which step.
        step: &'static str,
        /// Why.
        reason: String,
        /// What the caller must do.
        kind: ErrorKind,
    },
    /// A client of Kafka cannot be made from the settings, or finds no cluster.
    #[error(transparent)]
    Config(#[from] skein_config::Error),
    /// The contract's side failed.
    #[error(transparent)]
    Shared(#[from] skein_shared::Error),
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Kafka { kind, .. } | Self::Stopped { kind, .. } => *kind,
            Self::MissingTopic { .. }
            | Self::NoTopicMatches { .. }
            | Self::Setting { .. }
            | Self::Ended { .. } => ErrorKind::Invalid,
            Self::Config(error) => error.kind(),
            Self::Shared(error) => error.kind(),
        }
    }
}
