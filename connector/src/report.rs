//! What a connector tells while it runs and when it ends.

use std::collections::BTreeMap;

use serde::Serialize;
use skein_shared::bucket::RequestCounts;
use skein_shared::process_use;

use crate::core::CoreStats;

/// How far a connector has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Time since the start.
    pub elapsed_ms: u64,
    /// Records taken in.
    pub records: u64,
    /// Bytes of their frames, before compression.
    pub raw_bytes: u64,
    /// Records that the ledger covers.
    pub durable_records: u64,
    /// Offsets between the positions and the ends at assignment.
    pub records_behind: u64,
    /// Partitions that are read.
    pub partitions: u64,
    /// Bytes in memory on their way.
    pub buffered_bytes: u64,
}

/// Why a connector ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Asked to; everything is flushed.
    Stopped,
    /// Asked to; the last flush missed its deadline and its records are read again at the next start.
    FlushMissed,
    /// Every partition was read to the end it had when it was assigned.
    EndReached,
    /// The end did not come nearer for `connector.stall_timeout`; what is durable stays so.
    Stalled,
}

/// What a connector did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectReport {
    /// Why it ended.
    pub outcome: Outcome,
    /// How long it ran.
    pub elapsed_ms: u64,
    /// From the first record to the end: without joining the group.
    pub reading_ms: u64,
    /// Processor time of this process so far, user and system.
    pub cpu_ms: u64,
    /// Records taken in.
    pub records: u64,
    /// Bytes of their frames, before compression.
    pub raw_bytes: u64,
    /// Records in quarantine, by reason.
    pub quarantined_records: BTreeMap<&'static str, u64>,
    /// State objects stored.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Ledger entries written.
    pub ledger_entries: u64,
    /// Records that they cover.
    pub durable_records: u64,
    /// Spans that another worker covered first; they were read again.
    pub conflicts: u64,
    /// Times that fetching waited for memory.
    pub pauses: u64,
    /// Requests to the bucket that write or list, by this process.
    pub write_requests: u64,
    /// Requests to the bucket that read, by this process.
    pub read_requests: u64,
    /// Partitions that are not read any more, and why.
    pub stopped_partitions: Vec<StoppedPartition>,
    /// Most memory that this process ever had.
    pub peak_memory_bytes: u64,
}

/// A partition that a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoppedPartition {
    /// Topic.
    pub topic: String,
    /// Partition of the topic.
    pub partition: u32,
    /// Why, and what to do.
    pub reason: String,
}

/// What a report is made of.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) elapsed_ms: u64,
    pub(crate) stats: &'a CoreStats,
    pub(crate) stopped: Vec<StoppedPartition>,
    pub(crate) requests: &'a RequestCounts,
}

impl ConnectReport {
    pub(crate) fn of(ended: Ended<'_>) -> Self {
        let stats = ended.stats;
        Self {
            outcome: ended.outcome,
            elapsed_ms: ended.elapsed_ms,
            reading_ms: stats.reading_ms(ended.elapsed_ms),
            cpu_ms: process_use::cpu_ms(),
            records: stats.records,
            raw_bytes: stats.raw_bytes,
            quarantined_records: stats.quarantined.clone(),
            objects: stats.objects,
            object_bytes: stats.object_bytes,
            flushes: stats.flushes,
            ledger_entries: stats.ledger_entries,
            durable_records: stats.ledger_records,
            conflicts: stats.conflicts,
            pauses: stats.pauses,
            write_requests: ended.requests.writes(),
            read_requests: ended.requests.reads(),
            stopped_partitions: ended.stopped,
            peak_memory_bytes: process_use::peak_memory_bytes().unwrap_or(0),
        }
    }

    /// Records in quarantine, of all reasons.
    pub fn quarantined(&self) -> u64 {
        self.quarantined_records.values().sum()
    }
}
