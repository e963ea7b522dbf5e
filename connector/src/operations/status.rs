//! The JSON document of `/status`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use skein_shared::admin_http::VERSION;

use crate::core::byte_budget::Intake;
use crate::core::standing::PartitionStanding;
use crate::operations::Snapshot;
use crate::operations::ends::Ends;
use crate::report::StoppedPartition;

/// How a connector stands.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectStatus {
    role: &'static str,
    version: &'static str,
    uptime_ms: u64,
    /// Why it is not ready; empty when it is.
    not_ready: Vec<String>,
    /// Topics and patterns that are read.
    topics: Vec<String>,
    lag: LagStatus,
    buffers: BufferStatus,
    flush: FlushStatus,
    requests: RequestStatus,
    counts: CountStatus,
    partitions: Vec<PartitionStatus>,
    stopped: Vec<StoppedPartition>,
}

/// How far behind Kafka.
#[derive(Debug, Clone, Serialize)]
struct LagStatus {
    /// Offsets not read yet, of all partitions; absent while that is unknown.
    records: Option<u64>,
    /// For how long the one furthest behind has had a record that is not read; absent while that is unknown.
    seconds: Option<f64>,
    /// For how long it has been unknown, because Kafka does not tell; absent while it is known.
    unknown_for_seconds: Option<f64>,
    /// How long ago Kafka told where its partitions end, or was first asked; absent before that.
    ends_age_seconds: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
struct BufferStatus {
    used_bytes: u64,
    limit_bytes: u64,
    /// `open`, or `closed` while too much is on its way.
    intake: &'static str,
    open_objects: u64,
    sealed_objects: u64,
}

#[derive(Debug, Clone, Serialize)]
struct FlushStatus {
    under_way: u64,
    done: u64,
    /// How long ago the last one became durable; absent before the first.
    age_seconds: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
struct RequestStatus {
    open: u64,
    /// Requests that may be under way at once: of each group of data keys (the first digit of their
    /// hash), of all `data` together, of everything `small`, and of `look-ups`. A group that stays below
    /// the others is one that the store refuses.
    upload_limits: BTreeMap<&'static str, u64>,
    /// Of this whole process.
    writes: u64,
    reads: u64,
    /// Of what the worker writes: sent once, sent again by the reason of the failure before, and sent a
    /// second time because the first took far longer than its peers.
    first_tries: u64,
    retries: BTreeMap<&'static str, u64>,
    hedges: u64,
}

#[derive(Debug, Clone, Serialize)]
struct CountStatus {
    records: u64,
    durable_records: u64,
    quarantined_records: u64,
    conflicts: u64,
    missed_drains: u64,
    pauses: u64,
}

#[derive(Debug, Clone, Serialize)]
struct PartitionStatus {
    topic: String,
    partition: u32,
    state: &'static str,
    /// The next offset to come.
    position: i64,
    /// Everything below is durable.
    ledger_end: i64,
    /// Behind Kafka's newest record; absent until Kafka told, and when it told too long ago.
    kafka_end: Option<i64>,
    lag_records: Option<u64>,
    lag_seconds: Option<f64>,
}

impl ConnectStatus {
    pub(super) fn of(snapshot: &Snapshot, ends: &Ends, not_ready: Vec<String>) -> Self {
        let now = Instant::now();
        let (stats, standing) = (&snapshot.stats, &snapshot.standing);
        let worst = ends.worst(now, &standing.partitions);
        let partitions = standing.partitions.iter();
        Self {
            role: "connect",
            version: VERSION,
            uptime_ms: snapshot.elapsed_ms,
            not_ready,
            topics: snapshot.topics.clone(),
            lag: LagStatus {
                records: worst.map(|(records, _)| records),
                seconds: worst.map(|(_, longest)| seconds(longest)),
                unknown_for_seconds: ends.unknown_for(now).map(seconds),
                ends_age_seconds: ends.age(now).map(seconds),
            },
            buffers: BufferStatus {
                used_bytes: standing.used_bytes,
                limit_bytes: standing.limit_bytes,
                intake: match standing.intake {
                    Intake::Open => "open",
                    Intake::Closed => "closed",
                },
                open_objects: standing.open_objects,
                sealed_objects: standing.sealed_objects,
            },
            flush: FlushStatus {
                under_way: standing.flushes_under_way,
                done: stats.flushes,
                age_seconds: snapshot.flushed_at_ms.map(|at| {
                    seconds(Duration::from_millis(
                        snapshot.elapsed_ms.saturating_sub(at),
                    ))
                }),
            },
            requests: RequestStatus::of(snapshot),
            counts: CountStatus {
                records: stats.records,
                durable_records: stats.ledger_records,
                quarantined_records: stats.quarantined.values().sum(),
                conflicts: stats.conflicts,
                missed_drains: stats.missed_drains,
                pauses: stats.pauses,
            },
            partitions: partitions
                .map(|partition| PartitionStatus::of(partition, ends, now))
                .collect(),
            stopped: snapshot.stopped.clone(),
        }
    }
}

impl RequestStatus {
    fn of(snapshot: &Snapshot) -> Self {
        let (requests, tries) = (&snapshot.requests, &snapshot.tries);
        Self {
            open: snapshot.standing.open_requests,
            upload_limits: snapshot.upload_limits.clone(),
            writes: requests.writes(),
            reads: requests.reads(),
            first_tries: tries.first_tries,
            retries: tries.retries.clone(),
            hedges: tries.hedges,
        }
    }
}

impl PartitionStatus {
    fn of(partition: &PartitionStanding, ends: &Ends, now: Instant) -> Self {
        let lag = ends.lag(now, partition);
        Self {
            topic: partition.name.topic.to_string(),
            partition: partition.name.partition.0,
            state: partition.state.name(),
            position: partition.position.0,
            ledger_end: partition.ledger_end.0,
            kafka_end: lag.map(|lag| lag.end.0),
            lag_records: lag.map(|lag| lag.records),
            lag_seconds: lag.map(|lag| seconds(lag.time)),
        }
    }
}

/// Seconds, to the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
