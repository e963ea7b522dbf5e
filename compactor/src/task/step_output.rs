//! What a step made, and where its points went.

use skein_shared::format::account::{OrgAccounts, OrgCounts};
use skein_shared::format::shard_manifest::{ConservationCounts, SealRef};
use skein_shared::ids::OrgId;

use crate::block_reader::FrameCounts;
use crate::quarantine_list::Listed;
use crate::window_writer::StepSegments;

/// What the CPU side of a step made.
pub(super) struct StepOutput {
    pub(super) frames: FrameCounts,
    pub(super) segments: StepSegments,
    pub(super) quarantine: Listed,
    pub(super) seal: Option<SealRef>,
}

impl StepOutput {
    pub(super) fn empty() -> Self {
        Self {
            frames: FrameCounts::default(),
            segments: StepSegments::default(),
            quarantine: Listed::default(),
            seal: None,
        }
    }

    /// Where the step's records and points went, in all and by org.
    pub(super) fn conservation(&self) -> (ConservationCounts, OrgAccounts) {
        let merged = self.segments.counts;
        assert_eq!(
            merged.total(),
            self.frames.points + self.segments.points_merged,
            "SK-11: points in are points out, duplicates, not owned, deleted or expired"
        );
        let Listed { list, damages } = &self.quarantine;
        let counts = ConservationCounts {
            records: self.frames.records,
            quarantined_records: list.as_ref().map_or(0, |list| list.records),
            points_in: self.frames.points,
            duplicates: merged.duplicates,
            not_owned: merged.not_owned,
            damaged_frames: damages.iter().map(|damage| damage.frames).sum(),
            deleted: merged.deleted,
            expired: merged.expired,
        };
        let orgs = self.orgs();
        assert_eq!(
            orgs.sum(),
            OrgCounts::from(counts),
            "SK-11: what went of all orgs went of some org"
        );
        (counts, orgs)
    }

    fn orgs(&self) -> OrgAccounts {
        let mut orgs = self.segments.orgs.clone();
        let one = OrgCounts {
            quarantined_records: 1,
            ..OrgCounts::default()
        };
        for org in &self.frames.quarantined_orgs {
            let count = |org: &OrgId| orgs.count(*org, one);
            if org.as_ref().map(count).is_none() {
                orgs.unreadable_records += 1;
            }
        }
        orgs
    }
}
