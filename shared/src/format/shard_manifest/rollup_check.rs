//! Whether rollups fit the raw segments that they were computed from.

use std::collections::HashMap;

use super::{Expiry, SegmentEntry, ShardManifest};

/// The live segments of raw points of one manifest, by their keys.
#[derive(Debug)]
pub struct RawByKey<'a> {
    raw: HashMap<&'a str, &'a SegmentEntry>,
    expiry: &'a Expiry,
}

/// How a rollup and the raw segment that it names do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RollupMismatch {
    /// It is of a segment that readers do not read.
    #[error("its raw segment is not live")]
    NotLive,
    /// They are of different event times.
    #[error("its raw segment is of another window")]
    OtherWindow,
    /// Points are missing, or there are too many.
    #[error("covers {covered} raw points, its raw segment has {points}")]
    OtherPoints {
        /// What the buckets are made of.
        covered: u64,
        /// What the raw segment holds.
        points: u64,
    },
}

impl ShardManifest {
    /// The live segments of raw points, to check rollups by: in one pass, however many there are.
    pub fn raw_by_key(&self) -> RawByKey<'_> {
        let raw = self.raw_segments();
        RawByKey {
            raw: raw.map(|segment| (segment.key.as_str(), segment)).collect(),
            expiry: &self.expiry,
        }
    }
}

impl RawByKey<'_> {
    /// Whether a rollup of the manifest covers exactly the points of the raw segment that it names, or outlives them.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check_rollup(&self, rollup: &SegmentEntry) -> std::result::Result<(), RollupMismatch> {
        let named = rollup.rollup_of.as_ref();
        let Some(raw) = named.and_then(|key| self.raw.get(key.as_str())) else {
            return if self.expiry.is_emptied(rollup.window) {
                Ok(())
            } else {
                Err(RollupMismatch::NotLive)
            };
        };
        let (covered, points) = (rollup.summary.raw_points, raw.summary.points);
        if rollup.window != raw.window {
            Err(RollupMismatch::OtherWindow)
        } else if covered != points {
            Err(RollupMismatch::OtherPoints { covered, points })
        } else {
            Ok(())
        }
    }
}
