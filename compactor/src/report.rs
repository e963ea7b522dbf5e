//! What a run did, and how far it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use skein_shared::bucket::RequestCounts;
use skein_shared::format::segment_writer::EncodingBytes;
use skein_shared::format::shard_manifest::ConservationCounts;
use skein_shared::ids::OrgId;
use skein_shared::window::Window;

use crate::ownership_filter::NotOwned;

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// Shards that were looked at.
    pub shards: usize,
    /// Shards that committed at least one generation.
    pub shards_advanced: usize,
    /// Commits lost to another compactor; their input was planned again.
    pub superseded: u64,
    /// Damages of all shards about which nobody has decided, old ones and new ones.
    pub undecided_damages: usize,
    /// Sums over all steps that were committed.
    pub steps: StepReport,
    /// Wall time.
    pub elapsed: Duration,
    /// Requests to the bucket.
    pub requests: RequestCounts,
    /// Most memory that the process ever had resident, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

/// What steps did, once committed.
#[derive(Debug, Clone, Default)]
pub struct StepReport {
    /// Generations committed.
    pub generations: u64,
    /// State objects read, or parts of them.
    pub objects: u64,
    /// Their stored bytes that were read.
    pub object_bytes: u64,
    /// Frames read that no ledger entry names: void.
    pub void_frames: u64,
    /// Where the points went, and the records.
    pub counts: ConservationCounts,
    /// Points of live segments that were merged again.
    pub points_merged: u64,
    /// Points in the segments written.
    pub points_out: u64,
    /// Segments written.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Rollups written.
    pub rollups: u64,
    /// Their bytes.
    pub rollup_bytes: u64,
    /// Buckets in them.
    pub buckets: u64,
    /// Points and bytes of the segments and rollups by encoding.
    pub encodings: EncodingBytes,
    /// Bytes of payloads that went over the local disk, because memory had no room for them.
    pub spilled_bytes: u64,
    /// CPU time of the threads that decode, sort, merge and encode.
    pub busy: Duration,
    /// Points of the orgs that were not owned, by window; of one step alone.
    pub not_owned: BTreeMap<Window, BTreeMap<OrgId, NotOwned>>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Progress {
    /// Shards that are done.
    pub shards_done: usize,
    /// Shards in all.
    pub shards: usize,
    /// Points read so far.
    pub points: u64,
    /// Stored bytes of state read so far.
    pub bytes: u64,
    /// Stored bytes of state that the run has to read.
    pub bytes_total: u64,
    /// Time since the start.
    pub elapsed_ms: u64,
}

/// Is told how far a run is, from any thread, once for each block and each shard: it must be quick.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Sums up what the tasks of a run report.
pub struct ProgressCounter {
    listener: OnProgress,
    started: Instant,
    shards: usize,
    bytes_total: u64,
    shards_done: AtomicUsize,
    points: AtomicU64,
    bytes: AtomicU64,
}

impl ProgressCounter {
    /// Starts at nothing done.
    pub fn new(listener: OnProgress, shards: usize, bytes_total: u64) -> Self {
        Self {
            listener,
            started: Instant::now(),
            shards,
            bytes_total,
            shards_done: AtomicUsize::new(0),
            points: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// A block was read.
    pub fn add(&self, points: u64, bytes: u64) {
        self.points.fetch_add(points, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    /// A shard is done.
    pub fn shard_done(&self) {
        self.shards_done.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        let elapsed_ms = self.started.elapsed().as_millis();
        (self.listener)(Progress {
            shards_done: self.shards_done.load(Ordering::Relaxed),
            shards: self.shards,
            points: self.points.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_total: self.bytes_total,
            elapsed_ms: u64::try_from(elapsed_ms).unwrap_or(u64::MAX),
        });
    }
}

impl fmt::Debug for ProgressCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressCounter").finish_non_exhaustive()
    }
}

impl StepReport {
    /// Takes another step in.
    pub fn add(&mut self, other: &Self) {
        self.generations += other.generations;
        self.objects += other.objects;
        self.object_bytes += other.object_bytes;
        self.void_frames += other.void_frames;
        self.counts.add(other.counts);
        self.points_merged += other.points_merged;
        self.points_out += other.points_out;
        self.segments += other.segments;
        self.segment_bytes += other.segment_bytes;
        self.rollups += other.rollups;
        self.rollup_bytes += other.rollup_bytes;
        self.buckets += other.buckets;
        self.encodings.add(&other.encodings);
        self.spilled_bytes += other.spilled_bytes;
        self.busy += other.busy;
        // By window it would grow with every step; accounts have the sums.
    }
}

impl RunReport {
    /// Points read each second of one core's work; `None` when nothing was read.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn points_per_core_second(&self) -> Option<f64> {
        let points = self.steps.counts.points_in as f64;
        let busy = self.steps.busy.as_secs_f64();
        (busy > 0.0 && points > 0.0).then(|| points / busy)
    }

    /// Bytes of segments for each point in them; `None` when none was written.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn bytes_per_point(&self) -> Option<f64> {
        let points = self.steps.points_out as f64;
        (points > 0.0).then(|| self.steps.segment_bytes as f64 / points)
    }
}

impl Progress {
    /// How long the rest takes at the pace so far; `None` before there is a pace.
    pub fn remaining(&self) -> Option<Duration> {
        let left = self.bytes_total.saturating_sub(self.bytes);
        let millis = u128::from(self.elapsed_ms) * u128::from(left);
        let millis = millis.checked_div(u128::from(self.bytes))?;
        Some(Duration::from_millis(u64::try_from(millis).ok()?))
    }
}

/// Measures the CPU time of one thread.
#[derive(Debug)]
pub struct CpuClock {
    started: Instant,
    cpu_before: Option<Duration>,
}

impl CpuClock {
    /// Starts for the thread that calls; stop it there too.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            cpu_before: thread_cpu_time(),
        }
    }

    /// CPU time since the start; wall time where the system does not tell.
    pub fn stop(self) -> Duration {
        match (self.cpu_before, thread_cpu_time()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            (None, _) | (_, None) => self.started.elapsed(),
        }
    }
}

/// CPU time of this thread so far, as Linux counts it.
fn thread_cpu_time() -> Option<Duration> {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = schedule.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_for_each_byte_as_what_was_read() {
        let progress = Progress {
            bytes: 100,
            bytes_total: 400,
            elapsed_ms: 50,
            ..Progress::default()
        };
        assert_eq!(progress.remaining(), Some(Duration::from_millis(150)));
        assert_eq!(Progress::default().remaining(), None);
    }
}
