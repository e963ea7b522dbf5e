//! The poll loop: gives the core every event and does what it says. It never waits but for records.

mod orders;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skein_shared::bucket::Bucket;
use skein_shared::units::Millis;
use tokio::runtime::Handle;

use crate::block_compressor::{BlockCompressor, Job};
use crate::bucket_request::BucketRequests;
use crate::core::Core;
use crate::core::action::{Action, CommitNumber, ExitReason};
use crate::core::byte_budget::Intake;
use crate::core::event::{CommitOutcome, Event, TopicPartition};
use crate::core::standing::PartitionState;
use crate::error::{Error, Result};
use crate::hold_point::{HoldPoint, Holding};
use crate::metrics;
use crate::pipeline::Controls;
use crate::pipeline::order_desk::OrderDesk;
use crate::pipeline::shard_map_watch::MapChanges;
use crate::record_source::{GroupEvent, Polled, RecordSource};
use crate::report::{ConnectReport, Ended, Outcome, Progress, StoppedPartition};

/// Records taken before anything else is looked at.
const RECORDS_PER_TURN: usize = 512;
/// How long a poll waits while blocks or requests may come back.
const SHORT_WAIT: Duration = Duration::from_millis(5);
/// How long a poll waits while nothing is under way.
const LONG_WAIT: Duration = Duration::from_millis(50);
const TICK_MS: u64 = 50;
const POSITIONS_MS: u64 = 250;
const PROGRESS_MS: u64 = 500;

/// Everything that the poll loop holds.
pub(super) struct Driver<S> {
    pub(super) core: Core,
    pub(super) source: S,
    pub(super) compressor: BlockCompressor,
    pub(super) requests: BucketRequests,
    pub(super) holding: Arc<Holding>,
    pub(super) controls: Controls,
    pub(super) desk: OrderDesk,
    pub(super) map_changes: MapChanges,
    pub(super) bucket: Bucket,
    pub(super) clock: Clock,
    pub(super) turn: Turn,
    /// Partitions that a person must look at, and why.
    pub(super) stopped: BTreeMap<TopicPartition, String>,
}

/// Time since the start, and what is due.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    tick_at: u64,
    positions_at: u64,
    progress_at: u64,
}

/// Buffers and flags of one turn of the loop, reused by the next.
#[derive(Debug, Default)]
pub(super) struct Turn {
    actions: Vec<Action>,
    stop_was_told: bool,
    exit: Option<ExitReason>,
}

impl Clock {
    pub(super) fn start(start: Instant) -> Self {
        Self {
            start,
            tick_at: 0,
            positions_at: 0,
            progress_at: PROGRESS_MS,
        }
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// As it is shown.
fn stopped_of(stopped: &BTreeMap<TopicPartition, String>) -> Vec<StoppedPartition> {
    let rows = stopped.iter().map(|(name, reason)| StoppedPartition {
        topic: name.topic.to_string(),
        partition: name.partition.0,
        reason: reason.clone(),
    });
    rows.collect()
}

/// Whether something that happens every `every_ms` is due; if so, when it is due again.
fn is_due(at: &mut u64, now: Millis, every_ms: u64) -> bool {
    let due = *at <= now.0;
    if due {
        *at = now.0 + every_ms;
    }
    due
}

impl<S: RecordSource> Driver<S> {
    /// Drives the core to its end, then leaves the group and ends what is under way.
    pub(super) fn run(mut self, runtime: &Handle) -> Result<ConnectReport> {
        let driven = self.drive();
        self.desk.settle_flushes(&self.core);
        self.source.leave();
        drop(self.compressor);
        runtime.block_on(self.requests.end());
        let outcome = match driven? {
            ExitReason::Stopped => Outcome::Stopped,
            ExitReason::FlushMissed => Outcome::FlushMissed,
            ExitReason::EndReached => Outcome::EndReached,
            ExitReason::Stalled => Outcome::Stalled,
            ExitReason::Failed { step, reason, kind } => {
                return Err(Error::Stopped { step, reason, kind });
            }
        };
        Ok(ConnectReport::of(Ended {
            outcome,
            elapsed_ms: self.clock.now().0,
            stats: self.core.stats(),
            stopped: stopped_of(&self.stopped),
            requests: &self.bucket.requests(),
        }))
    }

    fn drive(&mut self) -> Result<ExitReason> {
        loop {
            self.take_records()?;
            self.take_notes()?;
            self.take_finished_work()?;
            self.take_time()?;
            if let Some(reason) = self.turn.exit.take() {
                return Ok(reason);
            }
        }
    }

    fn take_records(&mut self) -> Result<()> {
        let now = self.clock.now();
        let mut patience = self.patience();
        for _ in 0..RECORDS_PER_TURN {
            let (core, actions) = (&mut self.core, &mut self.turn.actions);
            let polled = self.source.poll(patience, |topic, partition, record| {
                let event = Event::Record {
                    topic,
                    partition,
                    record,
                };
                core.step(now, event, actions);
            })?;
            match polled {
                Polled::Record => {}
                Polled::OffsetsLost => {
                    self.core
                        .step(now, Event::OffsetsLost, &mut self.turn.actions);
                }
                Polled::Nothing => return self.act(),
            }
            self.act()?;
            if self.source.has_notes() {
                return Ok(());
            }
            patience = Duration::ZERO;
        }
        Ok(())
    }

    fn take_notes(&mut self) -> Result<()> {
        while let Some(event) = self.source.group_event() {
            // The core captures positions when it gives partitions back: they have to be the last ones.
            self.tell_positions()?;
            self.tell(match event {
                GroupEvent::Assigned(names) => Event::Assigned(names),
                GroupEvent::Revoked(names) => Event::Revoked(names),
                GroupEvent::Lost(names) => Event::Lost(names),
            })?;
        }
        while let Some((number, outcome)) = self.source.commit_outcome() {
            if let CommitOutcome::Failed(reason) = &outcome {
                metrics::commit_failed(reason);
            } else if self.holding.holds(HoldPoint::AfterCommit) {
                continue;
            }
            self.tell(Event::Committed(number, outcome))?;
        }
        Ok(())
    }

    fn take_finished_work(&mut self) -> Result<()> {
        while let Some((object, block)) = self.compressor.try_next() {
            self.tell(Event::BlockEncoded { object, block })?;
        }
        while let Some((id, outcome)) = self.requests.try_next() {
            self.tell(match outcome {
                Ok(answer) => Event::Answered(id, answer),
                Err(failure) => Event::Failed(id, failure),
            })?;
        }
        Ok(())
    }

    fn take_time(&mut self) -> Result<()> {
        let now = self.clock.now();
        if is_due(&mut self.clock.positions_at, now, POSITIONS_MS) {
            self.tell_positions()?;
            self.compressor.check()?;
        }
        self.take_order()?;
        if self.controls.flush.take() {
            self.tell_positions()?;
            self.tell(Event::FlushNow)?;
        }
        if !self.turn.stop_was_told && self.controls.stop.is_cancelled() {
            self.turn.stop_was_told = true;
            self.tell_positions()?;
            self.tell(Event::Shutdown)?;
        }
        if let Ok(map) = self.map_changes.try_recv() {
            self.tell(Event::ShardMapChanged(map))?;
        }
        if is_due(&mut self.clock.tick_at, now, TICK_MS) {
            self.tell(Event::Tick)?;
            self.desk.settle_flushes(&self.core);
        }
        if is_due(&mut self.clock.progress_at, now, PROGRESS_MS) || self.turn.exit.is_some() {
            self.show_progress(now);
            self.desk.beat(now, &self.core);
        }
        Ok(())
    }

    fn tell_positions(&mut self) -> Result<()> {
        let positions = self.source.positions();
        self.tell(Event::Positions(positions))
    }

    fn tell(&mut self, event: Event<'_>) -> Result<()> {
        let now = self.clock.now();
        self.core.step(now, event, &mut self.turn.actions);
        self.act()
    }

    /// Does what the core said, and what it says to that.
    fn act(&mut self) -> Result<()> {
        while !self.turn.actions.is_empty() {
            let mut actions = mem::take(&mut self.turn.actions);
            for action in actions.drain(..) {
                self.carry_out(action)?;
            }
            if self.turn.actions.is_empty() {
                self.turn.actions = actions;
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Assign { added, all } => {
                metrics::partitions_assigned(&added, all.len());
                // Whatever stopped it before is over.
                for (name, _) in &added {
                    self.stopped.remove(name);
                }
                self.source.assign(&added, &all)
            }
            Action::Unassign { removed, rest } => {
                metrics::partitions_removed(&removed, rest.len());
                self.forget_stopped(&removed);
                self.source.unassign(&removed, &rest)
            }
            Action::Pause => self.source.set_intake(Intake::Closed),
            Action::Resume => self.source.set_intake(Intake::Open),
            Action::Encode {
                object,
                block,
                marker,
            } => {
                self.compressor.push(Job {
                    object,
                    block,
                    marker,
                });
                Ok(())
            }
            Action::Send(id, request) => {
                self.requests.send(id, request);
                Ok(())
            }
            Action::Hedge(id, request) => {
                self.requests.hedge(id, request);
                Ok(())
            }
            Action::Commit(number, offsets) => {
                if !self.holding.holds(HoldPoint::BeforeCommit) {
                    self.commit(number, &offsets);
                }
                Ok(())
            }
            Action::Alert { partition, reason } => {
                metrics::partition_stopped(&partition, &reason);
                self.stopped.insert(partition, reason.to_string());
                Ok(())
            }
            Action::Notify(notice) => {
                metrics::noticed(&notice);
                Ok(())
            }
            Action::Exit(reason) => {
                self.turn.exit = Some(reason);
                Ok(())
            }
        }
    }

    fn commit(
        &mut self,
        number: CommitNumber,
        offsets: &[(TopicPartition, skein_shared::offset::Offset)],
    ) {
        if let Err(reason) = self.source.commit(number, offsets) {
            metrics::commit_failed(&reason);
            let outcome = CommitOutcome::Failed(reason);
            let (now, actions) = (self.clock.now(), &mut self.turn.actions);
            self.core
                .step(now, Event::Committed(number, outcome), actions);
        }
    }

    /// What went to others is theirs to stop, also where it was stopped here.
    fn forget_stopped(&mut self, removed: &[TopicPartition]) {
        for name in removed {
            if self.core.state_of(name) == PartitionState::Away {
                self.stopped.remove(name);
            }
        }
    }

    fn patience(&self) -> Duration {
        let idle = self.compressor.under_way() == 0 && self.core.open_requests() == 0;
        if idle { LONG_WAIT } else { SHORT_WAIT }
    }

    fn show_progress(&self, now: Millis) {
        let (stats, buffered_bytes) = (self.core.stats(), self.core.buffered_bytes());
        metrics::progressed(stats, buffered_bytes, self.core.intake());
        metrics::requests_progressed(self.core.request_stats(), self.core.upload_limits());
        (self.controls.progress)(&Progress {
            elapsed_ms: now.0,
            records: stats.records,
            raw_bytes: stats.raw_bytes,
            durable_records: stats.ledger_records,
            records_behind: stats.records_behind,
            partitions: stats.partitions_reading,
            buffered_bytes,
        });
    }
}
