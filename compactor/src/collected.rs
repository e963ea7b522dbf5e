//! What it means that a live segment is not there.
//!
//! A compactor that is slower than `compactor.reader_pin` may find that others have merged a segment and garbage collection
//! has taken it: then it is late, and nothing is wrong. A segment that the newest manifest names is missing.

use skein_shared::bucket::Bucket;
use skein_shared::error::BucketCause;
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::manifest_log;

use crate::error::{Error, Result};

/// Says of a step on top of `base` that failed for want of a segment why the segment is not there; any other answer stays
/// what it is.
///
/// # Errors
/// [`Error::Superseded`] when the newest manifest of the shard no longer names it, else [`Error::SegmentMissing`]; the
/// bucket's.
pub async fn explained<T>(bucket: &Bucket, base: &ShardManifest, made: Result<T>) -> Result<T> {
    let Err(Error::Shared(skein_shared::Error::Bucket {
        key,
        cause: BucketCause::NotFound,
        ..
    })) = &made
    else {
        return made;
    };
    // The error's key has the prefix of the bucket's URL before it.
    let is_meant = |segment: &&SegmentEntry| key.ends_with(&segment.key);
    let Some(missing) = base.segments.iter().find(is_meant) else {
        return made;
    };
    let (shard, object) = (base.shard, missing.key.clone());
    let newest = manifest_log::newest(bucket, shard).await?;
    if newest.segments.iter().any(|segment| segment.key == object) {
        return Err(Error::SegmentMissing { shard, object });
    }
    Err(Error::Superseded {
        shard,
        generation: newest.generation,
        reason: format!("segment `{object}` was merged by another and collected as garbage"),
    })
}
