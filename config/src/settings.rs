//! All sections together: what the command line holds and hands on, section by section.

use std::fmt::Write as _;

use figment::value::{Dict, Value};
use serde::{Deserialize, Serialize};
use skein_shared::units::{ByteCount, MIB};

use crate::bound::{Bounds, Breach};
use crate::bucket::BucketSection;
use crate::compactor::CompactorSettings;
use crate::connector::{ConnectorSettings, MIN_BLOCK_ROOM, MIN_PART_BYTES, PARTITION_BYTES};
use crate::cutover::settings::CutoverSettings;
use crate::error::{Error, Fault, Result};
use crate::http::HttpSection;
use crate::kafka::KafkaSettings;
use crate::limits::LimitSettings;
use crate::prices::PriceSettings;
use crate::retention::RetentionSettings;
use crate::serve::ServeSettings;
use crate::shards::ShardSettings;
use crate::telemetry::TelemetrySection;
use crate::value_text;

/// Every setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Cluster, topics, group.
    pub kafka: KafkaSettings,
    /// Object storage.
    pub bucket: BucketSection,
    /// Kafka to state.
    pub connector: ConnectorSettings,
    /// State to segments.
    pub compactor: CompactorSettings,
    /// Routing of orgs.
    pub shards: ShardSettings,
    /// What one payload may hold.
    pub limits: LimitSettings,
    /// Whoever watches over a process.
    pub http: HttpSection,
    /// Reads over HTTP.
    pub serve: ServeSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySection,
    /// Between an old pipeline and this one.
    pub cutover: CutoverSettings,
    /// How long state is kept.
    pub retention: RetentionSettings,
    /// What things cost.
    pub prices: PriceSettings,
}

/// A setting without a default that a command cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// `kafka.brokers`.
    Brokers,
    /// `kafka.topics`.
    Topics,
    /// `bucket.url`.
    Bucket,
}

impl Settings {
    /// Demands settings that have no default.
    ///
    /// # Errors
    /// [`Error::Faults`] that names every one that is missing and how to give it.
    pub fn require(&self, needs: &[Need]) -> Result<()> {
        let missing: Vec<Fault> = needs
            .iter()
            .filter_map(|need| self.missing(*need))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::Faults(missing))
        }
    }

    fn missing(&self, need: Need) -> Option<Fault> {
        let (key, flag, is_missing) = match need {
            Need::Brokers => ("kafka.brokers", "--brokers", self.kafka.brokers.is_empty()),
            Need::Topics => ("kafka.topics", "--topics", self.kafka.topics.is_empty()),
            Need::Bucket => ("bucket.url", "--bucket", self.bucket.url.is_empty()),
        };
        let variable = format!("SKEIN_{}", key.to_uppercase().replace('.', "__"));
        is_missing.then(|| Fault {
            key: key.to_owned(),
            value: String::new(),
            allowed: format!("a value; give {flag}, {variable} or a file with --config"),
            origin: "default".to_owned(),
        })
    }

    /// The settings as a file that gives them again, but for secrets, which are hidden.
    ///
    /// # Panics
    /// Never: every section serializes.
    pub fn to_toml(&self) -> String {
        let tree = Value::serialize(self).expect("every section serializes");
        let mut text = String::new();
        write_section(
            "",
            tree.as_dict().expect("settings are sections"),
            &mut text,
        );
        text
    }

    /// Every value that is out of bounds, alone or together with others.
    pub fn breaches(&self) -> Vec<Breach> {
        let mut breaches = Vec::new();
        self.kafka.check(&mut breaches);
        self.bucket.check(&mut breaches);
        self.connector.check(&mut breaches);
        self.compactor.check(&mut breaches);
        self.shards.check(&mut breaches);
        self.limits.check(&mut breaches);
        self.http.check(&mut breaches);
        self.serve.check(&mut breaches);
        self.telemetry.check(&mut breaches);
        self.cutover.check(&mut breaches);
        self.retention.check(&mut breaches);
        self.prices.check(&mut breaches);
        self.check_connector_floor(&mut breaches);
        breaches
    }

    fn check_connector_floor(&self, breaches: &mut Vec<Breach>) {
        let floor = connector_floor(self.shards.shard_count(), self.limits.payload_bytes);
        let budget = self.connector.memory_budget;
        if budget < floor {
            let shards = self.shards.shard_count();
            let allowed = format!(
                "at least {floor} for {shards} shards (and quarantine); fewer shards, or a smaller \
                 limits.payload_bytes, need less"
            );
            Bounds::of("connector", breaches).refuse("memory_budget", &budget, allowed);
        }
    }
}

fn write_section(name: &str, section: &Dict, into: &mut String) {
    if !name.is_empty() {
        let _ = writeln!(into, "{}[{name}]", if into.is_empty() { "" } else { "\n" });
    }
    for (key, value) in section
        .iter()
        .filter(|(_, value)| value.as_dict().is_none())
    {
        // A key with a dot is a librdkafka property, and its quotes keep it one key.
        let key = if key.contains('.') {
            format!("{key:?}")
        } else {
            key.clone()
        };
        let _ = writeln!(into, "{key} = {}", value_text::toml(value));
    }
    for (key, value) in section {
        if let Some(inner) = value.as_dict() {
            let name = if name.is_empty() {
                key.clone()
            } else {
                format!("{name}.{key}")
            };
            write_section(&name, inner, into);
        }
    }
}

/// The smallest budget with which a connector makes progress, rounded up to whole MiB:
/// two of the smallest blocks for each shard and for the quarantine (one filling, one compressed), two parts in flight, four of the
/// largest payloads on their way, and a seventh of all that for the threads that compress; that is three quarters of
/// the budget, and at least 32 MiB of librdkafka's queue are the last quarter.
pub fn connector_floor(shards: u64, payload_bytes: ByteCount) -> ByteCount {
    let blocks = (shards + 1) * 2 * MIN_BLOCK_ROOM.0;
    // A limit beyond all bounds is refused by its own check, and must not overflow here.
    let payload_bytes = payload_bytes.0.min(1 << 40);
    let buffers = (blocks + 2 * MIN_PART_BYTES.0 + 4 * payload_bytes).div_ceil(7) * 8;
    let budget = (buffers.div_ceil(3) * 4).max(4 * 32 * MIB);
    ByteCount::mib(budget.div_ceil(MIB))
}

/// What a worker needs beyond [`connector_floor`] to read so many partitions, rounded up to whole MiB.
pub fn partitions_need(partitions: u64) -> ByteCount {
    let bytes = partitions.saturating_mul(PARTITION_BYTES.0);
    ByteCount::mib((bytes.div_ceil(3).saturating_mul(4)).div_ceil(MIB))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Layers, load};

    #[test]
    fn the_floor_rises_with_the_shards_and_the_default_budget_is_above_it() {
        let payload = ByteCount::mib(8);
        let mut last = ByteCount(0);
        for shards in [1, 64, 70, 1000, 4096] {
            let floor = connector_floor(shards, payload);
            assert!(floor >= last && floor >= ByteCount::mib(128));
            last = floor;
        }
        assert!(connector_floor(1000, payload) <= ByteCount::mib(1024));
        assert_eq!(partitions_need(0), ByteCount(0));
        assert_eq!(partitions_need(1), ByteCount::mib(1));
        assert_eq!(partitions_need(10_000), ByteCount::mib(79));
    }

    #[test]
    fn the_default_budget_keeps_what_is_promised_of_seventy_shards() {
        let connector = load(&Layers::default()).unwrap().connector;
        assert!(connector.memory_budget >= connector_floor(70, ByteCount::mib(8)));
        assert!(connector.resident_limit() <= ByteCount::mib(512));
    }

    #[test]
    fn what_a_command_needs_is_named_with_the_ways_to_give_it() {
        let settings = load(&Layers::default()).unwrap();
        let error = settings
            .require(&[Need::Brokers, Need::Bucket])
            .unwrap_err()
            .to_string();
        for word in [
            "kafka.brokers",
            "--brokers",
            "SKEIN_KAFKA__BROKERS",
            "bucket.url",
            "--config",
        ] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
