//! The one error of this crate.

use std::fmt;

use skein_shared::ErrorKind;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Full key: `connector.roll_bytes`.
    pub key: String,
    /// The value as it was given; empty where it is missing or must not be shown.
    pub value: String,
    /// What would be right.
    pub allowed: String,
    /// The layer that set it: a file, a variable, a flag, or `default`; empty where it is no longer known.
    pub origin: String,
}

/// What is wrong with the settings, or with what they lead to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A settings file cannot be read.
    #[error("read settings failed; file=`{file}` reason=`{reason}`")]
    Unreadable {
        /// Path as it was given.
        file: String,
        /// What the system or the parser says.
        reason: String,
    },
    /// One or more settings cannot be used.
    #[error("settings are not valid; {}", list(.0))]
    Faults(Vec<Fault>),
    /// A Kafka client cannot be made from the settings.
    #[error("make kafka client failed; brokers=`{brokers}` reason=`{reason}`")]
    KafkaClient {
        /// The bootstrap servers.
        brokers: String,
        /// librdkafka's own words.
        reason: String,
    },
    /// No broker answered.
    #[error(
        "reach kafka failed; brokers=`{brokers}` reason=`{reason}`: check that a broker listens there and that \
         its listener's security matches kafka.tls and kafka.sasl"
    )]
    KafkaUnreachable {
        /// The bootstrap servers.
        brokers: String,
        /// librdkafka's own words.
        reason: String,
    },
    /// The connection could not be encrypted, or the broker's certificate is not trusted.
    #[error(
        "encrypt connection to kafka failed; brokers=`{brokers}` reason=`{reason}`: check kafka.tls, and that the \
         listener there speaks TLS"
    )]
    KafkaTls {
        /// The bootstrap servers.
        brokers: String,
        /// librdkafka's own words.
        reason: String,
    },
    /// The broker refused the login, or there is no token for one.
    #[error("log in to kafka failed; brokers=`{brokers}` reason=`{reason}`: check kafka.sasl")]
    KafkaLogin {
        /// The bootstrap servers.
        brokers: String,
        /// The broker's own words.
        reason: String,
    },
    /// The broker refused an administrative call.
    #[error("{operation} failed; topic=`{topic}` reason=`{reason}`")]
    KafkaRefused {
        /// What was being done.
        operation: &'static str,
        /// The topic.
        topic: String,
        /// The broker's own words.
        reason: String,
    },
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable { .. }
            | Self::Faults(_)
            | Self::KafkaClient { .. }
            | Self::KafkaTls { .. }
            | Self::KafkaLogin { .. }
            | Self::KafkaRefused { .. } => ErrorKind::Invalid,
            Self::KafkaUnreachable { .. } => ErrorKind::Transient,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            value,
            allowed,
            origin,
        } = self;
        write!(f, "key=`{key}` value=`{value}` allowed=`{allowed}`")?;
        if origin.is_empty() {
            return Ok(());
        }
        write!(f, " origin=`{origin}`")
    }
}

fn list(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    lines.join("; ")
}
