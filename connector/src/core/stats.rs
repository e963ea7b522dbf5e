//! What the core counts.

use std::collections::BTreeMap;

use skein_shared::payload::Refusal;
use skein_shared::units::Millis;

use crate::core::event::Remedy;

/// Counts since the start of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CoreStats {
    /// Records taken in.
    pub records: u64,
    /// When the first of them came, in the time of the steps.
    pub first_record_at: Option<Millis>,
    /// Bytes of their frames before compression.
    pub raw_bytes: u64,
    /// Records of partitions that were not ours to read, or below the position; left to whoever reads them.
    pub ignored_records: u64,
    /// Records in the quarantine's objects, by the name of the reason.
    pub quarantined: BTreeMap<&'static str, u64>,
    /// Objects stored.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Flushes that ended with a ledger entry of ours; those whose last spans were given up are none.
    pub flushes: u64,
    /// Ledger entries that are ours.
    pub ledger_entries: u64,
    /// Records that they cover.
    pub ledger_records: u64,
    /// Objects whose upload was dropped because their flush was declared void.
    pub lost_objects: u64,
    /// Spans that another worker covered first.
    pub conflicts: u64,
    /// Spans that the ledger says are lost, by this worker.
    pub lost_spans: u64,
    /// Offsets in them.
    pub lost_offsets: u64,
    /// Revocations that were answered before everything was flushed.
    pub missed_drains: u64,
    /// Offsets that were read and left to the next owner in a storm of rebalances.
    pub left_offsets: u64,
    /// Commits whose outcome came only when it was not waited for any more.
    pub late_commits: u64,
    /// Times that no records were taken in for want of memory, or because the store refused.
    pub pauses: u64,
    /// Partitions that are read now.
    pub partitions_reading: u64,
    /// Partitions that are stopped: a person must act.
    pub partitions_stopped: u64,
    /// Offsets between the positions and the ends at assignment.
    pub records_behind: u64,
}

impl CoreStats {
    /// Time from the first record to `until_ms`.
    pub fn reading_ms(&self, until_ms: u64) -> u64 {
        let first = self.first_record_at;
        first.map_or(0, |first| until_ms.saturating_sub(first.0))
    }

    pub(super) fn count_quarantined(&mut self, refusal: &Refusal) {
        *self.quarantined.entry(refusal.name()).or_default() += 1;
    }
}

/// Tries of requests since the start of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestStats {
    /// Requests that were sent, each once.
    pub first_tries: u64,
    /// Retries by the reason of the failure before; absent is zero.
    pub retries: BTreeMap<&'static str, u64>,
    /// Requests that were sent a second time because they took far longer than their peers.
    pub hedges: u64,
    /// Looks at which a retry was due and the budget allowed none.
    pub held_back: u64,
}

impl RequestStats {
    /// Retries for any reason.
    pub fn retried(&self) -> u64 {
        self.retries.values().sum()
    }

    pub(super) fn count_retry(&mut self, after: Remedy) {
        *self.retries.entry(after.name()).or_default() += 1;
    }
}
