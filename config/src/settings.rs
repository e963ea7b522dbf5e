//! All sections together: what the command line holds and hands on, section by section.

use serde::{Deserialize, Serialize};
use skein_shared::units::{ByteCount, MIB};

use crate::bound::{Bounds, Breach};
use crate::bucket::BucketSection;
use crate::compactor::CompactorSettings;
use crate::connector::{ConnectorSettings, MIN_BLOCK_BYTES, MIN_PART_BYTES};
use crate::kafka::KafkaSettings;
use crate::limits::LimitSettings;
use crate::shards::ShardSettings;
use crate::telemetry::TelemetrySettings;

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
    /// Logs and metrics.
    pub telemetry: TelemetrySettings,
}

impl Settings {
    /// Every value that is out of bounds, alone or together with others.
    pub fn breaches(&self) -> Vec<Breach> {
        let mut breaches = Vec::new();
        self.kafka.check(&mut breaches);
        self.bucket.check(&mut breaches);
        self.connector.check(&mut breaches);
        self.compactor.check(&mut breaches);
        self.shards.check(&mut breaches);
        self.limits.check(&mut breaches);
        self.telemetry.check(&mut breaches);
        self.check_connector_floor(&mut breaches);
        breaches
    }

    fn check_connector_floor(&self, breaches: &mut Vec<Breach>) {
        let floor = connector_floor(self.shards.shard_count(), self.limits.payload_bytes);
        let budget = self.connector.memory_budget;
        if budget < floor {
            let shards = self.shards.shard_count();
            let allowed = format!("at least {floor} for {shards} shards (and quarantine)");
            Bounds::of("connector", breaches).refuse("memory_budget", &budget, allowed);
        }
    }
}

/// The smallest budget with which a connector makes progress, rounded up to whole MiB:
/// two of the smallest blocks for each shard and for the quarantine (one filling, one compressed), two parts in flight, four of the
/// largest payloads on their way, all of which is three quarters of the budget, and at least 32 MiB of
/// librdkafka's queue, which is the last quarter.
pub fn connector_floor(shards: u64, payload_bytes: ByteCount) -> ByteCount {
    let blocks = (shards + 1) * 2 * MIN_BLOCK_BYTES.0;
    let buffers = blocks + 2 * MIN_PART_BYTES.0 + 4 * payload_bytes.0;
    let budget = (buffers.div_ceil(3) * 4).max(4 * 32 * MIB);
    ByteCount::mib(budget.div_ceil(MIB))
}
