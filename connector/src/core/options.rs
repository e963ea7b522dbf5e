//! What a core is made with.

use skein_config::connector::{
    ConnectorSettings, MIN_BLOCK_BYTES, MIN_PART_BYTES, PARTITION_BYTES,
};
use skein_shared::format::ledger_entry::StartPolicy;
use skein_shared::ids::{SourceName, WorkerId};
use skein_shared::retry::RetryPolicy;
use skein_shared::shard_map::ShardMap;
use skein_shared::window::TimestampMs;

use crate::core::mutant::Mutant;

/// Everything that a core does not find out by events.
#[derive(Debug, Clone)]
pub struct CoreOptions {
    /// The `[connector]` section.
    pub settings: ConnectorSettings,
    /// How long failed requests wait before they are sent again.
    pub retry: RetryPolicy,
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
    /// Least sizes, whatever the budget.
    pub floors: Floors,
    /// Threads that compress, each of which takes memory of its own; 0 in a simulation, which has none.
    pub compressors: u32,
    /// A bug, for a simulator to find.
    pub mutant: Option<Mutant>,
}

/// Sizes that are not for settings to decide: S3's and memory's, or small ones in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floors {
    /// Least raw size of a full block.
    pub block_bytes: u64,
    /// Least size of a part that is not the last.
    pub part_bytes: u64,
    /// What an object takes beside its bytes, and each of its blocks until it is sent, with what an allocator loses
    /// on them.
    pub entry_bytes: u64,
    /// What each stream takes in a block beside its frames: with thousands of partitions that is more than the frames.
    pub stream_bytes: u64,
    /// What an open object's index takes.
    pub index: IndexFloors,
    /// What each partition that is read takes, here and in the client library.
    pub partition_bytes: u64,
}

/// What the index of an object takes until the object is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexFloors {
    /// Each block: its entry and its filter of orgs.
    pub block_bytes: u64,
    /// Each stream of each block.
    pub span_bytes: u64,
    /// Each stream of the object: its sums, in a list that doubles as it grows.
    pub stream_bytes: u64,
}

impl IndexFloors {
    /// Nothing is counted: for a simulation.
    pub const NONE: Self = Self {
        block_bytes: 0,
        span_bytes: 0,
        stream_bytes: 0,
    };
}

impl Floors {
    /// What S3 takes.
    pub const S3: Self = Self {
        block_bytes: MIN_BLOCK_BYTES.0,
        part_bytes: MIN_PART_BYTES.0,
        entry_bytes: 8192,
        stream_bytes: 256,
        index: IndexFloors {
            block_bytes: 2048,
            span_bytes: 96,
            stream_bytes: 320,
        },
        partition_bytes: PARTITION_BYTES.0,
    };
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
