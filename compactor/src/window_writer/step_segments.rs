//! What a step's segments change.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::format::account::OrgAccounts;
use skein_shared::format::shard_manifest::{Deleted, SegmentEntry};
use skein_shared::ids::OrgId;
use skein_shared::window::Window;

use crate::duplicate_rule::MergeCounts;
use crate::ownership_filter::NotOwned;
use crate::report::StepReport;
use crate::series_encoder::Scratch;

/// What a step's segments change.
#[derive(Debug, Default)]
pub struct StepSegments {
    /// The new segments.
    pub added: Vec<SegmentEntry>,
    /// Windows of which live segments were merged, with their keys.
    pub replaced: BTreeMap<Window, Vec<String>>,
    /// Windows that have a new base.
    pub sealed: BTreeSet<Window>,
    /// Where the points went.
    pub counts: MergeCounts,
    /// Those that deletes have taken, by the delete.
    pub deleted: Deleted,
    /// The same by org.
    pub orgs: OrgAccounts,
    /// Points of live segments that were merged again.
    pub points_merged: u64,
    /// Segments written and their bytes and encodings.
    pub report: StepReport,
}

impl StepSegments {
    /// Counts where the points of a window went.
    pub(super) fn count(&mut self, window: Window, counts: MergeCounts, scratch: &mut Scratch) {
        self.counts.add(counts);
        self.orgs.add(&scratch.take_orgs());
        self.count_not_owned(window, scratch.take_not_owned());
        for (delete, points) in scratch.take_deleted() {
            *self.deleted.entry(delete).or_default() += points;
        }
    }

    fn count_not_owned(&mut self, window: Window, not_owned: BTreeMap<OrgId, NotOwned>) {
        for (org, points) in &not_owned {
            if let Some(highest) = points.highest {
                self.orgs.mark_not_owned(*org, highest);
            }
        }
        if !not_owned.is_empty() {
            self.report.not_owned.insert(window, not_owned);
        }
    }
}
