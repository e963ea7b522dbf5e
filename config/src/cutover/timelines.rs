//! The timelines of all orgs, as one fleet says them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use skein_shared::bucket::Bucket;
use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_fleet::{CutoverFleet, FleetHead};
use skein_shared::format::cutover_seal::CutoverSeal;
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Phase, Pipeline, SealVector, Timeline};
use skein_shared::{cutover_log, fleet_log};

pub use skein_shared::timeline::OwnershipFilter;

/// Seals that are fetched at the same time.
const CONCURRENT_GETS: usize = 16;

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

    /// What a reader of `org`, or of all orgs, goes by: the newest fleet, or the one of a number, so that a scan ends with what
    /// it began with; 0 is before the first, when every org belonged to `unenrolled`. Of seals only those are read over which
    /// points of the reader's may lie.
    ///
    /// # Errors
    /// As [`Timelines::load`]; [`Error::Bucket`](skein_shared::Error::Bucket) with cause `NotFound` when there is no such
    /// fleet.
    pub fn load_to_read(
        bucket: &Bucket,
        number: Option<u64>,
        (unenrolled, org): (Pipeline, Option<OrgId>),
    ) -> BoxFuture<'_, skein_shared::Result<Self>> {
        Box::pin(async move {
            let fleet = match number {
                None => fleet_log::newest(bucket).await?,
                Some(0) => None,
                Some(number) => Some(fleet_log::load(bucket, number).await?),
            };
            let Some(fleet) = fleet else {
                return Ok(Self::owned_by(unenrolled));
            };
            let is_old = |phase: &Phase| phase.visible == Pipeline::Old;
            let needs_seal = |id: OrgId, head: &FleetHead| {
                org.is_none_or(|org| org == id) && head.timeline.phases().iter().any(is_old)
            };
            Self::with_seals(bucket, &fleet, needs_seal).await
        })
    }

    /// What `fleet` says, with the seals that it names.
    ///
    /// # Errors
    /// As [`Timelines::load`].
    pub async fn of_fleet(bucket: &Bucket, fleet: &CutoverFleet) -> skein_shared::Result<Self> {
        Self::with_seals(bucket, fleet, |_, _| true).await
    }

    async fn with_seals(
        bucket: &Bucket,
        fleet: &CutoverFleet,
        needs_seal: impl Fn(OrgId, &FleetHead) -> bool,
    ) -> skein_shared::Result<Self> {
        let sealed = fleet
            .heads
            .iter()
            .filter(|(org, head)| needs_seal(**org, head));
        let sealed = sealed.filter_map(|(org, head)| Some((*org, head.seal?)));
        let sealed: Vec<(OrgId, u64)> = sealed.collect();
        let seals: Vec<CutoverSeal> = stream::iter(sealed)
            .map(|(org, version)| cutover_log::load_seal(bucket, org, version))
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        let mut seals: BTreeMap<OrgId, SealVector> = seals
            .into_iter()
            .map(|seal| (seal.org, seal.vector))
            .collect();
        let orgs = fleet
            .heads
            .iter()
            .map(|(org, head)| (*org, OrgCutover::new(head, seals.remove(org))));
        Ok(Self {
            fleet: fleet.number,
            unenrolled: Timeline::owned_by(fleet.unenrolled),
            orgs: Arc::new(orgs.collect()),
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

    /// The same for a reader that is to see one pipeline alone, whoever is visible. What the new one amended after a seal is
    /// its own.
    #[must_use]
    pub fn showing(&self, pipeline: Pipeline) -> Self {
        let orgs = self.orgs.iter().map(|(org, cutover)| {
            let seen = OrgCutover {
                timeline: Timeline::owned_by(pipeline),
                seal: None,
                ..cutover.clone()
            };
            (*org, seen)
        });
        Self {
            unenrolled: Timeline::owned_by(pipeline),
            orgs: Arc::new(orgs.collect()),
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

    /// The timeline of the orgs that were never cut over.
    pub fn unenrolled(&self) -> &Timeline {
        &self.unenrolled
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
