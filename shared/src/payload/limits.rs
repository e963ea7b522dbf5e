//! How large a payload may be, and how far its points may lie from its record.

use crate::payload::refusal::Refusal;
use crate::units::{ByteCount, MIB, Millis};
use crate::window::{TimestampMs, Window};

/// Bounds of one payload. Each has its own [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest record value.
    pub payload_bytes: ByteCount,
    /// Most points.
    pub points: u32,
    /// Most metadata entries.
    pub metadata_entries: u32,
    /// Most bytes of all metadata keys and values together.
    pub metadata_bytes: ByteCount,
    /// Most windows from the earliest to the latest point. A payload is cut at their edges, and each piece
    /// keeps all metadata: fewer are allowed where that would take more than `payload_bytes`.
    pub windows: u64,
    /// How far a point may lie before its record's timestamp.
    pub past: Millis,
    /// How far a point may lie beyond its record's timestamp.
    pub future: Millis,
}

const DAY: u64 = 24 * 3600 * 1000;

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    /// Those that hold where the settings do not say.
    pub const DEFAULT: Self = Self {
        payload_bytes: ByteCount(8 * MIB),
        points: 1_000_000,
        metadata_entries: 256,
        metadata_bytes: ByteCount(64 * 1024),
        windows: 1000,
        past: Millis(3650 * DAY),
        future: Millis(DAY),
    };

    /// Checks the size of a record's value.
    ///
    /// # Errors
    /// [`Refusal::PayloadBytes`].
    pub fn check_bytes(&self, bytes: usize) -> Result<(), Refusal> {
        let (bytes, limit) = (bytes as u64, self.payload_bytes.0);
        if bytes <= limit {
            return Ok(());
        }
        Err(Refusal::PayloadBytes { bytes, limit })
    }

    /// Checks the number of points.
    ///
    /// # Errors
    /// [`Refusal::Points`].
    pub fn check_points(&self, points: usize) -> Result<(), Refusal> {
        let (points, limit) = (points as u64, u64::from(self.points));
        if points <= limit {
            return Ok(());
        }
        Err(Refusal::Points { points, limit })
    }

    /// Checks the number of metadata entries and the bytes of their keys and values.
    ///
    /// # Errors
    /// [`Refusal::MetadataEntries`] or [`Refusal::MetadataBytes`].
    pub fn check_metadata(&self, entries: usize, bytes: usize) -> Result<(), Refusal> {
        let (entries, limit) = (entries as u64, u64::from(self.metadata_entries));
        if entries > limit {
            return Err(Refusal::MetadataEntries { entries, limit });
        }
        let (bytes, limit) = (bytes as u64, self.metadata_bytes.0);
        if bytes > limit {
            return Err(Refusal::MetadataBytes { bytes, limit });
        }
        Ok(())
    }

    /// Checks how many windows the points from the first to the last event time spread over, beside
    /// `metadata_bytes` of metadata.
    ///
    /// # Errors
    /// [`Refusal::Windows`].
    pub fn check_windows(
        &self,
        earliest: TimestampMs,
        latest: TimestampMs,
        metadata_bytes: usize,
    ) -> Result<(), Refusal> {
        let windows = Window::of(latest)
            .number()
            .abs_diff(Window::of(earliest).number())
            + 1;
        let affordable = self.payload_bytes.0 / (metadata_bytes as u64).max(1);
        let limit = self.windows.min(affordable).max(1);
        if windows <= limit {
            return Ok(());
        }
        Err(Refusal::Windows { windows, limit })
    }

    /// Checks the first and last event time against the record's own timestamp; never against now, so
    /// that a replay decides the same. A record without a timestamp has no range.
    ///
    /// # Errors
    /// [`Refusal::TimestampReserved`], [`Refusal::TooOld`] or [`Refusal::TooNew`].
    pub fn check_times(
        &self,
        earliest: TimestampMs,
        latest: TimestampMs,
        record: Option<TimestampMs>,
    ) -> Result<(), Refusal> {
        if latest.0 == i64::MAX {
            return Err(Refusal::TimestampReserved);
        }
        let Some(record) = record else { return Ok(()) };
        if earliest.0 < record.0.saturating_sub_unsigned(self.past.0) {
            return Err(Refusal::TooOld {
                timestamp: earliest,
                record,
            });
        }
        if latest.0 > record.0.saturating_add_unsigned(self.future.0) {
            return Err(Refusal::TooNew {
                timestamp: latest,
                record,
            });
        }
        Ok(())
    }
}
