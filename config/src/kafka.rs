//! `[kafka]`: which cluster and topics, and the only place where Kafka clients are configured.

mod topics;
pub mod tls;
mod token;
mod msk_token;
mod token_source;
pub mod sasl;
pub mod login;
pub mod lookup_client;
pub mod cluster;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize};
use skein_shared::ids::SourceName;
use skein_shared::units::{ByteCount, MIB, Millis};

use crate::bound::{Bounds, Breach};
use crate::error::{Error, Result};
use crate::kafka::login::Login;
use crate::kafka::sasl::{SaslSettings, Tls};
use crate::kafka::tls::TlsSettings;
use crate::property::{HIDDEN, Properties, is_secret};

/// Settings of the Kafka side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Bootstrap servers.
    pub brokers: String,
    /// Our name of the cluster.
    pub source: String,
    /// Names, or POSIX extended regular expressions that start with `^`; each once.
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
    /// Encrypted connections.
    pub tls: TlsSettings,
    /// The login.
    pub sasl: SaslSettings,
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

/// Properties that `kafka.tls` and `kafka.sasl` decide once either is in use.
const SECURITY: [&str; 10] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
];

/// How many times its size a compressed batch may have once it is unpacked; text that repeats itself comes near.
const UNPACKED_RATIO: u64 = 20;

/// Least that a broker is asked for at once: below it a fetch costs more than it brings. A response holds one batch
/// at least, whatever it was asked for.
const MIN_FETCH_BYTES: u64 = 128 * 1024;

/// What librdkafka takes for a message's limit by default.
const MAX_MESSAGE_BYTES: u64 = 1_000_000;

/// What a consumer may hold of records that nobody has taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchShare {
    /// Bytes of fetched records, unpacked.
    pub queue: ByteCount,
    /// Brokers that are read from: each may have a response of its own on the way.
    pub brokers: u32,
}

impl KafkaSettings {
    /// The cluster's name, which [`crate::load`] has checked.
    ///
    /// # Panics
    /// If the settings were not checked.
    pub fn source_name(&self) -> SourceName {
        SourceName::new(self.source.as_str()).expect("settings are checked when they are loaded")
    }

    /// What every client has in common: addresses, security and the properties handed on.
    ///
    /// # Errors
    /// A file that security needs is not there, or may be read by others.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let mut config = ClientConfig::new();
        self.set_client(&mut config)?;
        Ok(config)
    }

    /// The context of a client, or the part of one that logs, notes errors and gives tokens.
    pub fn login(&self) -> Login {
        Login::new(self.sasl.token_source())
    }

    /// Makes a client.
    ///
    /// # Errors
    /// [`Error::KafkaClient`] with librdkafka's words, but never with the value of a property.
    pub fn create<T, C>(&self, config: &ClientConfig, context: C) -> Result<T>
    where
        C: ClientContext,
        T: FromClientConfigAndContext<C>,
    {
        config
            .create_with_context(context)
            .map_err(|error| Error::KafkaClient {
                brokers: self.brokers.clone(),
                reason: without_values(&error),
            })
    }

    fn set_client(&self, config: &mut ClientConfig) -> Result<()> {
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "skein");
        // librdkafka would otherwise wait up to ten seconds before it tries a broker again.
        config.set("reconnect.backoff.max.ms", "2000");
        for (name, value) in &self.properties.0 {
            config.set(name, value);
        }
        if let Some(protocol) = self.security_protocol() {
            config.set("security.protocol", protocol);
        }
        self.tls.set(config)?;
        self.sasl.set(config)
    }

    /// `None` where neither `kafka.tls` nor `kafka.sasl` is in use, and `kafka.properties` may say it.
    fn security_protocol(&self) -> Option<&'static str> {
        match (self.tls.enabled, self.sasl.is_on()) {
            (false, false) => None,
            (true, false) => Some("SSL"),
            (false, true) => Some("SASL_PLAINTEXT"),
            (true, true) => Some("SASL_SSL"),
        }
    }

    /// Config of a consumer that holds about its share of fetched records.
    ///
    /// librdkafka's dangerous defaults are all set here. What the settings hand on wins over what is a
    /// matter of taste (assignor, fetch sizes), never over what a promise rests on.
    ///
    /// # Errors
    /// As [`client_config`](Self::client_config).
    pub fn consumer_config(&self, share: FetchShare) -> Result<ClientConfig> {
        let mut config = ClientConfig::new();
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("topic.metadata.refresh.interval.ms", "30000");
        config.set("isolation.level", "read_committed");
        config.set("queued.min.messages", "100000");
        // A partition whose queue is full waits this long; the default of a second starves it.
        config.set("fetch.queue.backoff.ms", "10");
        // Half of the share is for what is queued.
        let queued_bytes = (share.queue.0 / 2).max(MIB);
        let fetch_bytes = share.fetch_bytes();
        config.set("fetch.max.bytes", fetch_bytes.to_string());
        self.set_client(&mut config)?;
        // No message is ever sent, but librdkafka refuses to fetch less than a message may have.
        let set = |name| config.get(name).and_then(|bytes| bytes.parse::<u64>().ok());
        let limits =
            ["fetch.max.bytes", "message.max.bytes"].map(|name| set(name).unwrap_or(u64::MAX));
        let message_bytes = limits.into_iter().fold(MAX_MESSAGE_BYTES, u64::min);
        config.set("message.max.bytes", message_bytes.to_string());
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
            (queued_bytes / 1024).to_string(),
        );
        Ok(config)
    }

    /// Config of a producer: idempotent, acknowledged by all replicas, keys placed as Java clients do.
    ///
    /// # Errors
    /// As [`client_config`](Self::client_config).
    pub fn producer_config(&self) -> Result<ClientConfig> {
        let mut config = ClientConfig::new();
        config.set("compression.type", "none");
        config.set("linger.ms", "20");
        self.set_client(&mut config)?;
        config.set("acks", "all");
        config.set("enable.idempotence", "true");
        config.set("partitioner", "murmur2_random");
        config.set("allow.auto.create.topics", "false");
        Ok(config)
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("kafka", breaches);
        if let Err(reason) = SourceName::new(self.source.as_str()) {
            bounds.refuse("source", &self.source, reason);
        }
        topics::check(&self.topics, &mut bounds);
        if self.group.is_empty() || self.group.len() > 249 {
            bounds.refuse("group", &self.group, "1 to 249 characters");
        }
        bounds.range(
            "metadata_timeout",
            &self.metadata_timeout,
            Millis(100)..=Millis::seconds(300),
        );
        let tls = if self.tls.enabled { Tls::On } else { Tls::Off };
        self.tls.check(&mut bounds);
        self.sasl.check(tls, &mut bounds);
        for (ours, instead) in OURS {
            self.refuse_property(ours, instead, &mut bounds);
        }
        if self.security_protocol().is_some() {
            for ours in SECURITY {
                self.refuse_property(ours, "kafka.tls and kafka.sasl decide it", &mut bounds);
            }
        }
    }

    fn refuse_property(&self, name: &str, instead: &str, bounds: &mut Bounds<'_>) {
        if let Some(value) = self.properties.0.get(name) {
            let value = if is_secret(name) { HIDDEN } else { value };
            let allowed = format!("not to be set here ({instead})");
            bounds.refuse(&format!("properties.{name}"), &value, allowed);
        }
    }
}

impl FetchShare {
    /// The share of a consumer that reads from one broker at a time.
    pub const fn of_one_broker(queue: ByteCount) -> Self {
        Self { queue, brokers: 1 }
    }

    /// What one broker is asked for at once. Half of the share is for responses that were asked for before the queue
    /// was full: one from each broker, which comes whole and is unpacked at once.
    fn fetch_bytes(self) -> u64 {
        let responses = u64::from(self.brokers.max(1)) * UNPACKED_RATIO;
        (self.queue.0 / 2 / responses).clamp(MIN_FETCH_BYTES, 16 * MIB)
    }
}

/// The library's own text repeats the value of the property that it refuses, which may be a password.
fn without_values(error: &KafkaError) -> String {
    if let KafkaError::ClientConfig(_, reason, name, _value) = error {
        return format!("{reason}; property=`{name}`: correct it in kafka.properties");
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
