//! One function for each event: it logs and counts together.

use std::fmt::Display;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use skein_shared::format::compact_result::Delta;
use skein_shared::format::damage::{DamageId, DamageRef};
use skein_shared::ids::{Generation, PlanId, ShardId};
use tracing::{debug, error, info, warn};

use crate::error::Error;
use crate::report::StepReport;

/// Bounds of a stage's pieces, in seconds, and what Prometheus calls them.
const STAGE_BOUNDS: [(f64, &str); 7] = [
    (0.000_1, "0.0001"),
    (0.001, "0.001"),
    (0.01, "0.01"),
    (0.1, "0.1"),
    (1.0, "1"),
    (10.0, "10"),
    (f64::INFINITY, "+Inf"),
];

/// Counts the pieces of one stage in the form of a Prometheus histogram. Not by the exporter's own: that keeps every
/// piece until it is asked.
#[derive(Debug)]
pub struct StageMetrics {
    sum: Gauge,
    count: Counter,
    buckets: [Counter; STAGE_BOUNDS.len()],
}

impl StageMetrics {
    /// For the stage of this name.
    pub fn of(stage: &'static str) -> Self {
        let bucket = |(_, le)| counter!("skein_compactor_stage_seconds_bucket", "stage" => stage, "le" => le);
        Self {
            sum: gauge!("skein_compactor_stage_seconds_sum", "stage" => stage),
            count: counter!("skein_compactor_stage_seconds_count", "stage" => stage),
            buckets: STAGE_BOUNDS.map(bucket),
        }
    }

    /// A piece took so long.
    pub fn timed(&self, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        self.sum.increment(seconds);
        self.count.increment(1);
        for ((bound, _), bucket) in STAGE_BOUNDS.iter().zip(&self.buckets) {
            if seconds <= *bound {
                bucket.increment(1);
            }
        }
    }
}

/// What a run took could not be kept; what it did stays done.
pub fn run_record_failed(error: &skein_shared::Error) {
    counter!("skein_compactor_failed_run_records_total").increment(1);
    warn!(%error, "the run's record was not kept; `skein timers` will not show it");
}

/// A run has begun.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub fn run_started(shards: usize, object_bytes: u64) {
    gauge!("skein_compactor_backlog_bytes").set(object_bytes as f64);
    counter!("skein_compactor_runs_total").increment(1);
    info!(shards, object_bytes, "compaction started");
}

/// A shard has a new generation.
pub fn generation_committed(shard: ShardId, generation: Generation, step: &StepReport) {
    counter!("skein_compactor_generations_total").increment(1);
    counter!("skein_compactor_points_total", "went" => "in").increment(step.counts.points_in);
    counter!("skein_compactor_points_total", "went" => "out").increment(step.points_out);
    counter!("skein_compactor_points_total", "went" => "duplicate")
        .increment(step.counts.duplicates);
    counter!("skein_compactor_points_total", "went" => "not-owned")
        .increment(step.counts.not_owned);
    counter!("skein_compactor_points_total", "went" => "deleted").increment(step.counts.deleted);
    counter!("skein_compactor_points_total", "went" => "expired").increment(step.counts.expired);
    counter!("skein_compactor_records_total").increment(step.counts.records);
    counter!("skein_compactor_segments_total").increment(step.segments);
    counter!("skein_compactor_segment_bytes_total").increment(step.segment_bytes);
    counter!("skein_compactor_object_bytes_total").increment(step.object_bytes);
    debug!(
        %shard,
        %generation,
        points_in = step.counts.points_in,
        points_out = step.points_out,
        segments = step.segments,
        "generation committed"
    );
}

/// All parts of a planned shard are there, and it has a new generation.
pub fn plan_committed(shard: ShardId, generation: Generation, delta: &Delta) {
    counter!("skein_compactor_generations_total").increment(1);
    let counts = delta.counts;
    debug!(%shard, %generation, points_in = counts.points_in, "generation committed");
    quarantined(shard, delta);
}

/// A commit has put records and damages into quarantine.
pub fn quarantined(shard: ShardId, delta: &Delta) {
    for list in delta.quarantine.iter().filter(|list| list.records > 0) {
        records_quarantined(shard, list.records, &list.key);
    }
    for damage in &delta.damages {
        damage_quarantined(shard, damage);
    }
}

/// State did not read back, and is fetched once more.
pub fn damage_read_again(key: &str, error: &Error) {
    counter!("skein_compactor_reread_blocks_total").increment(1);
    warn!(object = key, %error, "state does not read back; fetching it again");
}

/// State is damaged in the bucket; the shard has gone on without it.
fn damage_quarantined(shard: ShardId, damage: &DamageRef) {
    counter!("skein_compactor_damaged_blocks_total").increment(1);
    let DamageRef {
        id,
        object,
        at,
        bytes,
        frames,
        times,
        ..
    } = damage;
    error!(
        %shard, damage = %id, object, at, bytes, frames, from = %times.from, to = %times.to,
        "state is damaged and was left out: restore the object from a copy or a version, then \
         `skein quarantine release {id} --retry`; or `--accept-loss`"
    );
}

/// How many damages of all shards nobody has decided about.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub fn damages_undecided(damages: usize) {
    gauge!("skein_compactor_undecided_damages").set(damages as f64);
}

/// A shard's rebuild leaves out what its manifest never took in.
pub fn damages_left_out(shard: ShardId, damages: usize) {
    info!(
        %shard,
        damages,
        "damaged state that was never taken in is left out: `skein quarantine ls` shows it"
    );
}

/// Somebody has decided about a damage.
pub fn damage_decided(shard: ShardId, id: DamageId, generation: Generation) {
    counter!("skein_compactor_decided_damages_total").increment(1);
    info!(%shard, damage = %id, %generation, "damage decided");
}

/// No live segment holds any point of a delete any more.
pub fn delete_done(number: u64) {
    counter!("skein_compactor_deletes_done_total").increment(1);
    info!(delete = number, "delete done: its receipt is kept");
}

/// Points and buckets of a shard have expired, and segments of which nothing else was left are live no more.
pub fn expired(shard: ShardId, generation: Generation, (segments, bytes, points): (u64, u64, u64)) {
    counter!("skein_compactor_expired_segments_total").increment(segments);
    counter!("skein_compactor_expired_bytes_total").increment(bytes);
    counter!("skein_compactor_points_total", "went" => "expired").increment(points);
    info!(%shard, %generation, segments, bytes, points, "what has expired is no longer served");
}

/// From now on state below more positions than before may be gone.
pub fn state_bound_created(number: u64, moved: u64) {
    counter!("skein_compactor_state_bounds_total").increment(1);
    info!(
        bound = number,
        moved, "state below the bound may be deleted"
    );
}

/// A state object that nothing needs any more was deleted.
pub fn state_deleted(key: &str, bytes: u64) {
    counter!("skein_compactor_deleted_state_objects_total").increment(1);
    counter!("skein_compactor_deleted_state_bytes_total").increment(bytes);
    debug!(object = key, bytes, "state deleted");
}

/// The account of a shard's orgs does not read back, or cannot be carried on.
pub fn account_lost(shard: ShardId, key: &str, reason: &dyn Display) {
    counter!("skein_compactor_lost_accounts_total").increment(1);
    error!(
        %shard, object = key, %reason,
        "the account of the shard's orgs is lost: points are compacted as ever, but no longer accounted for by org"
    );
}

/// Something that no read can need was deleted.
pub fn garbage_deleted(key: &str, bytes: u64) {
    counter!("skein_compactor_garbage_objects_total").increment(1);
    counter!("skein_compactor_garbage_bytes_total").increment(bytes);
    debug!(object = key, bytes, "garbage deleted");
}

/// A plan does not read back; what it was to do is planned again.
pub fn plan_unreadable(plan: PlanId, error: &Error) {
    counter!("skein_compactor_unreadable_plans_total").increment(1);
    warn!(%plan, %error, "an unreadable plan was removed; planning again");
}

/// What tasks of a shard have made can not be committed any more; they are planned again.
pub fn results_removed(shard: ShardId, error: &Error) {
    counter!("skein_compactor_removed_results_total").increment(1);
    warn!(%shard, %error, "results were removed; their tasks are planned again");
}

/// A step has more payloads than its memory holds, and reads them back from the local disk.
pub fn step_spilled(shard: ShardId, bytes: u64) {
    counter!("skein_compactor_spilled_bytes_total").increment(bytes);
    debug!(%shard, bytes, "merging spilled payloads");
}

/// Records could not become points and are listed by the shard's manifest.
fn records_quarantined(shard: ShardId, records: u64, key: &str) {
    counter!("skein_compactor_quarantined_records_total").increment(records);
    warn!(%shard, records, object = key, "records were quarantined: `skein cat` lists them");
}

/// Another compactor has committed the same input first.
pub fn commit_superseded(shard: ShardId, error: &Error) {
    counter!("skein_compactor_superseded_total").increment(1);
    warn!(%shard, %error, "commit was superseded; planning again");
}

/// A shard could not be compacted; its manifest is as it was.
pub fn shard_failed(shard: ShardId, error: &Error) {
    counter!("skein_compactor_failed_shards_total").increment(1);
    error!(%shard, %error, "shard failed");
}
