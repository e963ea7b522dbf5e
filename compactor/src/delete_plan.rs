//! What a shard has still to do for the sake of deletes: a pure function of its manifest and the deletes.

use std::collections::BTreeSet;
use std::sync::Arc;

use skein_shared::delete_rule::pending;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::shard_map::ShardMap;
use skein_shared::window::Window;

/// The deletes, and which of them are to be carried out.
#[derive(Debug, Clone, Default)]
pub struct DeleteInput {
    /// All of them, from the first on.
    pub entries: Arc<[DeleteEntry]>,
    /// Those up to this number have waited long enough for others to be done with them.
    pub due: u64,
}

impl DeleteInput {
    /// Up to which delete the shard has to be rid of points; 0 when it has nothing to do for their sake.
    pub fn due_in(&self, manifest: &ShardManifest, map: &ShardMap) -> u64 {
        let is_due = |delete: &&DeleteEntry| {
            let shards = || map.shards_of(delete.selector.org);
            delete.number <= self.due
                && delete.number > manifest.deletes_applied
                && shards().contains(&manifest.shard)
        };
        let due = self.entries.iter().filter(is_due);
        due.map(|delete| delete.number).max().unwrap_or(0)
    }

    /// The windows with a segment that may hold points of the deletes up to `due`.
    pub fn windows_to_clear(&self, manifest: &ShardManifest, due: u64) -> BTreeSet<Window> {
        let segments = manifest.raw_segments();
        let held = segments.filter(|segment| may_hold(&self.entries, manifest, segment, due));
        held.map(|segment| segment.window).collect()
    }
}

/// Whether a live segment may hold points of the deletes up to `due`.
pub fn may_hold(
    deletes: &[DeleteEntry],
    manifest: &ShardManifest,
    segment: &SegmentEntry,
    due: u64,
) -> bool {
    let mut pending = pending(deletes, manifest, segment);
    pending.any(|delete| delete.number <= due)
}

/// Up to which delete no point is left once the segments of `replaced` are gone and nothing but segments without deleted
/// points has come.
pub fn applied_without(
    replaced: &BTreeSet<&String>,
    manifest: &ShardManifest,
    deletes: &[DeleteEntry],
) -> u64 {
    let segments = manifest.raw_segments();
    let kept = segments.filter(|segment| !replaced.contains(&segment.key));
    let left = kept.flat_map(|segment| pending(deletes, manifest, segment));
    match left.map(|delete| delete.number).min() {
        Some(first) => first - 1,
        None => deletes.len() as u64,
    }
}
