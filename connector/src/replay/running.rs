//! A replay under way: its steps in the bucket, its rate, and how far it has come.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::error::KafkaError;
use serde::Serialize;
use skein_config::kafka::KafkaSettings;
use skein_config::prices::PriceSettings;
use skein_shared::ErrorKind;
use skein_shared::bucket::Bucket;
use skein_shared::format::replay_job::ReplayJob;
use skein_shared::format::replay_step::{ReplayStep, StepState};
use skein_shared::ids::{Chain, PartitionId};
use skein_shared::offset::{Offset, Span};
use skein_shared::units::ByteCount;
use skein_shared::window::TimestampMs;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::replay::deleted_points::DeletedCounts;
use crate::replay::job_log::JobLog;
use crate::replay::passage::Gone;
use crate::replay::rate_limit::{Rate, RateLimit};

/// Silence after which the brokers are taken to be out of reach.
const PATIENCE: Duration = Duration::from_mins(1);

/// What replays are set up with.
#[derive(Debug, Clone)]
pub struct ReplaySetup {
    /// The bucket that holds state and ledger.
    pub bucket: Bucket,
    /// The `[kafka]` section: where records come from or go to.
    pub kafka: KafkaSettings,
    /// Larger payloads go into quarantine.
    pub payload_limit: ByteCount,
    /// The `[prices]` section.
    pub prices: PriceSettings,
}

/// How a replay under way is talked with.
pub struct ReplayControls {
    /// How fast it may go; without any, as fast as it can.
    pub rates: Vec<Rate>,
    /// Cancelled to stop this process after what is in flight; the replay can be carried on.
    pub stop: CancellationToken,
    /// Told at each step.
    pub progress: Box<dyn Fn(&ReplayProgress) + Send>,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReplayProgress {
    /// Records that are where they are to go.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub record_bytes: u64,
    /// Offsets that were passed.
    pub offsets_done: u64,
    /// Offsets of the whole range.
    pub offsets_total: u64,
    /// Since this process began.
    pub elapsed_ms: u64,
    /// Until the end, at the pace until now; `None` before the first step.
    pub remaining_ms: Option<u64>,
}

/// Whether a replay goes on after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advance {
    GoOn,
    /// It was cancelled, or this process was asked to stop.
    Ended,
}

/// A replay under way.
pub(super) struct Running {
    pub(super) setup: ReplaySetup,
    pub(super) job: ReplayJob,
    pub(super) step: ReplayStep,
    pub(super) gone: Vec<Gone>,
    pub(super) deleted: DeletedCounts,
    controls: ReplayControls,
    runtime: Handle,
    log: JobLog,
    limit: RateLimit,
    started: Instant,
    done_before: u64,
}

impl ReplayControls {
    /// As fast as it can, nothing to be told.
    pub fn silent() -> Self {
        Self {
            rates: Vec::new(),
            stop: CancellationToken::new(),
            progress: Box::new(|_| {}),
        }
    }
}

impl fmt::Debug for ReplayControls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayControls")
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Goes on after `step`, or begins.
    pub(super) fn new(
        setup: ReplaySetup,
        (job, step): (ReplayJob, Option<ReplayStep>),
        controls: ReplayControls,
        runtime: Handle,
    ) -> Self {
        let step = step.unwrap_or_else(|| first_step(&job));
        let now = Instant::now();
        let limit = RateLimit::start(controls.rates.clone(), now);
        let log = JobLog::new(setup.bucket.clone());
        let mut running = Self {
            setup,
            job,
            step,
            gone: Vec::new(),
            deleted: DeletedCounts::default(),
            controls,
            runtime,
            log,
            limit,
            started: now,
            done_before: 0,
        };
        running.done_before = running.offsets_done();
        running
    }

    /// Waits for an answer of the bucket on this thread, which is none of the runtime's.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Where reading of `chain` goes on.
    pub(super) fn position(&self, chain: &Chain) -> Offset {
        self.step.positions.get(chain).copied().unwrap_or_default()
    }

    /// Notes that everything of `chain` before `to` was looked at.
    pub(super) fn pass(&mut self, chain: &Chain, to: Offset) {
        let position = self.step.positions.entry(chain.clone()).or_default();
        *position = (*position).max(to);
    }

    /// Notes records that are where they are to go.
    pub(super) fn add(&mut self, records: u64, record_bytes: u64) {
        crate::metrics::replayed(records, record_bytes);
        self.step.records += records;
        self.step.record_bytes += record_bytes;
    }

    /// Notes a part that is gone.
    pub(super) fn gone(&mut self, gone: Gone) {
        crate::metrics::replay_left_out(&gone);
        self.gone.push(gone);
    }

    /// Waits as long as the rate demands after a record.
    pub(super) fn throttle(&mut self, record_bytes: u64) {
        let wait = self.wait_after(record_bytes);
        self.wait(wait);
    }

    /// How long that is.
    pub(super) fn wait_after(&mut self, record_bytes: u64) -> Duration {
        self.limit.add(record_bytes, Instant::now())
    }

    /// Waits, but not beyond being asked to stop.
    pub(super) fn wait(&self, wait: Duration) {
        if !wait.is_zero() {
            let stop = self.controls.stop.clone();
            let waiting = tokio::time::timeout(wait, stop.cancelled_owned());
            // Either way it goes on: the loop that called looks at the stop itself.
            let _ = self.runtime.block_on(waiting);
        }
    }

    /// Whether its last step was made.
    pub(super) fn has_ended(&self) -> bool {
        self.step.state != StepState::Running
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.controls.stop.is_cancelled()
    }

    /// Makes a step durable; `target_ends` when it wrote a topic.
    pub(super) fn commit(
        &mut self,
        target_ends: Option<BTreeMap<PartitionId, Offset>>,
    ) -> Result<Advance> {
        let is_cancelled = self.block_on(self.log.is_cancelled(self.job.job))?;
        let state = if is_cancelled {
            StepState::Cancelled
        } else {
            StepState::Running
        };
        self.append(state, target_ends)?;
        let ends = is_cancelled || self.is_stopped();
        Ok(if ends { Advance::Ended } else { Advance::GoOn })
    }

    /// Makes the last step durable, unless the replay has ended before.
    pub(super) fn finish(&mut self) -> Result<()> {
        let is_whole = self.offsets_done() == self.offsets_total();
        if self.step.state == StepState::Running && is_whole {
            self.append(StepState::Done, None)?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        state: StepState,
        target_ends: Option<BTreeMap<PartitionId, Offset>>,
    ) -> Result<()> {
        self.step.number += 1;
        self.step.at = wall_clock();
        self.step.state = state;
        self.step
            .target_ends
            .extend(target_ends.unwrap_or_default());
        self.block_on(self.log.append(&self.step))?;
        (self.controls.progress)(&self.progress());
        Ok(())
    }

    fn progress(&self) -> ReplayProgress {
        let (done, total) = (self.offsets_done(), self.offsets_total());
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let here = done - self.done_before.min(done);
        let remaining = u128::from(total - done.min(total)) * u128::from(elapsed_ms);
        ReplayProgress {
            records: self.step.records,
            record_bytes: self.step.record_bytes,
            offsets_done: done,
            offsets_total: total,
            elapsed_ms,
            remaining_ms: remaining
                .checked_div(u128::from(here))
                .and_then(|ms| u64::try_from(ms).ok()),
        }
    }

    fn offsets_done(&self) -> u64 {
        let spans = self.job.spans.iter();
        let done = spans.map(|(chain, span)| {
            let position = self.position(chain).clamp(span.from, span.to);
            Span::new(span.from, position).offsets()
        });
        done.sum()
    }

    fn offsets_total(&self) -> u64 {
        self.job.spans.values().map(|span| span.offsets()).sum()
    }

    /// Lets a Kafka client that was last heard of at `heard` try again by itself, within bounds.
    pub(super) fn still_patient(&self, heard: Instant, error: &KafkaError) -> Result<()> {
        if heard.elapsed() <= PATIENCE {
            return Ok(());
        }
        Err(self.kafka_failed("read", error, ErrorKind::Transient))
    }

    /// An error of a Kafka client.
    pub(super) fn kafka_failed(
        &self,
        operation: &'static str,
        error: &KafkaError,
        kind: ErrorKind,
    ) -> Error {
        Error::Kafka {
            operation,
            brokers: self.setup.kafka.brokers.clone(),
            reason: error.to_string(),
            kind,
        }
    }
}

fn first_step(job: &ReplayJob) -> ReplayStep {
    ReplayStep {
        job: job.job,
        number: 0,
        at: job.created,
        state: StepState::Running,
        records: 0,
        record_bytes: 0,
        positions: BTreeMap::new(),
        target_ends: BTreeMap::new(),
    }
}

/// Now. It names hours in keys and stands in reports; no decision about a record rests on it.
pub(super) fn wall_clock() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    TimestampMs(i64::try_from(millis).unwrap_or(i64::MAX))
}
