//! Whose points segments hold, from their indexes.

use std::collections::BTreeMap;

use skein_shared::bucket::Bucket;
use skein_shared::format::shard_manifest::SegmentEntry;
use skein_shared::ids::OrgId;
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::window::Window;

use crate::error::Result;
use crate::org_accounts::is_unreadable;

/// The raw points of each org in those of `segments` that are of `window`; `None` when an index does not read back, so that
/// nobody can tell.
///
/// # Errors
/// The bucket's; corrupt when a newer build wrote a segment: that is for a newer build to go on with.
pub(super) async fn of_window(
    bucket: &Bucket,
    segments: &[SegmentEntry],
    window: Window,
) -> Result<Option<BTreeMap<OrgId, u64>>> {
    let mut points: BTreeMap<OrgId, u64> = BTreeMap::new();
    let raw = segments.iter().filter(|s| s.resolution.is_raw());
    for segment in raw.filter(|s| s.window == window) {
        let file = match SegmentFile::open(bucket, segment).await {
            Ok(file) => file,
            Err(error) if is_unreadable(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // A run holds series of one org.
        for run in &file.footer().runs {
            *points.entry(run.org).or_default() += run.points;
        }
    }
    Ok(Some(points))
}
