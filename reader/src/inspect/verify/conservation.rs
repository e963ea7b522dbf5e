//! Conservation (SK-11): `points in = live points + duplicates + not owned + deleted + expired`, and what came in is what state
//! holds.

use skein_shared::format::shard_manifest::ShardManifest;

use crate::inspect::finding::CONSERVATION;
use crate::inspect::verify::Check;
use crate::inspect::verify::damages::is_whole;
use crate::inspect::verify::manifests::{Manifests, manifest_key};
use crate::inspect::verify::recount::Recounts;

/// Each manifest's own sum holds.
pub(super) fn check_counts(check: &mut Check<'_>, manifests: &Manifests) {
    for manifest in manifests.values() {
        let live = manifest.live_points();
        if manifest.counts.expected_points() != Some(live) {
            let counts = &manifest.counts;
            let (points_in, duplicates, not_owned, deleted, expired) = (
                counts.points_in,
                counts.duplicates,
                counts.not_owned,
                counts.deleted,
                counts.expired,
            );
            broken(
                check,
                manifest,
                format!(
                    "{points_in} points came in, but {live} are live, {duplicates} were duplicates, \
                     {not_owned} not owned, {deleted} deleted and {expired} expired"
                ),
            );
        }
    }
}

/// Each manifest took in what state holds below its positions.
pub(super) fn check_recounts(check: &mut Check<'_>, manifests: &Manifests, recounts: &Recounts) {
    // What is missing from a shard may read back again.
    for manifest in manifests.values().filter(|manifest| is_whole(manifest)) {
        let counted = recounts.shards.get(&manifest.shard);
        let counted = counted.copied().unwrap_or_default();
        let said = &manifest.counts;
        let pairs = [
            ("records", said.records, counted.records),
            (
                "quarantined records",
                said.quarantined_records,
                counted.quarantined_records,
            ),
            ("points", said.points_in, counted.points_in),
        ];
        for (name, said, counted) in pairs {
            if said != counted {
                let what = format!("says that {said} {name} came in, state holds {counted}");
                broken(check, manifest, what);
            }
        }
    }
}

fn broken(check: &mut Check<'_>, manifest: &ShardManifest, what: String) {
    let key = manifest_key(manifest.shard, manifest.generation);
    check.find(CONSERVATION.broken(key, None, what));
}
