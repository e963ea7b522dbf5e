//! Who owned an org at an event time, by which version, and what was written of it.

use futures::future::BoxFuture;
use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::ids::{Generation, OrgId, ShardId};
use skein_shared::timeline::{Phase, Pipeline, Timeline};
use skein_shared::window::{Resolution, TimestampMs};
use skein_shared::{Result, cutover_log};

use crate::cutover::fact_finding::{Plane, manifests_of};

/// All that is known of one event time of an org.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Who writes and who is visible.
    pub phase: Phase,
    /// The version that made it so; `None` where no version ever did.
    pub since: Option<CutoverVersion>,
    /// What was said of the time before, the latest first, each with the version that ended it.
    pub before: Vec<(CutoverVersion, Phase)>,
    /// Whether late points of it are the new pipeline's although the time is not.
    pub is_amended: bool,
    /// What the new pipeline has of that time.
    pub shards: Vec<ShardPart>,
}

/// What one shard has of an event time.
#[derive(Debug, Clone)]
pub struct ShardPart {
    /// Which.
    pub shard: ShardId,
    /// Of its newest manifest.
    pub generation: Generation,
    /// The fleet that the manifest was made with.
    pub fleet: u64,
    /// Segments of raw points that may hold the time.
    pub segments: Vec<SegmentEntry>,
}

/// Explains the event time `at` of `org`.
///
/// # Errors
/// `Corrupt` when something stored is damaged, and what the bucket says.
pub fn explain(plane: &Plane, org: OrgId, at: TimestampMs) -> BoxFuture<'_, Result<Explanation>> {
    Box::pin(async move {
        let history = cutover_log::history(&plane.bucket, org).await?;
        let unenrolled = Timeline::owned_by(plane.settings.unenrolled.pipeline());
        let mut phase = unenrolled.phase_at(at);
        let mut since = None;
        let mut before = Vec::new();
        for (version, _) in &history {
            let said = version.timeline.phase_at(at);
            if (said.writers, said.visible) != (phase.writers, phase.visible) {
                before.push((version.clone(), phase));
                since = Some(version.clone());
            }
            phase = said;
        }
        before.reverse();
        let newest = history.last().map(|(version, _)| version);
        let is_ending = newest.is_some_and(|newest| {
            newest.seal.is_some() || newest.state == CutoverState::Contracting
        });
        let manifests = manifests_of(&plane.bucket, org).await?;
        Ok(Explanation {
            phase,
            since,
            before,
            is_amended: is_ending && !phase.writers.contain(Pipeline::New),
            shards: manifests
                .iter()
                .map(|manifest| part(manifest, org, at))
                .collect(),
        })
    })
}

fn part(manifest: &ShardManifest, org: OrgId, at: TimestampMs) -> ShardPart {
    let may_hold = |segment: &&SegmentEntry| {
        let summary = &segment.summary;
        segment.resolution == Resolution::Raw
            && segment.window.span().contains(at)
            && (summary.first_series.org..=summary.last_series.org).contains(&org)
    };
    ShardPart {
        shard: manifest.shard,
        generation: manifest.generation,
        fleet: manifest.versions.timeline,
        segments: manifest.segments.iter().filter(may_hold).cloned().collect(),
    }
}
