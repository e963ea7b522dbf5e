//! Says of every span of a read which objects its points come from, from which side, and why.

use std::collections::BTreeSet;

use futures::future::LocalBoxFuture;
use serde::Serialize;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::timeline::{Phase, Pipeline};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::error::Result;
use crate::snapshot::{OpenSegment, Snapshot};
use crate::visible::amends_old;

/// A span of an org in which one phase of its timeline counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpanSource {
    /// Whose.
    pub org: u64,
    /// First instant, RFC 3339; `None` is the beginning of time.
    pub from: Option<String>,
    /// First instant beyond; `None` is the end of time.
    pub to: Option<String>,
    /// The pipeline whose points are seen.
    pub visible: &'static str,
    /// Who writes.
    pub writers: String,
    /// Where the org's cutover stands; `None` of one without.
    pub state: Option<&'static str>,
    /// The version of its cutover that says so; `None` of one without.
    pub version: Option<u64>,
    /// The number of the fleet that the read is pinned to; 0 is before the first.
    pub fleet: u64,
    /// Where the old pipeline's points are, where they are seen.
    pub old_place: Option<String>,
    /// What is read, in the order of keys.
    pub objects: Vec<ObjectSource>,
}

/// An object that points of a span may come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectSource {
    /// Whose it is.
    pub side: &'static str,
    /// Its key.
    pub key: String,
    /// Why it is read.
    pub why: &'static str,
}

/// Looks at timelines, manifests, and what else tells which objects there are; opens the segments of the span.
///
/// # Errors
/// The bucket's, and those of the old system's place where its points are seen.
pub fn explain(snapshot: &Snapshot, span: TimeSpan) -> LocalBoxFuture<'_, Result<Vec<SpanSource>>> {
    Box::pin(async move {
        let segments = snapshot.open_segments(span).await?;
        let mut orgs: BTreeSet<OrgId> = snapshot.old_orgs(span).await?;
        for segment in &segments {
            orgs.extend(snapshot.counting_runs(segment).map(|run| run.org));
        }
        orgs.extend(snapshot.selection().org());
        let mut sources = Vec::new();
        for org in orgs {
            let phases: Vec<(TimeSpan, Phase)> =
                snapshot.timelines().of(org).phases_in(span).collect();
            for phase in phases {
                sources.push(source_of(snapshot, &segments, org, phase).await?);
            }
        }
        Ok(sources)
    })
}

async fn source_of(
    snapshot: &Snapshot,
    segments: &[OpenSegment],
    org: OrgId,
    (span, phase): (TimeSpan, Phase),
) -> Result<SpanSource> {
    let timelines = snapshot.timelines();
    let cutover = timelines.cutover(org);
    let mut objects = Vec::new();
    let mut old_place = None;
    if phase.visible == Pipeline::Old {
        let source = snapshot.old_source(org).await?;
        let selection = snapshot.selection_of(org);
        let keys: (SeriesKey, SeriesKey) = (selection.first(), selection.last());
        let held = source.objects(keys, span).await?.into_iter();
        objects.extend(held.map(|key| ObjectSource {
            side: Pipeline::Old.name(),
            key,
            why: "old is visible",
        }));
        old_place = Some(source.url());
    }
    let why = match phase.visible {
        Pipeline::New => Some("new is visible"),
        Pipeline::Old if amends_old(timelines, org) => {
            Some("amends what old had when it was sealed")
        }
        Pipeline::Old => None,
    };
    if let Some(why) = why {
        let own = segments
            .iter()
            .filter(|segment| holds(snapshot, segment, (org, span)));
        objects.extend(own.map(|segment| ObjectSource {
            side: Pipeline::New.name(),
            key: segment.file.key().to_owned(),
            why,
        }));
    }
    objects.sort_unstable();
    Ok(SpanSource {
        org: org.0,
        from: bound(span.from),
        to: bound(span.to),
        visible: phase.visible.name(),
        writers: phase.writers.to_string(),
        state: cutover.map(|cutover| cutover.state.name()),
        version: cutover.map(|cutover| cutover.version),
        fleet: timelines.version(),
        old_place,
        objects,
    })
}

fn holds(snapshot: &Snapshot, segment: &OpenSegment, (org, span): (OrgId, TimeSpan)) -> bool {
    let mut runs = snapshot.counting_runs(segment).filter(|run| run.org == org);
    runs.any(|run| run.first_timestamp < span.to && span.from <= run.last_timestamp)
}

fn bound(at: TimestampMs) -> Option<String> {
    let is_end = [TimeSpan::ALL.from, TimeSpan::ALL.to].contains(&at);
    (!is_end).then(|| at.to_string())
}
