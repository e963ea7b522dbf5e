//! Which cluster this is, and whether it has what is to be read.

use skein_config::kafka::KafkaSettings;
use skein_config::kafka::lookup_client::LookupClient;
use skein_shared::ErrorKind;
use skein_shared::ids::{PartitionId, TopicName};

use crate::core::event::TopicPartition;
use crate::error::{Error, Result};

/// What a first question to the brokers told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// The cluster's own id.
    pub cluster_id: String,
    /// Partitions of the topics to read.
    pub partitions: u64,
    /// Brokers that it has.
    pub brokers: u32,
}

/// Asks the brokers who they are and whether every topic is there. Blocks up to the settings' patience.
///
/// # Errors
/// `Transient` when nobody answers; `Invalid` when the login is refused, a topic is missing or nothing is to be
/// read.
pub fn look(client: &LookupClient, kafka: &KafkaSettings) -> Result<ClusterView> {
    if kafka.topics.is_empty() {
        return Err(Error::Setting {
            key: "kafka.topics",
            reason: "name at least one topic, or a pattern that begins with ^".to_owned(),
        });
    }
    let metadata = client.metadata()?;
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
    let cluster_id = client.cluster_id().ok_or_else(|| Error::Kafka {
        operation: "cluster id",
        brokers: kafka.brokers.clone(),
        reason: "the brokers tell none".to_owned(),
        kind: ErrorKind::Transient,
    })?;
    Ok(ClusterView {
        cluster_id,
        partitions,
        brokers: u32::try_from(metadata.brokers().len()).unwrap_or(u32::MAX),
    })
}

/// Every partition of the topics to read, in order. Blocks up to the settings' patience.
///
/// # Errors
/// As [`look`], but for topics that are missing.
pub fn partitions(client: &LookupClient, kafka: &KafkaSettings) -> Result<Vec<TopicPartition>> {
    let metadata = client.metadata()?;
    let mut partitions = Vec::new();
    for topic in metadata.topics() {
        let is_read = kafka
            .topics
            .iter()
            .any(|wanted| is_wanted(wanted, topic.name()));
        let Some(name) = TopicName::new(topic.name()).ok().filter(|_| is_read) else {
            continue;
        };
        partitions.extend(topic.partitions().iter().map(|it| TopicPartition {
            topic: name.clone(),
            partition: PartitionId(it.id().cast_unsigned()),
        }));
    }
    partitions.sort();
    Ok(partitions)
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
