//! What the old pipeline did.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use skein_shared::bucket::Bucket;
use skein_shared::format::old_progress::OldCounts;
use skein_shared::process_use;

/// How far the old pipeline has come, or what it did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OldReport {
    /// Partitions that it reads, with a consumer for each.
    pub partitions: u64,
    /// Records that were read.
    pub records: u64,
    /// Those of them that are no payloads, or pass a limit.
    pub refused_records: u64,
    /// Points of the others, as far as they were flushed.
    pub points_in: u64,
    /// Points that lost to a later one within a flush.
    pub duplicates: u64,
    /// Points that another pipeline writes.
    pub not_owned: u64,
    /// Points that were written.
    pub points: u64,
    /// Files that were written.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Bytes for each point that was written.
    pub bytes_per_point: Option<f64>,
    /// Flushes of a partition.
    pub flushes: u64,
    /// Time since the start.
    pub elapsed_ms: u64,
    /// Processor time of this process so far, user and system.
    pub cpu_ms: u64,
    /// Requests that write.
    pub write_requests: u64,
    /// Requests that read.
    pub read_requests: u64,
    /// The most memory that was ever resident.
    pub peak_memory_bytes: Option<u64>,
}

/// What the partitions have done together.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Sums>);

#[derive(Debug, Default)]
struct Sums {
    counts: OldCounts,
    unflushed_records: u64,
    flushes: u64,
}

impl Tally {
    /// Records were read.
    pub(super) fn read(&self, records: u64) {
        self.change(|sums| sums.unflushed_records += records);
    }

    /// A partition was flushed.
    pub(super) fn flushed(&self, counts: &OldCounts) {
        self.change(|sums| {
            sums.counts.add(counts);
            sums.unflushed_records -= counts.records;
            sums.flushes += 1;
        });
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio for people needs no more than 53 bits"
    )]
    pub(super) fn report(&self, started: Instant, partitions: u64, bucket: &Bucket) -> OldReport {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (counts, requests) = (&sums.counts, bucket.requests());
        let per_point = counts.file_bytes as f64 / counts.points as f64;
        OldReport {
            partitions,
            records: counts.records + sums.unflushed_records,
            refused_records: counts.refused_records,
            points_in: counts.points_in,
            duplicates: counts.duplicates,
            not_owned: counts.not_owned,
            points: counts.points,
            files: counts.files,
            file_bytes: counts.file_bytes,
            bytes_per_point: (counts.points > 0).then_some(per_point),
            flushes: sums.flushes,
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            cpu_ms: process_use::cpu_ms(),
            write_requests: requests.writes(),
            read_requests: requests.reads(),
            peak_memory_bytes: process_use::peak_memory_bytes(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Sums)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
