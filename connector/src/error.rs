//! The one error of this crate.

use skein_shared::ErrorKind;
use skein_shared::ids::{Chain, JobId, TopicName};

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
    /// The ledger has nothing of what is to be replayed.
    #[error("nothing to replay; what=`{what}`: `skein ls ledger` shows what there is")]
    NothingToReplay {
        /// Which source, topic, partitions.
        what: String,
    },
    /// A part of what is to be replayed is nowhere.
    #[error("a part of the range is gone; {parts}: replay the rest with --skip-gone")]
    RangeGone {
        /// Which parts exactly, and why.
        parts: String,
    },
    /// No replay has this id.
    #[error("there is no such replay; job=`{job}`: `skein replay status` lists them")]
    NoSuchReplay {
        /// Which id.
        job: JobId,
    },
    /// Another process carries on the same replay.
    #[error("another process carries on the same replay; job=`{job}`")]
    ReplayTaken {
        /// Which.
        job: JobId,
    },
    /// What Kafka holds are not the records that the ledger speaks of.
    #[error(
        "kafka holds other records than the ledger speaks of; chain=`{chain}` reason=`{reason}`"
    )]
    OtherLife {
        /// Of which chain.
        chain: Chain,
        /// What differs, and what to do.
        reason: String,
    },
    /// The contract's side failed.
    #[error(transparent)]
    Shared(#[from] skein_shared::Error),
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Kafka { kind, .. } | Self::Stopped { kind, .. } => *kind,
            // What ended it may not be there at the next start: a thread, memory, one record.
            Self::Ended { .. } => ErrorKind::Transient,
            Self::RangeGone { .. } => ErrorKind::Corrupt,
            Self::ReplayTaken { .. } => ErrorKind::Fenced,
            Self::NothingToReplay { .. }
            | Self::NoSuchReplay { .. }
            | Self::OtherLife { .. }
            | Self::MissingTopic { .. }
            | Self::NoTopicMatches { .. }
            | Self::Setting { .. } => ErrorKind::Invalid,
            Self::Config(error) => error.kind(),
            Self::Shared(error) => error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_whose_thread_ended_may_be_started_again() {
        let ended = Error::Ended {
            what: "the polling thread",
            reason: "it panicked".to_owned(),
        };
        assert_eq!(ended.kind(), ErrorKind::Transient);
    }
}
