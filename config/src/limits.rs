//! `[limits]`: what one payload may hold. Records beyond are quarantined, never dropped.

use serde::{Deserialize, Serialize};
use skein_shared::payload::Limits;
use skein_shared::units::{ByteCount, Millis};

use crate::bound::{Bounds, Breach};

/// Limits of one payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Largest payload.
    pub payload_bytes: ByteCount,
    /// Most points in one payload.
    pub points: u32,
    /// Most metadata entries.
    pub metadata_entries: u32,
    /// Most bytes in all metadata keys and values.
    pub metadata_bytes: ByteCount,
    /// Most windows between a payload's earliest and latest point.
    pub windows: u64,
    /// How far a point may lie before its record's own timestamp.
    pub timestamp_past: Millis,
    /// How far a point may lie after its record's own timestamp.
    pub timestamp_future: Millis,
}

impl LimitSettings {
    /// The same as the payload decoder takes them.
    pub fn limits(&self) -> Limits {
        Limits {
            payload_bytes: self.payload_bytes,
            points: self.points,
            metadata_entries: self.metadata_entries,
            metadata_bytes: self.metadata_bytes,
            windows: self.windows,
            past: self.timestamp_past,
            future: self.timestamp_future,
        }
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("limits", breaches);
        bounds.range(
            "payload_bytes",
            &self.payload_bytes,
            ByteCount(1024)..=ByteCount::mib(8),
        );
        bounds.range("points", &self.points, 1..=1_000_000);
        bounds.range("metadata_entries", &self.metadata_entries, 0..=256);
        bounds.range(
            "metadata_bytes",
            &self.metadata_bytes,
            ByteCount(0)..=ByteCount(64 * 1024),
        );
        bounds.range("windows", &self.windows, 1..=100_000);
        bounds.range(
            "timestamp_past",
            &self.timestamp_past,
            Millis(0)..=Millis::seconds(86_400 * 36_500),
        );
        bounds.range(
            "timestamp_future",
            &self.timestamp_future,
            Millis(0)..=Millis::seconds(86_400 * 36_500),
        );
    }
}
