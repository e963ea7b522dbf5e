//! One function per event that is logged and counted.

use std::time::Duration;

use metrics::{counter, gauge};
use skein_shared::ids::{FlushId, Hole};
use skein_shared::offset::Offset;

use crate::core::action::{Notice, StopReason};
use crate::core::byte_budget::Intake;
use crate::core::event::{Remedy, TopicPartition};
use crate::core::{CoreStats, RequestStats};
use crate::error::Error;

/// A request to the bucket or to Kafka came back without what was asked.
pub(crate) fn request_failed(step: &'static str, remedy: Remedy, error: &Error) {
    match remedy {
        Remedy::Again => tracing::warn!(step, %error, "request failed, it is sent again"),
        // Many at once, and the core sends fewer by itself.
        Remedy::SlowDown => tracing::debug!(step, %error, "request refused for now"),
        // Told once for all requests, see `noticed`.
        Remedy::AgainAndAlert => tracing::debug!(step, %error, "request refused, it is sent again"),
        Remedy::AskAgain => {
            tracing::warn!(step, %error, "the answer makes no sense, it is asked again");
        }
        Remedy::GiveUp(_) => tracing::error!(step, %error, "request failed for good"),
    }
    let outcome = remedy.name();
    counter!("skein_connector_failed_requests_total", "step" => step, "outcome" => outcome)
        .increment(1);
}

/// The tries of requests since the start, and what each group of keys is allowed now.
pub(crate) fn requests_progressed(
    stats: &RequestStats,
    limits: impl Iterator<Item = (&'static str, u64)>,
) {
    counter!("skein_connector_first_tries_total").absolute(stats.first_tries);
    for (reason, retries) in &stats.retries {
        counter!("skein_connector_retries_total", "reason" => *reason).absolute(*retries);
    }
    counter!("skein_connector_hedges_total").absolute(stats.hedges);
    counter!("skein_connector_retries_held_back_total").absolute(stats.held_back);
    for (group, limit) in limits {
        gauge!("skein_connector_upload_limit_requests", "group" => group).set(to_f64(limit));
    }
}

/// A partition is not read any more.
pub(crate) fn partition_stopped(partition: &TopicPartition, reason: &StopReason) {
    tracing::error!(
        topic = %partition.topic,
        partition = %partition.partition,
        "partition stopped: {reason}"
    );
    counter!("skein_connector_stopped_partitions_total").increment(1);
}

/// Something that a person should know, though the connector goes on.
pub(crate) fn noticed(notice: &Notice) {
    match notice {
        Notice::HoleFound {
            partition,
            span,
            wait,
        } => tracing::error!(
            topic = %partition.topic,
            partition = %partition.partition,
            "kafka deleted the records {span} before they were read; looked at again in {wait}, then \
             recorded as lost: raise its retention"
        ),
        Notice::HoleRecorded { partition, span } => tracing::error!(
            topic = %partition.topic,
            partition = %partition.partition,
            "the records {span} are lost and recorded as such; reading goes on behind them"
        ),
        Notice::IncarnationBegun {
            partition,
            incarnation,
        } => tracing::error!(
            topic = %partition.topic,
            partition = %partition.partition,
            "the topic was made anew or truncated: incarnation {incarnation} begins at its oldest record"
        ),
        Notice::StoreRefuses { reason } => {
            tracing::error!(
                "the store refuses; nothing is lost, fetching waits until it takes again: {reason}"
            );
            gauge!("skein_connector_store_refuses").set(1.0);
        }
        Notice::StoreAccepts => {
            tracing::info!("the store takes again what it refused");
            gauge!("skein_connector_store_refuses").set(0.0);
        }
        Notice::OddAnswer { partition, reason } => tracing::error!(
            topic = %partition.topic,
            partition = %partition.partition,
            "the partition is not read, because answers about it make no sense; it is asked again: look at \
             what stands between this worker and the store: {reason}"
        ),
    }
}

/// Partitions did not come forward though Kafka has more.
pub(crate) fn stood_still(names: &[TopicPartition]) {
    // They may be thousands, and mostly for one reason.
    if let Some(first) = names.first() {
        tracing::warn!(
            count = names.len(),
            topic = %first.topic,
            partition = %first.partition,
            "nothing comes of these partitions, of which this is the first, though kafka has more: they are looked up \
             and fetched anew"
        );
    }
    counter!("skein_connector_still_partitions_total").increment(names.len() as u64);
}

/// Partitions begin to be read.
pub(crate) fn partitions_assigned(added: &[(TopicPartition, Offset)], all: usize) {
    tracing::info!(added = added.len(), reading = all, "partitions assigned");
}

/// Partitions are given back.
pub(crate) fn partitions_removed(removed: &[TopicPartition], rest: usize) {
    tracing::info!(
        removed = removed.len(),
        reading = rest,
        "partitions given back"
    );
}

/// A commit of offsets came back without.
pub(crate) fn commit_failed(reason: &str) {
    tracing::warn!(reason, "offsets were not committed; the ledger has them");
    counter!("skein_connector_failed_commits_total").increment(1);
}

/// A janitor aborted an upload that was left behind.
pub(crate) fn upload_aborted(key: &str, flush: FlushId) {
    tracing::info!(key, %flush, "orphaned upload aborted");
    counter!("skein_connector_janitor_uploads_total").increment(1);
}

/// A janitor deleted an object that can never count.
pub(crate) fn object_deleted(key: &str, flush: FlushId) {
    tracing::info!(key, %flush, "orphaned object deleted");
    counter!("skein_connector_janitor_objects_total").increment(1);
}

/// A janitor declared a flush void.
pub(crate) fn flush_declared_void(flush: FlushId) {
    tracing::info!(%flush, "flush declared void: its worker was silent and had not finished it");
    counter!("skein_connector_janitor_voided_flushes_total").increment(1);
}

/// A janitor met an object that does not read back.
pub(crate) fn janitor_met_damage(key: &str, error: &skein_shared::Error) {
    tracing::warn!(key, %error, "a damaged object: what it decides about stays as it is");
    counter!("skein_connector_janitor_damaged_objects_total").increment(1);
}

/// A janitor that runs beside a connector failed; the next one goes on.
pub(crate) fn janitor_failed(error: &skein_shared::Error) {
    tracing::warn!(%error, "the janitor was cut short");
    counter!("skein_connector_failed_janitors_total").increment(1);
}

/// The counts since the start, and how it stands now.
pub(crate) fn progressed(stats: &CoreStats, buffered_bytes: u64, intake: Intake) {
    counter!("skein_connector_records_total").absolute(stats.records);
    counter!("skein_connector_raw_bytes_total").absolute(stats.raw_bytes);
    counter!("skein_connector_objects_total").absolute(stats.objects);
    counter!("skein_connector_object_bytes_total").absolute(stats.object_bytes);
    counter!("skein_connector_flushes_total").absolute(stats.flushes);
    counter!("skein_connector_ledger_entries_total").absolute(stats.ledger_entries);
    counter!("skein_connector_conflicts_total").absolute(stats.conflicts);
    counter!("skein_connector_lost_objects_total").absolute(stats.lost_objects);
    counter!("skein_connector_missed_drains_total").absolute(stats.missed_drains);
    counter!("skein_connector_late_commits_total").absolute(stats.late_commits);
    counter!("skein_connector_pauses_total").absolute(stats.pauses);
    counter!("skein_connector_left_offsets_total").absolute(stats.left_offsets);
    counter!("skein_connector_lost_spans_total").absolute(stats.lost_spans);
    counter!("skein_connector_lost_offsets_total").absolute(stats.lost_offsets);
    for (reason, records) in &stats.quarantined {
        counter!("skein_connector_quarantined_records_total", "reason" => *reason)
            .absolute(*records);
    }
    gauge!("skein_connector_buffered_bytes").set(to_f64(buffered_bytes));
    gauge!("skein_connector_reading_partitions").set(to_f64(stats.partitions_reading));
    gauge!("skein_connector_stopped_now_partitions").set(to_f64(stats.partitions_stopped));
    gauge!("skein_connector_behind_records").set(to_f64(stats.records_behind));
    gauge!("skein_connector_intake_closed").set(match intake {
        Intake::Open => 0.0,
        Intake::Closed => 1.0,
    });
}

/// Records of a replay are where they are to go.
pub(crate) fn replayed(records: u64, record_bytes: u64) {
    counter!("skein_connector_replayed_records_total").increment(records);
    counter!("skein_connector_replayed_bytes_total").increment(record_bytes);
}

/// A replay goes on without a part of its range.
pub(crate) fn replay_left_out(gone: &dyn std::fmt::Display) {
    tracing::warn!(%gone, "left out of the replay");
    counter!("skein_connector_gone_parts_total").increment(1);
}

/// What a replay read had been filled by another one meanwhile.
pub(crate) fn fill_taken(hole: &Hole) {
    tracing::info!(%hole, "another replay filled this part");
    counter!("skein_connector_taken_fills_total").increment(1);
}

/// How far the partitions that are read are behind Kafka, and how old that figure is. What is unknown is no
/// number: a gap in a graph, where the last one would look like a worker that keeps up.
pub(crate) fn lagging(worst: Option<(u64, Duration)>, age: Option<Duration>) {
    let records = worst.map_or(f64::NAN, |(records, _)| to_f64(records));
    let seconds = worst.map_or(f64::NAN, |(_, time)| time.as_secs_f64());
    gauge!("skein_connector_lag_records").set(records);
    gauge!("skein_connector_lag_seconds").set(seconds);
    gauge!("skein_connector_lag_age_seconds").set(age.unwrap_or_default().as_secs_f64());
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; below 2^53 nothing is lost"
)]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use super::*;

    /// The gauges that were set, by name.
    #[derive(Default)]
    struct Gauges(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

    impl Gauges {
        fn of(&self, name: &str) -> f64 {
            f64::from_bits(self.0.lock().unwrap()[name].load(Ordering::SeqCst))
        }
    }

    impl Recorder for Gauges {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            let mut gauges = self.0.lock().unwrap();
            let value = gauges.entry(key.name().to_owned()).or_default();
            Gauge::from_arc(Arc::clone(value))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn what_is_stopped_now_and_whether_records_may_come_in_are_gauges() {
        let gauges = Gauges::default();
        let show = |partitions_stopped, intake| {
            let stats = CoreStats {
                partitions_stopped,
                ..CoreStats::default()
            };
            metrics::with_local_recorder(&gauges, || progressed(&stats, 0, intake));
            let of = |name| gauges.of(&format!("skein_connector_{name}"));
            (of("stopped_now_partitions"), of("intake_closed"))
        };
        assert_eq!(show(2, Intake::Closed), (2.0, 1.0));
        assert_eq!(show(0, Intake::Open), (0.0, 0.0));
    }
}
