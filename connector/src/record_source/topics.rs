//! Which cluster this is, and whether it has what is to be read.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use skein_config::kafka::KafkaSettings;
use skein_shared::ErrorKind;
use skein_shared::ids::TopicName;

use crate::error::{Error, Result};

/// What a first question to the brokers told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// The cluster's own id.
    pub cluster_id: String,
    /// Partitions of the topics to read.
    pub partitions: u64,
}

/// Asks the brokers who they are and whether every topic is there. Blocks up to the settings' patience.
///
/// # Errors
/// `Transient` when nobody answers; `Invalid` when a topic is missing or nothing is to be read.
pub fn look(consumer: &BaseConsumer, kafka: &KafkaSettings) -> Result<ClusterView> {
    let patience = kafka.metadata_timeout.duration();
    if kafka.topics.is_empty() {
        return Err(Error::Setting {
            key: "kafka.topics",
            reason: "name at least one topic, or a pattern that begins with ^".to_owned(),
        });
    }
    // Of all topics: a request that names one would make the embedded broker create it.
    let metadata = consumer
        .fetch_metadata(None, patience)
        .map_err(|error| unreachable(kafka, "metadata", patience, &error.to_string()))?;
    let mut partitions = 0;
    for wanted in &kafka.topics {
        let matching = metadata
            .topics()
            .iter()
            .filter(|topic| is_wanted(wanted, topic.name()));
        let found: Vec<u64> = matching
            .map(|topic| topic.partitions().len() as u64)
            .collect();
        if found.is_empty() {
            return Err(missing(kafka, wanted));
        }
        partitions += found.iter().sum::<u64>();
    }
    let cluster_id = consumer
        .client()
        .fetch_cluster_id(patience)
        .ok_or_else(|| unreachable(kafka, "cluster id", patience, "the brokers tell none"))?;
    Ok(ClusterView {
        cluster_id,
        partitions,
    })
}

/// An error of a call to brokers that do not answer.
pub(super) fn unreachable(
    kafka: &KafkaSettings,
    operation: &'static str,
    patience: Duration,
    reason: &str,
) -> Error {
    Error::Kafka {
        operation,
        brokers: kafka.brokers.clone(),
        reason: format!(
            "{reason} (waited up to {patience:?}): check kafka.brokers, that the brokers run and \
             that their advertised listeners can be reached from here"
        ),
        kind: ErrorKind::Transient,
    }
}

fn is_wanted(wanted: &str, topic: &str) -> bool {
    if !wanted.starts_with('^') {
        return wanted == topic;
    }
    // Kafka's own topics never match a pattern of ours.
    !topic.starts_with("__")
        && regex::Regex::new(wanted).is_ok_and(|pattern| pattern.is_match(topic))
}

fn missing(kafka: &KafkaSettings, wanted: &str) -> Error {
    let brokers = kafka.brokers.clone();
    match TopicName::new(wanted) {
        Ok(topic) => Error::MissingTopic { brokers, topic },
        Err(_) => Error::NoTopicMatches {
            brokers,
            pattern: wanted.to_owned(),
        },
    }
}
