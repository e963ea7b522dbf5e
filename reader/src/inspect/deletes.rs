//! What a delete would touch, and how far each one is.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::future::LocalBoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::delete_rule::pending;
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector};
use skein_shared::format::segment_footer::RunFence;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{SeriesKey, ShardId};
use skein_shared::window::{TimeSpan, TimestampMs};
use skein_shared::{delete_log, manifest_log, shard_map_log};

use crate::error::Result;
use crate::snapshot::{Selection, Snapshot};

const CONCURRENT_READS: usize = 16;

/// What a delete of this selector would touch now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DeleteReach {
    /// Shards with segments that hold such points.
    pub shards: u64,
    /// Windows of them.
    pub windows: u64,
    /// Live segments that hold such points; all of each is rewritten.
    pub segments: u64,
    /// Their length.
    pub segment_bytes: u64,
    /// Points in the runs that hold such points; overlays may hold a point twice.
    pub points: u64,
    /// Bytes of these runs.
    pub point_bytes: u64,
    /// Whether points and bytes are no more than an upper bound: some runs hold other points too.
    pub is_upper_bound: bool,
}

/// One delete, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeleteRow {
    /// Its number.
    pub number: u64,
    /// Whose points.
    pub org: u64,
    /// Of which metric; `None` is all.
    pub metric: Option<u64>,
    /// From which event time on; `None` is the beginning.
    pub from: Option<String>,
    /// Before which event time; `None` is the end.
    pub to: Option<String>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Where it was asked for.
    pub ticket: Option<String>,
    /// Since when no read shows any of the points.
    pub masked_since: String,
    /// When none may be in any segment.
    pub deadline: String,
    /// Whether that was missed.
    pub is_late: bool,
    /// How far it is.
    pub state: DeleteState,
    /// Live segments that may still hold points of it.
    pub segments_left: u64,
    /// Live segments whose bounds it touches.
    pub segments: u64,
    /// When the receipt was kept.
    pub gone_since: Option<String>,
    /// Every shard that may have held points of it.
    pub shards: Vec<DeleteShardRow>,
}

/// How far a delete is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteState {
    /// No read shows its points; all segments that held any still do.
    Masked,
    /// Some of them were rewritten.
    Rewriting,
    /// No live segment holds any, and none ever will.
    Gone,
}

/// What a delete did in one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeleteShardRow {
    /// Its name.
    pub shard: String,
    /// The manifest that says so; of a delete that is gone the one in the receipt.
    pub generation: u64,
    /// Points taken out so far.
    pub points: u64,
    /// Live segments that may still hold some.
    pub segments_left: u64,
}

/// Looks at the manifests, and at the top index of each segment that may hold such points.
///
/// # Errors
/// The bucket's, or corrupt with the object's key.
pub fn reach(bucket: &Bucket, selector: DeleteSelector) -> LocalBoxFuture<'_, Result<DeleteReach>> {
    Box::pin(async move {
        let selection = match selector.metric {
            None => Selection::Org(selector.org),
            Some(metric) => Selection::Series(SeriesKey {
                org: selector.org,
                metric,
            }),
        };
        let timelines = Timelines::new_owns_everything();
        let snapshot = Snapshot::load(bucket, timelines, selection).await?;
        let mut reach = DeleteReach::default();
        let (mut shards, mut windows) = (BTreeSet::new(), BTreeSet::new());
        for segment in snapshot.open_segments(selector.span).await? {
            let footer = segment.file.footer();
            let runs = footer.runs_within(selection.first(), selection.last());
            let held: Vec<&RunFence> = runs.iter().filter(|run| holds(&selector, run)).collect();
            if held.is_empty() {
                continue;
            }
            shards.insert(segment.shard);
            windows.insert((segment.shard, footer.identity.window));
            reach.segments += 1;
            reach.segment_bytes += segment.file.object_bytes();
            for run in held {
                let bytes = run.span();
                reach.points += run.points;
                reach.point_bytes += bytes.end - bytes.start;
                reach.is_upper_bound |= !is_all_of(&selector, run);
            }
        }
        reach.shards = shards.len() as u64;
        reach.windows = windows.len() as u64;
        Ok(reach)
    })
}

/// Whether the run, which lies in the selector's series, may hold points of its span.
fn holds(selector: &DeleteSelector, run: &RunFence) -> bool {
    selector.span.from <= run.last_timestamp && run.first_timestamp < selector.span.to
}

fn is_all_of(selector: &DeleteSelector, run: &RunFence) -> bool {
    let (first, last) = selector.series();
    first <= run.first_series()
        && run.last_series() <= last
        && selector.span.from <= run.first_timestamp
        && run.last_timestamp < selector.span.to
}

/// Every delete, or the one with this number, oldest first; `now` is the time by the bucket's clock.
///
/// # Errors
/// The bucket's; corrupt when a delete, a receipt or a manifest does not read back.
pub fn deletes(
    bucket: &Bucket,
    only: Option<u64>,
    now: TimestampMs,
) -> BoxFuture<'_, Result<Vec<DeleteRow>>> {
    Box::pin(async move {
        // Whoever looks at a delete must find it ended: what is written from now on is to stay.
        let log = delete_log::load_complete(bucket).await?;
        let map = shard_map_log::load(bucket).await?;
        let mut manifests: BTreeMap<ShardId, ShardManifest> = BTreeMap::new();
        let mut rows = Vec::new();
        let chosen = |delete: &&DeleteEntry| only.is_none_or(|number| delete.number == number);
        for delete in log.entries.iter().filter(chosen) {
            let mut row = DeleteRow::of(delete);
            let shards = map.as_ref().map(|map| map.shards_of(delete.selector.org));
            let shards = shards.unwrap_or_default();
            load_missing(bucket, &shards, &mut manifests).await?;
            row.look_at(
                delete,
                shards.iter().filter_map(|shard| manifests.get(shard)),
            );
            let receipt = if log.receipts.contains(&delete.number) {
                delete_log::receipt(bucket, delete.number).await?
            } else {
                None
            };
            if let Some(receipt) = &receipt {
                row.state = DeleteState::Gone;
                row.gone_since = Some(receipt.at.to_string());
                row.shards = receipt.shards.iter().map(DeleteShardRow::of).collect();
            }
            let gone_at = receipt.map_or(now, |receipt| receipt.at);
            let is_done = row.state == DeleteState::Gone && row.gone_since.is_none();
            row.is_late = !is_done && delete.deadline < gone_at;
            rows.push(row);
        }
        Ok(rows)
    })
}

async fn load_missing(
    bucket: &Bucket,
    shards: &BTreeSet<ShardId>,
    manifests: &mut BTreeMap<ShardId, ShardManifest>,
) -> Result<()> {
    let missing = shards.iter().filter(|shard| !manifests.contains_key(shard));
    let missing: Vec<ShardId> = missing.copied().collect();
    let loaded: Vec<ShardManifest> = stream::iter(missing)
        .map(|shard| manifest_log::newest(bucket, shard))
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await?;
    manifests.extend(
        loaded
            .into_iter()
            .map(|manifest| (manifest.shard, manifest)),
    );
    Ok(())
}

impl DeleteRow {
    fn of(delete: &DeleteEntry) -> Self {
        let DeleteSelector { org, metric, span } = delete.selector;
        let bound = |at: TimestampMs, none: TimestampMs| (at != none).then(|| at.to_string());
        Self {
            number: delete.number,
            org: org.0,
            metric: metric.map(|metric| metric.0),
            from: bound(span.from, TimeSpan::ALL.from),
            to: bound(span.to, TimeSpan::ALL.to),
            actor: delete.stated.actor.clone(),
            reason: delete.stated.reason.clone(),
            ticket: delete.stated.ticket.clone(),
            masked_since: delete.at.to_string(),
            deadline: delete.deadline.to_string(),
            is_late: false,
            state: DeleteState::Masked,
            segments_left: 0,
            segments: 0,
            gone_since: None,
            shards: Vec::new(),
        }
    }

    fn look_at<'a>(
        &mut self,
        delete: &DeleteEntry,
        manifests: impl Iterator<Item = &'a ShardManifest> + Clone,
    ) {
        for manifest in manifests.clone() {
            let segments = manifest.raw_segments().chain(manifest.lone_rollups());
            let touched = segments.filter(|s| delete.selector.may_touch(&s.summary));
            let deletes = std::slice::from_ref(delete);
            let (mut all, mut left) = (0, 0);
            for segment in touched {
                all += 1;
                left += pending(deletes, manifest, segment).count() as u64;
            }
            self.segments += all;
            self.segments_left += left;
            self.shards.push(DeleteShardRow {
                shard: manifest.shard.to_string(),
                generation: manifest.generation.0,
                points: manifest.deleted.get(&delete.number).copied().unwrap_or(0),
                segments_left: left,
            });
        }
        self.state = if delete_log::is_gone(delete, manifests) {
            DeleteState::Gone
        } else if self.segments_left < self.segments {
            DeleteState::Rewriting
        } else {
            DeleteState::Masked
        };
    }
}

impl DeleteShardRow {
    fn of(receipt: &skein_shared::format::delete_receipt::ShardReceipt) -> Self {
        Self {
            shard: receipt.shard.to_string(),
            generation: receipt.generation.0,
            points: receipt.points,
            segments_left: 0,
        }
    }
}
