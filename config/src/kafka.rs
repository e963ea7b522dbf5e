//! `[kafka]`: which cluster and topics, and the only place where Kafka clients are configured.

pub mod cluster;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use skein_shared::ids::SourceName;
use skein_shared::units::{ByteCount, MIB, Millis};

use crate::bound::{Bounds, Breach};
use crate::property::{HIDDEN, Properties, is_secret};

/// Settings of the Kafka side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Bootstrap servers.
    pub brokers: String,
    /// Our name of the cluster.
    pub source: String,
    /// Names, or regular expressions that start with `^`.
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Identity for static membership; empty is dynamic.
    pub member: String,
    /// Where a partition without a ledger begins.
    pub first_position: FirstPosition,
    /// Bytes that `produce` lets a partition hold beyond the ledger's end; 0 is no limit.
    pub backlog_limit: ByteCount,
    /// Patience with one administrative call.
    pub metadata_timeout: Millis,
    /// Any other property of librdkafka.
    pub properties: Properties,
}

/// Where a partition that has no ledger yet begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstPosition {
    /// At the oldest record that Kafka has.
    Earliest,
    /// Behind the newest record.
    Latest,
}

/// Properties that Skein decides, and where to say so instead.
const OURS: [(&str, &str); 12] = [
    ("bootstrap.servers", "set kafka.brokers"),
    ("metadata.broker.list", "set kafka.brokers"),
    ("group.id", "set kafka.group"),
    ("group.instance.id", "set kafka.member"),
    (
        "group.protocol",
        "classic only: the new protocol still loses members for good",
    ),
    (
        "enable.auto.commit",
        "false: offsets are committed after the ledger",
    ),
    (
        "enable.auto.offset.store",
        "false: offsets are committed after the ledger",
    ),
    (
        "auto.offset.reset",
        "error: a lost offset must never be a silent jump; see kafka.first_position",
    ),
    ("check.crcs", "true: every byte is checksummed"),
    (
        "enable.partition.eof",
        "false: ends are read from watermarks",
    ),
    (
        "queued.max.messages.kbytes",
        "computed from connector.memory_budget",
    ),
    (
        "allow.auto.create.topics",
        "false: topics are made on purpose",
    ),
];

impl KafkaSettings {
    /// The cluster's name, which [`crate::load`] has checked.
    ///
    /// # Panics
    /// If the settings were not checked.
    pub fn source_name(&self) -> SourceName {
        SourceName::new(self.source.as_str()).expect("settings are checked when they are loaded")
    }

    /// What every client has in common: addresses and the properties handed on.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "skein");
        // librdkafka would otherwise wait up to ten seconds before it tries a broker again.
        config.set("reconnect.backoff.max.ms", "2000");
        for (name, value) in &self.properties.0 {
            config.set(name, value);
        }
        config
    }

    /// Config of a consumer whose queue of fetched records holds about `queue`.
    ///
    /// librdkafka's dangerous defaults are all set here. What the settings hand on wins over what is a
    /// matter of taste (assignor, fetch sizes), never over what a promise rests on.
    pub fn consumer_config(&self, queue: ByteCount) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("topic.metadata.refresh.interval.ms", "30000");
        config.set("isolation.level", "read_committed");
        config.set("queued.min.messages", "100000");
        // A partition whose queue is full waits this long; the default of a second starves it.
        config.set("fetch.queue.backoff.ms", "10");
        // Each broker may hold one response of this size beyond the queue.
        let fetch_bytes = (queue.0 / 4).clamp(MIB, 16 * MIB);
        config.set("fetch.max.bytes", fetch_bytes.to_string());
        for (name, value) in self.client_config().config_map() {
            config.set(name, value);
        }
        config.set("group.id", &self.group);
        if !self.member.is_empty() {
            config.set("group.instance.id", &self.member);
        }
        config.set("group.protocol", "classic");
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config.set("check.crcs", "true");
        config.set("enable.partition.eof", "false");
        config.set("allow.auto.create.topics", "false");
        config.set(
            "queued.max.messages.kbytes",
            (queue.0 / 1024).max(1024).to_string(),
        );
        config
    }

    /// Config of a producer: idempotent, acknowledged by all replicas, keys placed as Java clients do.
    pub fn producer_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("compression.type", "none");
        config.set("linger.ms", "20");
        for (name, value) in self.client_config().config_map() {
            config.set(name, value);
        }
        config.set("acks", "all");
        config.set("enable.idempotence", "true");
        config.set("partitioner", "murmur2_random");
        config.set("allow.auto.create.topics", "false");
        config
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("kafka", breaches);
        if let Err(reason) = SourceName::new(self.source.as_str()) {
            bounds.refuse("source", &self.source, reason);
        }
        for topic in &self.topics {
            if let Err(reason) = check_topic(topic) {
                bounds.refuse("topics", topic, reason);
            }
        }
        if self.group.is_empty() || self.group.len() > 249 {
            bounds.refuse("group", &self.group, "1 to 249 characters");
        }
        bounds.range(
            "metadata_timeout",
            &self.metadata_timeout,
            Millis(100)..=Millis::seconds(300),
        );
        for (ours, instead) in OURS {
            let Some(value) = self.properties.0.get(ours) else {
                continue;
            };
            let value = if is_secret(ours) { HIDDEN } else { value };
            let allowed = format!("not to be set here ({instead})");
            bounds.refuse(&format!("properties.{ours}"), &value, allowed);
        }
    }
}

fn check_topic(topic: &str) -> Result<(), String> {
    if topic.starts_with('^') {
        return regex::Regex::new(topic)
            .map(drop)
            .map_err(|error| error.to_string());
    }
    skein_shared::ids::TopicName::new(topic).map(drop)
}
