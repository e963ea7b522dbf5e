//! Live segments beside what was made anew, window by window.

use std::collections::BTreeSet;

use skein_shared::ErrorKind;
use skein_shared::bucket::Bucket;
use skein_shared::format::checksum;
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::shard_manifest::{Layer, SegmentEntry, ShardManifest};
use skein_shared::units::MIB;
use skein_shared::window::{TimeSpan, Window};

use super::{Found, WindowRow};
use crate::error::Result;

/// Bytes of one request when a live segment is looked at.
const READ_BYTES: u64 = 8 * MIB;

/// Every closed window that has live segments or new ones. What is still open is merged again and again anyway.
pub(super) fn compare(
    manifest: &ShardManifest,
    added: &[SegmentEntry],
    span: TimeSpan,
) -> Vec<WindowRow> {
    let new: Vec<&SegmentEntry> = added.iter().filter(|s| s.resolution.is_raw()).collect();
    let windows = manifest.raw_segments().chain(new.iter().copied());
    let windows: BTreeSet<Window> = windows.map(|s| s.window).collect();
    let row = |window: Window| {
        let live = manifest.raw_segments().filter(|s| s.window == window);
        let live: Vec<&SegmentEntry> = live.collect();
        let is_open = !live.is_empty() && live.iter().all(|s| s.layer != Layer::Base);
        if is_open || !window.span().overlaps(span) {
            return None;
        }
        let new: Vec<&SegmentEntry> = new.iter().filter(|s| s.window == window).copied().collect();
        let (before, after) = (sum(&live), sum(&new));
        let found = match (live.as_slice(), new.as_slice()) {
            ([live], [new]) if live.summary == new.summary => Found::Same,
            _ if before == after => Found::OtherBytes,
            _ => Found::OtherPoints,
        };
        Some(WindowRow {
            shard: manifest.shard,
            window,
            segments: live.len(),
            points_before: before.0,
            points_after: after.0,
            found,
            waits_for_deletes: false,
            is_replaced: false,
        })
    };
    windows.into_iter().filter_map(row).collect()
}

/// Points and digest of segments together.
fn sum(segments: &[&SegmentEntry]) -> (u64, ContentDigest) {
    let mut digest = ContentDigest::EMPTY;
    for segment in segments {
        digest.add(segment.summary.digest);
    }
    (segments.iter().map(|s| s.summary.points).sum(), digest)
}

/// Whether every live segment of a window, and every rollup of them, is as the manifest says. Rollups that outlive their
/// points cannot be made anew: `skein verify` looks at them.
pub(super) async fn is_sound(
    bucket: &Bucket,
    manifest: &ShardManifest,
    window: Window,
) -> Result<bool> {
    let of_window = manifest.segments.iter().filter(|s| s.window == window);
    for segment in of_window.filter(|s| !manifest.outlives_points(s)) {
        let mut crc32c = 0;
        let mut read = 0;
        while read < segment.summary.size_bytes {
            let to = segment.summary.size_bytes.min(read + READ_BYTES);
            let bytes = match bucket.get_range(&segment.key, read..to).await {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Transient => return Err(error.into()),
                Err(_) => return Ok(false),
            };
            crc32c = checksum::combine(crc32c, checksum::crc32c(&bytes), bytes.len() as u64);
            read = to;
        }
        if crc32c != segment.summary.crc32c {
            return Ok(false);
        }
    }
    Ok(true)
}
