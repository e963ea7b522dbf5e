//! Of which windows nothing is missing any more that the timelines give us.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::format::shard_manifest::{Layer, ShardManifest};
use skein_shared::ids::OrgId;
use skein_shared::window::{TimeSpan, TimestampMs, Window};

use super::{Found, WindowRow};
use crate::org_accounts::Covered;
use crate::report::StepReport;

/// Those that touch `span`, without windows that are still open, which a rebuild leaves to the next merges, and without
/// those in which other points were found and left.
pub(super) fn covered(
    manifest: &ShardManifest,
    rows: &[WindowRow],
    (span, report): (TimeSpan, &StepReport),
) -> Covered {
    let is_left = |row: &&WindowRow| !row.is_replaced && row.found != Found::Same;
    let left = rows.iter().filter(is_left).map(|row| row.window);
    let mut highest: BTreeMap<OrgId, TimestampMs> = BTreeMap::new();
    for (org, not_owned) in report.not_owned.values().flatten() {
        let of_org = highest.entry(*org).or_insert(TimeSpan::ALL.from);
        *of_org = not_owned.highest.unwrap_or(*of_org).max(*of_org);
    }
    Covered {
        span,
        except: left.chain(open_windows(manifest)).collect(),
        highest_not_owned: highest,
    }
}

/// The windows that have live segments and no base.
fn open_windows(manifest: &ShardManifest) -> BTreeSet<Window> {
    let windows = |layer_is: fn(Layer) -> bool| {
        let segments = manifest.raw_segments();
        let of_layer = segments.filter(move |segment| layer_is(segment.layer));
        of_layer.map(|segment| segment.window)
    };
    let closed: BTreeSet<Window> = windows(|layer| layer == Layer::Base).collect();
    let live = windows(|_| true);
    live.filter(|window| !closed.contains(window)).collect()
}
