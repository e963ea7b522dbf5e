//! Where the buckets of a snapshot are had from.

use std::collections::BTreeMap;

use skein_shared::format::shard_manifest::SegmentEntry;
use skein_shared::ids::ShardId;
use skein_shared::window::{Resolution, TimeSpan};

use super::Snapshot;

/// A segment of raw points that may hold points of the selection, and how its buckets are had; or a rollup that outlives
/// its points. One of the two is there.
#[derive(Debug, Clone, Copy)]
pub struct BucketSource<'a> {
    /// Whose manifest names it.
    pub shard: ShardId,
    /// The segment, unless it has expired.
    pub raw: Option<&'a SegmentEntry>,
    /// The coarsest of its rollups that its buckets can be joined from.
    pub rollup: Option<&'a SegmentEntry>,
}

impl BucketSource<'_> {
    /// The coarsest resolution that it gives buckets of without points.
    pub fn coarsest(&self) -> Resolution {
        self.rollup
            .map_or(Resolution::Raw, |rollup| rollup.resolution)
    }
}

impl Snapshot {
    /// [`Snapshot::segments`] with the rollups that can give their buckets of `resolution`, and such rollups that outlive
    /// their points. A rollup that does not fit its segment is passed over.
    pub fn bucket_sources(&self, span: TimeSpan, resolution: Resolution) -> Vec<BucketSource<'_>> {
        let mut coarsest: BTreeMap<&str, (ShardId, &SegmentEntry)> = BTreeMap::new();
        let fitting = self.manifests.iter().flat_map(|(shard, manifest)| {
            let raw = manifest.raw_by_key();
            let fits = move |rollup: &&SegmentEntry| {
                rollup.resolution <= resolution && raw.check_rollup(rollup).is_ok()
            };
            manifest
                .rollups()
                .filter(fits)
                .map(|rollup| (*shard, rollup))
        });
        for (shard, rollup) in fitting {
            let raw = rollup.rollup_of.as_deref().unwrap_or_default();
            let (_, best) = coarsest.entry(raw).or_insert((shard, rollup));
            if best.resolution < rollup.resolution {
                *best = rollup;
            }
        }
        let segments = self.segments(span).into_iter();
        let mut sources: Vec<BucketSource<'_>> = segments
            .map(|(shard, raw)| BucketSource {
                shard,
                raw: Some(raw),
                rollup: coarsest.remove(raw.key.as_str()).map(|(_, rollup)| rollup),
            })
            .collect();
        let lone = coarsest.into_values().filter(|(shard, rollup)| {
            self.is_wanted(rollup, span) && self.manifests[shard].outlives_points(rollup)
        });
        sources.extend(lone.map(|(shard, rollup)| BucketSource {
            shard,
            raw: None,
            rollup: Some(rollup),
        }));
        sources
    }
}
