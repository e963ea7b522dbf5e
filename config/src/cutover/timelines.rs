//! The timelines of all orgs, as one fleet says them.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_shared::bucket::Bucket;
use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_fleet::{CutoverFleet, FleetHead};
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Pipeline, SealVector, Timeline};
use skein_shared::{cutover_log, fleet_log};

pub use skein_shared::timeline::OwnershipFilter;

/// The timelines of all orgs, in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timelines {
    fleet: u64,
    unenrolled: Timeline,
    orgs: Arc<BTreeMap<OrgId, OrgCutover>>,
    filter: OwnershipFilter,
}

/// What a fleet says about one org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgCutover {
    /// The number of its version.
    pub version: u64,
    /// Where its cutover stands.
    pub state: CutoverState,
    /// Who writes and who is visible.
    pub timeline: Timeline,
    /// Up to where the old pipeline has written, once it writes no more.
    pub seal: Option<Arc<SealVector>>,
    /// How many reads in a hundred also run on the new pipeline.
    pub mirror_percent: u8,
    /// Where the old pipeline's files are, if not where it is set up to have them.
    pub old_place: Option<String>,
}

impl Timelines {
    /// Every org belongs to one pipeline, at all times: a bucket in which no org was ever cut over.
    pub fn owned_by(pipeline: Pipeline) -> Self {
        Self {
            fleet: 0,
            unenrolled: Timeline::owned_by(pipeline),
            orgs: Arc::default(),
            filter: OwnershipFilter::Owned,
        }
    }

    /// Every org belongs to the new pipeline, at all times.
    pub fn new_owns_everything() -> Self {
        Self::owned_by(Pipeline::New)
    }

    /// What the newest fleet says, with the seals that it names; without a fleet every org belongs to `unenrolled`.
    ///
    /// # Errors
    /// `Corrupt` when something stored is damaged, and what the bucket says.
    pub async fn load(bucket: &Bucket, unenrolled: Pipeline) -> skein_shared::Result<Self> {
        match fleet_log::newest(bucket).await? {
            Some(fleet) => Self::of_fleet(bucket, &fleet).await,
            None => Ok(Self::owned_by(unenrolled)),
        }
    }

    /// What `fleet` says, with the seals that it names.
    ///
    /// # Errors
    /// As [`Timelines::load`].
    pub async fn of_fleet(bucket: &Bucket, fleet: &CutoverFleet) -> skein_shared::Result<Self> {
        let mut orgs = BTreeMap::new();
        for (org, head) in &fleet.heads {
            let seal = match head.seal {
                Some(version) => Some(cutover_log::load_seal(bucket, *org, version).await?.vector),
                None => None,
            };
            orgs.insert(*org, OrgCutover::new(head, seal));
        }
        Ok(Self {
            fleet: fleet.number,
            unenrolled: Timeline::owned_by(fleet.unenrolled),
            orgs: Arc::new(orgs),
            filter: OwnershipFilter::Owned,
        })
    }

    /// The same with what is said of one org instead of what a fleet says.
    #[must_use]
    pub fn with(&self, org: OrgId, cutover: OrgCutover) -> Self {
        let mut orgs = BTreeMap::clone(&self.orgs);
        orgs.insert(org, cutover);
        Self {
            orgs: Arc::new(orgs),
            ..self.clone()
        }
    }

    /// The same, for a writer that cannot know whether they are the newest.
    #[must_use]
    pub fn unfiltered(&self) -> Self {
        Self {
            filter: OwnershipFilter::Everything,
            ..self.clone()
        }
    }

    /// The same, for a writer that knows that they are.
    #[must_use]
    pub fn filtered(&self) -> Self {
        Self {
            filter: OwnershipFilter::Owned,
            ..self.clone()
        }
    }

    /// Number of the fleet; every manifest names the one it was made with. 0 is before the first.
    pub fn version(&self) -> u64 {
        self.fleet
    }

    /// Which points the new pipeline writes.
    pub fn filter(&self) -> OwnershipFilter {
        self.filter
    }

    /// The timeline of `org`.
    pub fn of(&self, org: OrgId) -> &Timeline {
        let cutover = self.orgs.get(&org);
        cutover.map_or(&self.unenrolled, |cutover| &cutover.timeline)
    }

    /// All that is said of `org`; `None` when it was never cut over.
    pub fn cutover(&self, org: OrgId) -> Option<&OrgCutover> {
        self.orgs.get(&org)
    }

    /// The orgs that were cut over, ascending.
    pub fn enrolled(&self) -> impl Iterator<Item = (OrgId, &OrgCutover)> {
        self.orgs.iter().map(|(org, cutover)| (*org, cutover))
    }
}

impl OrgCutover {
    fn new(head: &FleetHead, seal: Option<SealVector>) -> Self {
        Self {
            version: head.version,
            state: head.state,
            timeline: head.timeline.clone(),
            seal: seal.map(Arc::new),
            mirror_percent: head.mirror_percent,
            old_place: head.old_place.clone(),
        }
    }
}
