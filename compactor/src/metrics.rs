//! One function for each event: it logs and counts together.

use metrics::counter;
use skein_shared::format::compact_result::Delta;
use skein_shared::ids::{Generation, PlanId, ShardId};
use tracing::{debug, error, info, warn};

use crate::error::Error;
use crate::report::StepReport;

/// A run has begun.
pub fn run_started(shards: usize, object_bytes: u64) {
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
    for list in &delta.quarantine {
        records_quarantined(shard, list.records, &list.key);
    }
}

/// No live segment holds any point of a delete any more.
pub fn delete_done(number: u64) {
    counter!("skein_compactor_deletes_done_total").increment(1);
    info!(delete = number, "delete done: its receipt is kept");
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
pub fn records_quarantined(shard: ShardId, records: u64, key: &str) {
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
