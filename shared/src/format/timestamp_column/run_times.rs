//! The timestamps that a run's blocks had before, so that series which were measured together share them.

use std::collections::HashMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

/// Different timestamps of the blocks of one run. A run is cut by points, which bounds this.
#[derive(Debug, Default)]
pub(super) struct RunTimes {
    blocks: u32,
    timestamps_ms: Vec<i64>,
    /// By hash; of equal hashes the last.
    seen: HashMap<u64, Seen>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Seen {
    block: u32,
    place: Range<usize>,
}

impl RunTimes {
    pub(super) fn begin_run(&mut self) {
        self.blocks = 0;
        self.timestamps_ms.clear();
        self.seen.clear();
    }

    /// Counts a block whose timestamps are not shared.
    pub(super) fn pass(&mut self) {
        self.blocks += 1;
    }

    /// Counts a block; how many blocks before it one with the same timestamps stands, which are its own.
    pub(super) fn find(&mut self, timestamps_ms: &[i64]) -> Option<u32> {
        let block = self.blocks;
        self.blocks += 1;
        self.bytes.clear();
        self.bytes
            .extend(timestamps_ms.iter().flat_map(|ms| ms.to_le_bytes()));
        let hash = xxh3_64(&self.bytes);
        if let Some(seen) = self.seen.get(&hash)
            && self.timestamps_ms[seen.place.clone()] == *timestamps_ms
        {
            return Some(block - seen.block);
        }
        let start = self.timestamps_ms.len();
        self.timestamps_ms.extend_from_slice(timestamps_ms);
        let place = start..self.timestamps_ms.len();
        self.seen.insert(hash, Seen { block, place });
        None
    }
}
