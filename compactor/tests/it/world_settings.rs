//! How tests compact.

use skein_config::compactor::CompactorSettings;
use skein_shared::format::profile::Profile;
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::Resolution;

/// Settings whose budgets are large and whose merges come early.
pub(crate) fn settings() -> CompactorSettings {
    CompactorSettings {
        reader_pin: Millis(0),
        watermark_delay: Millis::seconds(300),
        delete_after: Millis(0),
        delete_deadline: Millis::seconds(86_400),
        run_records: 1000,
        memory_budget: ByteCount::mib(256),
        threads: 2,
        read_bytes: ByteCount::mib(8),
        read_concurrency: 4,
        part_bytes: ByteCount::mib(8),
        max_overlays: 4,
        step_bytes: ByteCount::mib(1024),
        spill_folder: std::path::PathBuf::new(),
        rollups: vec![Resolution::FiveMinutes, Resolution::OneHour],
        profile: Profile::default(),
    }
}
