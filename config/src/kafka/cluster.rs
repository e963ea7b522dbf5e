//! Administrative calls to a cluster, each bounded in time and with an error that says what to do.

use std::collections::BTreeMap;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use skein_shared::ids::TopicName;
use skein_shared::units::Millis;

use crate::error::{Error, Result};
use crate::kafka::KafkaSettings;
use crate::kafka::login::Login;
use crate::retention::TopicRetention;

/// What a cluster says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// The cluster's own id; `None` where the broker has none.
    pub cluster_id: Option<String>,
    /// Every topic and its number of partitions.
    pub topics: BTreeMap<TopicName, u32>,
}

impl KafkaSettings {
    /// Asks the cluster for its id and topics. Blocks, at most for twice `metadata_timeout`.
    ///
    /// # Errors
    /// As [`LookupClient::metadata`](crate::kafka::lookup_client::LookupClient::metadata).
    ///
    /// # Panics
    /// Never: Kafka counts partitions in 32 bits.
    pub fn look(&self) -> Result<ClusterView> {
        let client = self.lookup_client()?;
        let metadata = client.metadata()?;
        let partitions = |topic: &rdkafka::metadata::MetadataTopic| {
            let count =
                u32::try_from(topic.partitions().len()).expect("a partition's number fits 32 bits");
            Some((TopicName::new(topic.name()).ok()?, count))
        };
        Ok(ClusterView {
            topics: metadata.topics().iter().filter_map(partitions).collect(),
            cluster_id: client.cluster_id(),
        })
    }

    /// How long the cluster keeps the records of a topic.
    ///
    /// # Errors
    /// [`Error::KafkaRefused`] with the broker's words; the embedded broker tells nothing of the kind.
    pub async fn topic_retention(&self, topic: &TopicName) -> Result<TopicRetention> {
        let refused = |reason: String| Error::KafkaRefused {
            operation: "describe topic",
            topic: topic.to_string(),
            reason,
        };
        let timeout = Some(self.metadata_timeout.duration());
        let options = AdminOptions::new().request_timeout(timeout);
        if self.sasl.is_by_token() {
            // Its administrative client is never polled, and so never asks for a token.
            let reason = "the client library describes no topics with a login by token";
            return Err(refused(reason.to_owned()));
        }
        let admin: AdminClient<Login> = self.create(&self.client_config()?, self.login())?;
        let asked = [ResourceSpecifier::Topic(topic.as_str())];
        let described = admin.describe_configs(&asked, &options).await;
        let described = described.map_err(|error| refused(error.to_string()))?;
        let described = described.into_iter().next();
        let described = described.ok_or_else(|| refused("the answer is empty".to_owned()))?;
        let described = described.map_err(|code| refused(code.to_string()))?;
        let kept = described
            .get("retention.ms")
            .and_then(|entry| entry.value.as_deref());
        match kept.and_then(|text| text.parse::<i64>().ok()) {
            Some(millis) => Ok(
                u64::try_from(millis).map_or(TopicRetention::Unlimited, |millis| {
                    TopicRetention::For(Millis(millis))
                }),
            ),
            None => Err(refused("it has no retention.ms".to_owned())),
        }
    }

    /// Creates a topic with the cluster's default replication.
    ///
    /// # Errors
    /// [`Error::KafkaRefused`] with the broker's words, also when the topic exists.
    pub async fn create_topic(&self, topic: &TopicName, partitions: u32) -> Result<()> {
        let refused = |reason: String| Error::KafkaRefused {
            operation: "create topic",
            topic: topic.to_string(),
            reason,
        };
        if self.sasl.is_by_token() {
            // Its administrative client is never polled, and so never asks for a token.
            let reason = "the client library creates no topics with a login by token: create it with Kafka's own \
                          tools";
            return Err(refused(reason.to_owned()));
        }
        let timeout = Some(self.metadata_timeout.duration());
        let options = AdminOptions::new()
            .request_timeout(timeout)
            .operation_timeout(timeout);
        let count = i32::try_from(partitions)
            .map_err(|_| refused(format!("{partitions} partitions are too many")))?;
        let new_topic = NewTopic::new(topic.as_str(), count, TopicReplication::Fixed(-1));
        let admin: AdminClient<Login> = self.create(&self.client_config()?, self.login())?;
        let results = admin.create_topics([&new_topic], &options).await;
        for result in results.map_err(|error| refused(error.to_string()))? {
            result.map_err(|(_, code)| refused(code.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::load::{Layers, load};

    #[test]
    fn an_unreachable_broker_is_reported_within_the_time_limit() {
        let mut kafka = load(&Layers::default()).unwrap().kafka;
        // Port 1 of the loopback: nobody listens there without being root.
        kafka.brokers = "127.0.0.1:1".to_owned();
        kafka.metadata_timeout = Millis(300);
        let before = Instant::now();
        let error = kafka.look().unwrap_err();
        assert!(matches!(error, Error::KafkaUnreachable { .. }), "{error}");
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
        assert!(before.elapsed() < Duration::from_secs(5));
    }
}
