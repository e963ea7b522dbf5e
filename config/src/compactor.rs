//! `[compactor]`: memory, reads and merges.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skein_shared::format::profile::Profile;
use skein_shared::units::{ByteCount, MIB, Millis};
use skein_shared::window::Resolution;

use crate::bound::{Bounds, Breach};

/// Settings of the compactor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompactorSettings {
    /// Bytes that reads, payload arenas, encoders and uploads of all tasks take together.
    pub memory_budget: ByteCount,
    /// Payload bytes that a shard takes forward in one step, with one commit; what memory has no room for goes over
    /// the local disk.
    pub step_bytes: ByteCount,
    /// The folder for that, with room for `step_bytes` for each task; empty for the system's temporary folder.
    pub spill_folder: PathBuf,
    /// Tasks at the same time; 0 is one for each core.
    pub threads: u32,
    /// Size of one ranged GET.
    pub read_bytes: ByteCount,
    /// Ranged GETs in flight for one task.
    pub read_concurrency: u32,
    /// Segments of at most this size go out as one request; larger ones in parts of it.
    pub part_bytes: ByteCount,
    /// Overlays that a window may have beside its base.
    pub max_overlays: u32,
    /// The rollups that are written beside the base of a window: of `5m`, `1h` and `1d`. Readers compute the others.
    pub rollups: Vec<Resolution>,
    /// What segments are encoded for: `fast`, `balanced` or `archive`. Readers read all of them.
    pub profile: Profile,
    /// How long a read may hold on to the manifest that it began with: what was live so lately is not deleted.
    pub reader_pin: Millis,
    /// How much later than its own timestamp a record may come into Kafka, plus how far the clock of any producer may
    /// lead.
    pub watermark_delay: Millis,
    /// How long a delete waits for others, so that segments are rewritten once for many; its points are masked at once.
    pub delete_after: Millis,
    /// How long after a delete its points must be gone from all segments.
    pub delete_deadline: Millis,
    /// Records of runs that are kept, for `skein timers`; 0 keeps none.
    pub run_records: u32,
}

impl CompactorSettings {
    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("compactor", breaches);
        bounds.range(
            "memory_budget",
            &self.memory_budget,
            ByteCount::mib(128)..=ByteCount::mib(4096),
        );
        bounds.range(
            "step_bytes",
            &self.step_bytes,
            ByteCount::mib(1)..=ByteCount::mib(64 * 1024),
        );
        bounds.range("threads", &self.threads, 0..=1024);
        bounds.range(
            "read_bytes",
            &self.read_bytes,
            ByteCount(64 * 1024)..=ByteCount::mib(64),
        );
        bounds.range("read_concurrency", &self.read_concurrency, 1..=256);
        bounds.range(
            "part_bytes",
            &self.part_bytes,
            ByteCount(5 * MIB)..=ByteCount::mib(64),
        );
        let ascend = self.rollups.is_sorted_by(|a, b| a < b);
        if !ascend || self.rollups.contains(&Resolution::Raw) {
            let names: Vec<&str> = self.rollups.iter().map(|r| r.name()).collect();
            let allowed = "`5m`, `1h` and `1d`, each once, the finest first";
            bounds.refuse("rollups", &names.join(", "), allowed);
        }
        bounds.range("max_overlays", &self.max_overlays, 1..=64);
        bounds.range(
            "reader_pin",
            &self.reader_pin,
            Millis::seconds(60)..=Millis::seconds(30 * 86_400),
        );
        bounds.range(
            "watermark_delay",
            &self.watermark_delay,
            Millis(0)..=Millis::seconds(30 * 86_400),
        );
        bounds.range("run_records", &self.run_records, 0..=10_000);
        let year = Millis::seconds(366 * 86_400);
        bounds.range("delete_after", &self.delete_after, Millis(0)..=year);
        bounds.range(
            "delete_deadline",
            &self.delete_deadline,
            self.delete_after..=year,
        );
    }
}
