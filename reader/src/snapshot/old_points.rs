//! Which orgs of a snapshot have points of the old system that readers see, and where those are.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use skein_shared::delete_log;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Pipeline, Timeline};
use skein_shared::window::{Resolution, TimeSpan, Window};

use super::Snapshot;
use crate::error::{Error, Result};
use crate::old_places::OldPlaces;
use crate::old_source::OldSource;

impl Snapshot {
    /// The same state with the places that points of the old system are had from. Without them what readers see of it is an
    /// error.
    #[must_use]
    pub fn with_old(self, places: OldPlaces) -> Self {
        Self {
            places: Some(places),
            ..self
        }
    }

    /// The event times in `span` of which readers see the old system's points of `org`, rising.
    pub fn old_shown(&self, org: OrgId, span: TimeSpan) -> Vec<TimeSpan> {
        shown(self.timelines().of(org), span)
    }

    /// The orgs of the selection of which readers see points of the old system in `span`. No request is made unless all orgs
    /// are read, and the old system has those that were never cut over.
    ///
    /// # Errors
    /// As [`Snapshot::old_source`].
    pub fn old_orgs(&self, span: TimeSpan) -> BoxFuture<'_, Result<BTreeSet<OrgId>>> {
        Box::pin(async move {
            if let Some(org) = self.selection().org() {
                let is_shown = !self.old_shown(org, span).is_empty();
                return Ok(is_shown.then_some(org).into_iter().collect());
            }
            let timelines = self.timelines();
            let mut orgs = BTreeSet::new();
            if !shown(timelines.unenrolled(), span).is_empty() {
                orgs = self.place(None)?.source_of(None).await?.orgs().await?;
            }
            orgs.retain(|org| timelines.cutover(*org).is_none());
            let enrolled = timelines.enrolled();
            let seen = enrolled.filter(|(_, cutover)| !shown(&cutover.timeline, span).is_empty());
            orgs.extend(seen.map(|(org, _)| org));
            Ok(orgs)
        })
    }

    /// The old system that has the points of `org`.
    ///
    /// # Errors
    /// [`Error::OldUnknown`] where nothing says where it is, and what it says.
    pub fn old_source(&self, org: OrgId) -> BoxFuture<'_, Result<OldSource>> {
        Box::pin(async move {
            let cutover = self.timelines().cutover(org);
            self.place(Some(org))?.source_of(cutover).await
        })
    }

    fn place(&self, org: Option<OrgId>) -> Result<&OldPlaces> {
        let org = org.map_or_else(
            || "those without a cutover".to_owned(),
            |org| org.to_string(),
        );
        self.places.as_ref().ok_or(Error::OldUnknown { org })
    }

    /// Every delete, also those that are carried out: points of the old system are those that it has, whatever was deleted.
    pub(crate) async fn all_deletes(&self) -> Result<Arc<[DeleteEntry]>> {
        let load = async || {
            let log = delete_log::load_after(self.bucket(), 0).await?;
            Ok::<_, Error>(log.entries.into())
        };
        self.all_deletes.get_or_try_init(load).await.cloned()
    }

    /// Whether raw points that `org` has in `window` have expired, whoever has them.
    pub(crate) fn has_expired(&self, org: OrgId, window: Window) -> bool {
        let map = self.shard_map.as_ref();
        map.is_some_and(|map| {
            let shard = map.owner_of(org, window);
            self.is_expired(shard, Resolution::Raw, (org, window))
        })
    }
}

fn shown(timeline: &Timeline, span: TimeSpan) -> Vec<TimeSpan> {
    let mut shown: Vec<TimeSpan> = Vec::new();
    for (part, phase) in timeline.phases_in(span) {
        match (phase.visible, shown.last_mut()) {
            (Pipeline::New, _) => {}
            (Pipeline::Old, Some(last)) if last.to == part.from => last.to = part.to,
            (Pipeline::Old, _) => shown.push(part),
        }
    }
    shown
}
