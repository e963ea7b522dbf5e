//! What a core is made with.

use skein_config::connector::ConnectorSettings;
use skein_shared::format::ledger_entry::StartPolicy;
use skein_shared::ids::{SourceName, WorkerId};
use skein_shared::shard_map::ShardMap;
use skein_shared::window::TimestampMs;

/// Everything that a core does not find out by events.
#[derive(Debug, Clone)]
pub struct CoreOptions {
    /// The `[connector]` section.
    pub settings: ConnectorSettings,
    /// Name of the Kafka cluster.
    pub source: SourceName,
    /// This run of the process.
    pub worker: WorkerId,
    /// Where write ids and sync markers come from. Random in life, given in a simulation.
    pub seed: u64,
    /// Wall clock at time zero of the steps; it only names the hour in object keys.
    pub epoch: TimestampMs,
    /// How records are routed.
    pub shard_map: ShardMap,
    /// Values above this go into quarantine.
    pub payload_limit_bytes: u64,
    /// Where a partition without a ledger begins.
    pub start: StartPolicy,
    /// When to end.
    pub until: Until,
}

/// When a connector ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Never: only when it is asked to.
    Asked,
    /// When every partition is read to the end that it had when it was assigned.
    EndAtAssignment,
}

/// Settings for unit tests: those that are embedded in the binary.
#[cfg(test)]
pub(crate) fn test_settings() -> ConnectorSettings {
    let layers = skein_config::load::Layers {
        file: None,
        environment: Vec::new(),
        flags: Vec::new(),
    };
    skein_config::load::load(&layers)
        .expect("the embedded defaults are valid")
        .connector
}
