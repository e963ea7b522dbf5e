//! How many bytes of segment a point takes, by kind of series.

use std::collections::BTreeMap;

use skein_reader::snapshot::Snapshot;
use skein_shared::ids::OrgId;
use skein_shared::window::TimeSpan;

use crate::error::Result;
use crate::generator::{Generator, Kind};

/// Bytes for each point of the orgs that have series of one kind only: a run of a segment ends with its org.
#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio for people needs no more than 53 bits"
)]
pub(super) async fn bytes_per_point(
    snapshot: &Snapshot,
    generator: &Generator,
) -> Result<BTreeMap<Kind, f64>> {
    let kinds = orgs_of_one_kind(generator);
    let mut sums: BTreeMap<Kind, (u64, u64)> = BTreeMap::new();
    for segment in snapshot.open_segments(TimeSpan::ALL).await? {
        for run in snapshot.counting_runs(&segment) {
            let Some(kind) = kinds.get(&run.org) else {
                continue;
            };
            let (bytes, points) = sums.entry(*kind).or_default();
            let (run_span, metadata_span) = (run.span(), run.metadata_span());
            *bytes += run_span.end - run_span.start + metadata_span.end - metadata_span.start;
            *points += run.points;
        }
    }
    let ratio =
        |(kind, (bytes, points)): (Kind, (u64, u64))| (kind, bytes as f64 / points.max(1) as f64);
    Ok(sums.into_iter().map(ratio).collect())
}

fn orgs_of_one_kind(generator: &Generator) -> BTreeMap<OrgId, Kind> {
    let mut kinds: BTreeMap<OrgId, Option<Kind>> = BTreeMap::new();
    for plan in generator.plans() {
        kinds
            .entry(plan.key.org)
            .and_modify(|kind| *kind = kind.filter(|kind| *kind == plan.kind))
            .or_insert(Some(plan.kind));
    }
    kinds
        .into_iter()
        .filter_map(|(org, kind)| Some((org, kind?)))
        .collect()
}
