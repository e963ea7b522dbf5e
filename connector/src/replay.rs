//! Replays of a range of offsets: from Kafka into the holes of the ledger, or from state back into a topic.
//!
//! # Flow
//! request → plan → job in the bucket → records, step by step → report
//!
//! A replay is an object in the bucket, and so is each of its steps: any process can carry it on, look at it or
//! cancel it by its id. Both directions are idempotent. Into state, fills are created if absent and records
//! count through them alone; into a topic, records go out in transactions and are found again by their headers.

pub mod rate_limit;
pub mod passage;
pub mod request;
pub mod job_log;
pub mod block_index;
pub mod ordered_records;
pub mod deleted_points;
pub mod fill_writer;
pub mod hole_plan;
mod running;
mod deliveries;
pub mod target_topic;
mod target_check;
mod to_kafka;
mod from_kafka;
pub mod plan;

use futures::future::BoxFuture;
use serde::Serialize;
use skein_shared::bucket::Bucket;
use skein_shared::format::replay_job::{OnGone, ReplayInto, ReplayJob};
use skein_shared::format::replay_step::{ReplayStep, StepState};
use skein_shared::ids::JobId;
use skein_shared::{delete_log, shard_map_log, source_binding};
use tokio::runtime::Handle;

pub use plan::{ReplayPlan, plan};
pub use rate_limit::Rate;
pub use request::{OnDeleted, OnSameTopic, ReplayRequest};
pub use running::{ReplayControls, ReplayProgress, ReplaySetup};

use crate::error::{Error, Result};
use crate::replay::deleted_points::{DeletedCounts, DeletedPoints};
use crate::replay::from_kafka::FromKafka;
use crate::replay::job_log::JobLog;
use crate::replay::passage::Gone;
use crate::replay::running::Running;
use crate::replay::to_kafka::ToKafka;

/// What a replay came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Its id.
    pub job: String,
    /// `done`, `cancelled`, or `running` when it can be carried on.
    pub state: &'static str,
    /// Records that are where they are to go, over all processes that carried it on.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub record_bytes: u64,
    /// What was left out because it is gone, as far as this process met it.
    pub gone: Vec<Gone>,
    /// What was not brought back because it is deleted, as far as this process met it.
    pub deleted: DeletedCounts,
    /// Bytes that this process read from the bucket.
    pub state_bytes_read: u64,
    /// Requests of this process that read.
    pub read_requests: u64,
    /// Requests of this process that write.
    pub write_requests: u64,
}

/// A replay, as its objects in the bucket tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayStatus {
    /// Its id.
    pub job: String,
    /// Where records go.
    pub into: String,
    /// When it was planned, RFC 3339.
    pub created: String,
    /// `planned` before its first step, `running`, `cancelling`, `cancelled`, `done`.
    pub state: &'static str,
    /// When the newest step was made, RFC 3339.
    pub newest_step: Option<String>,
    /// Records that are where they are to go.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub record_bytes: u64,
    /// Offsets that were passed.
    pub offsets_done: u64,
    /// Offsets of the whole range.
    pub offsets_total: u64,
}

/// Begins what was planned; [`run`] carries it on.
///
/// # Errors
/// [`Error::RangeGone`] with every part that is gone, unless the request said to go on without; what the bucket says.
pub fn begin<'a>(bucket: &'a Bucket, plan: &'a ReplayPlan) -> BoxFuture<'a, Result<JobId>> {
    Box::pin(async move {
        if plan.job.on_gone == OnGone::Refuse && !plan.gone.is_empty() {
            let parts: Vec<String> = plan.gone.iter().map(Gone::to_string).collect();
            let parts = parts.join("; ");
            return Err(Error::RangeGone { parts });
        }
        JobLog::new(bucket.clone()).begin(&plan.job).await?;
        Ok(plan.job.job)
    })
}

/// Carries a replay on until it is done, cancelled, or this process is asked to stop. One that has ended is left
/// as it is.
///
/// # Errors
/// `Transient` when bucket or brokers do not answer, `Fenced` when another process carries on the same replay; what is
/// done stays done, and a later call goes on from there.
///
/// # Panics
/// If the replay's own thread panicked.
///
/// # Cancel safety
/// Not cancel safe: dropped before its end it goes on in the background. Cancel [`ReplayControls::stop`] instead.
pub fn run(
    setup: &ReplaySetup,
    job: JobId,
    controls: ReplayControls,
) -> BoxFuture<'_, Result<ReplayReport>> {
    Box::pin(async move {
        let log = JobLog::new(setup.bucket.clone());
        let (job, step) = (log.job(job).await?, log.newest_step(job).await?);
        let before = setup.bucket.requests();
        if let Some(ended) = step
            .as_ref()
            .filter(|step| step.state != StepState::Running)
        {
            return Ok(report(setup, ended, &before));
        }
        if job.into == ReplayInto::State {
            check_cluster(setup, &job).await?;
        }
        let map = shard_map_log::load(&setup.bucket).await?;
        let deleted = deleted_points(setup, &job).await?;
        let running = Running::new(setup.clone(), (job, step), controls, Handle::current());
        let finished = tokio::task::spawn_blocking(move || {
            let mut running = running;
            let into = running.job.into.clone();
            match (into, map) {
                (ReplayInto::Topic(topic), map) => {
                    ToKafka::open(&mut running, &topic, (map.as_ref(), deleted))?.run()?;
                }
                (ReplayInto::State, Some(map)) => {
                    let limit = running.setup.payload_limit;
                    FromKafka::open(&mut running, map, limit)?.run()?;
                }
                (ReplayInto::State, None) => {
                    let what =
                        "a bucket without a shard map, into which no connector ever wrote".into();
                    return Err(Error::NothingToReplay { what });
                }
            }
            running.finish()?;
            Ok((running.step, running.gone, running.deleted))
        });
        let finished = finished.await;
        let (step, gone, deleted) =
            finished.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        Ok(ReplayReport {
            gone,
            deleted,
            ..report(setup, &step, &before)
        })
    })
}

/// Every replay of the bucket, or the one that is asked for.
///
/// # Errors
/// [`Error::NoSuchReplay`]; `Corrupt` when a plan or a newest step does not read back.
pub fn status(bucket: &Bucket, job: Option<JobId>) -> BoxFuture<'_, Result<Vec<ReplayStatus>>> {
    Box::pin(async move {
        let log = JobLog::new(bucket.clone());
        let jobs = match job {
            Some(job) => vec![job],
            None => log.jobs().await?,
        };
        let mut all = Vec::new();
        for job in jobs {
            let (plan, step) = (log.job(job).await?, log.newest_step(job).await?);
            let is_cancelled = log.is_cancelled(job).await?;
            all.push((
                plan.created,
                status_of(&plan, step.as_ref(), Cancelled(is_cancelled)),
            ));
        }
        all.sort_by_key(|(created, _)| *created);
        Ok(all.into_iter().map(|(_, status)| status).collect())
    })
}

/// Asks a replay to end, wherever it runs; it does at its next step.
///
/// # Errors
/// [`Error::NoSuchReplay`], and what the bucket says.
pub fn cancel(bucket: &Bucket, job: JobId) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let log = JobLog::new(bucket.clone());
        log.cancel(job, running::wall_clock()).await
    })
}

/// The deletes that there are now, each with its positions. Those that have come since the job was planned, or since a run of
/// it that was cut short, count too: what is sent comes in behind their positions, and would stay.
async fn deleted_points(setup: &ReplaySetup, job: &ReplayJob) -> Result<DeletedPoints> {
    if job.left_out.is_none() {
        return Ok(DeletedPoints::default());
    }
    let log = delete_log::load_complete(&setup.bucket).await?;
    Ok(DeletedPoints::new(log.entries))
}

/// Offsets of another cluster would be other records.
async fn check_cluster(setup: &ReplaySetup, job: &ReplayJob) -> Result<()> {
    let kafka = setup.kafka.clone();
    let asked = tokio::task::spawn_blocking(move || kafka.look()).await;
    let view = asked.expect("looking at the cluster does not panic")?;
    if let (Some(id), Some(chain)) = (view.cluster_id, job.spans.keys().next()) {
        source_binding::bind(&setup.bucket, &chain.source, &id).await?;
    }
    Ok(())
}

fn report(
    setup: &ReplaySetup,
    step: &ReplayStep,
    before: &skein_shared::bucket::RequestCounts,
) -> ReplayReport {
    let now = setup.bucket.requests();
    ReplayReport {
        job: step.job.to_string(),
        state: step.state.name(),
        records: step.records,
        record_bytes: step.record_bytes,
        gone: Vec::new(),
        deleted: DeletedCounts::default(),
        state_bytes_read: now.received_bytes - before.received_bytes,
        read_requests: now.reads() - before.reads(),
        write_requests: now.writes() - before.writes(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Cancelled(bool);

fn status_of(job: &ReplayJob, step: Option<&ReplayStep>, cancelled: Cancelled) -> ReplayStatus {
    let state = match (step.map(|step| step.state), cancelled.0) {
        (None, false) => "planned",
        (Some(StepState::Running), false) => "running",
        (None | Some(StepState::Running), true) => "cancelling",
        (Some(ended @ (StepState::Done | StepState::Cancelled)), _) => ended.name(),
    };
    let spans = job.spans.iter();
    let done = spans.map(|(chain, span)| {
        let position = step.and_then(|step| step.positions.get(chain).copied());
        let position = position.unwrap_or(span.from).clamp(span.from, span.to);
        skein_shared::offset::Span::new(span.from, position).offsets()
    });
    ReplayStatus {
        job: job.job.to_string(),
        into: match &job.into {
            ReplayInto::State => "state".to_owned(),
            ReplayInto::Topic(topic) => format!("topic {topic}"),
        },
        created: job.created.to_string(),
        state,
        newest_step: step.map(|step| step.at.to_string()),
        records: step.map_or(0, |step| step.records),
        record_bytes: step.map_or(0, |step| step.record_bytes),
        offsets_done: done.sum(),
        offsets_total: job.spans.values().map(|span| span.offsets()).sum(),
    }
}
