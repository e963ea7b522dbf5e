//! Damages that shards have gone past: undecided ones are findings, accepted ones explain what is found in state.

use skein_shared::format::damage::DamageRef;
use skein_shared::format::shard_manifest::ShardManifest;

use crate::inspect::finding::{CONSERVATION, Finding, UNDECIDED};
use crate::inspect::verify::Check;
use crate::inspect::verify::manifests::{Manifests, manifest_key};

/// Reports what nobody has decided, and manifests that miscount what is missing.
pub(super) fn check_damages(check: &mut Check<'_>, manifests: &Manifests) {
    for manifest in manifests.values() {
        for damage in manifest.undecided() {
            let what = format!(
                "{} bytes did not read back when {} was compacted, up to {} records are missing from windows between \
                 {} and {}; damage {}",
                damage.bytes,
                manifest.shard,
                damage.frames,
                damage.times.from,
                damage.times.to,
                damage.id
            );
            check.find(UNDECIDED.broken(&damage.object, Some(damage.at), what));
        }
        check.findings.extend(miscounted(manifest));
    }
}

fn miscounted(manifest: &ShardManifest) -> Option<Finding> {
    let missing = manifest.damages.iter().filter(|damage| damage.is_missing());
    let frames: u64 = missing.map(|damage| damage.frames).sum();
    let counted = manifest.counts.damaged_frames;
    let what =
        format!("counts {counted} frames in damaged places, those that it names have {frames}");
    let key = manifest_key(manifest.shard, manifest.generation);
    (frames != counted).then(|| CONSERVATION.broken(key, None, what))
}

/// What is wrong with state where the loss was accepted is no finding any more.
pub(super) fn set_accepted_aside(check: &mut Check<'_>, manifests: &Manifests) {
    let damages = manifests.values().flat_map(|manifest| &manifest.damages);
    let accepted: Vec<_> = damages
        .filter(|damage| damage.is_missing() && !damage.is_undecided())
        .collect();
    let is_accepted = |finding: &mut Finding| {
        accepted.iter().any(|damage| {
            // A block does not begin at 0: that is the whole object.
            let place = damage.at..damage.at.saturating_add(damage.bytes);
            let is_in = damage.at == 0 || finding.at.is_some_and(|at| place.contains(&at));
            finding.object == damage.object && is_in
        })
    };
    let known = check.findings.extract_if(.., is_accepted);
    check.accepted.extend(known);
}

/// Whether a shard has taken in all that state holds below its positions.
pub(super) fn is_whole(manifest: &ShardManifest) -> bool {
    !manifest.damages.iter().any(DamageRef::is_missing)
}
