//! Every decision of the connector, and no I/O: `step(now, event) -> actions`.
//!
//! What to buffer, when to roll and flush, what to write into the ledger and in which order, what to commit,
//! when to wait for memory. No clock, randomness, thread or hash order in it: times, seeds and answers come
//! in as values, so that the same events give the same actions (SK-16).
//!
//! # A record's way
//! `record_intake`: router → open object → block. `object_progress`: block → part → stored object.
//! `flush_progress`: positions captured → manifest → ledger, in order, each after the one before is ours.
//! `membership`: which partitions, from where, given back when. `offset_commits`: last and least.

pub mod action;
pub mod event;
pub mod byte_budget;
pub mod mutant;
mod options;
pub mod roll_policy;
pub(crate) mod router;
mod open_object;
mod ledger_chain;
mod partition;
mod census;
mod partition_table;
mod flush_cycle;
mod stats;
mod retry_budget;
mod upload_limit;
mod hedging;
mod retry_lines;
mod purpose;
mod request_table;
mod offset_commits;
mod blockage;
mod record_intake;
mod object_progress;
mod flush_progress;
mod lost_offsets;
mod membership;
mod status_turn;
mod ending;
pub mod standing;
mod mutated;

#[cfg(test)]
mod model;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use options::test_settings;

use std::collections::BTreeMap;

use fastrand::Rng;
use skein_shared::ErrorKind;
use skein_shared::ids::ShardId;
use skein_shared::units::Millis;

pub use mutant::Mutant;
pub use options::{CoreOptions, Floors, IndexFloors, Until};
pub use stats::{CoreStats, RequestStats};

use crate::core::action::{Action, ExitReason, ObjectNumber, RequestId};
use crate::core::blockage::Blockage;
use crate::core::byte_budget::{ByteBudget, Intake};
use crate::core::ending::Life;
use crate::core::event::{Answer, Event, Failure, Remedy};
use crate::core::flush_cycle::FlushCycle;
use crate::core::membership::Membership;
use crate::core::offset_commits::OffsetCommits;
use crate::core::open_object::{OpenObject, SealedObject};
use crate::core::partition_table::PartitionTable;
use crate::core::purpose::Purpose;
use crate::core::request_table::RequestTable;
use crate::core::roll_policy::FlushPhase;
use crate::core::router::Router;
use crate::core::status_turn::StatusTurn;

/// The connector's state.
#[derive(Debug)]
pub struct Core {
    options: CoreOptions,
    now: Millis,
    rng: Rng,
    router: Router,
    partitions: PartitionTable,
    open: BTreeMap<ShardId, OpenObject>,
    /// Where the open or sealed object of a number is.
    homes: BTreeMap<ObjectNumber, ShardId>,
    sealed: BTreeMap<ObjectNumber, SealedObject>,
    objects_made: u64,
    tenures_made: u64,
    block_bytes: u64,
    flushes: FlushCycle,
    flush_phase: FlushPhase,
    next_flush_at: Millis,
    sealed_at: Option<Millis>,
    budget: ByteBudget,
    intake: Intake,
    requests: RequestTable,
    blockage: Blockage,
    membership: Membership,
    commits: OffsetCommits,
    status: StatusTurn,
    life: Life,
    /// When something last came forward: a record, an answer, a commit.
    progress_at: Millis,
    stats: CoreStats,
}

impl Core {
    /// A connector that owns nothing yet. `now` is the time of the steps to come: milliseconds since any
    /// fixed instant.
    pub fn new(options: CoreOptions, now: Millis) -> Self {
        let settings = &options.settings;
        let compression = u64::from(options.compressors) * settings.compressor_bytes().0;
        let buffers = settings.memory_shares().buffers.0;
        // One compressor runs also where an eighth does not hold it.
        let budget = ByteBudget::new(buffers - compression.min(buffers / 8));
        let flush_phase = FlushPhase::of_worker(options.worker);
        Self {
            now,
            rng: Rng::with_seed(options.seed),
            router: Router::new(options.shard_map.clone(), options.payload_limit_bytes),
            partitions: PartitionTable::new(options.source.clone()),
            open: BTreeMap::new(),
            homes: BTreeMap::new(),
            sealed: BTreeMap::new(),
            objects_made: 0,
            tenures_made: 0,
            block_bytes: roll_policy::block_bytes(settings, options.floors, &budget, 1),
            flushes: FlushCycle::new(options.worker),
            flush_phase,
            next_flush_at: roll_policy::next_flush_at(settings, flush_phase, options.epoch, now),
            sealed_at: None,
            budget,
            intake: Intake::Open,
            requests: RequestTable::new(
                options.retry.clone(),
                settings.upload_concurrency,
                // Other draws than those of the write ids.
                !options.seed,
            ),
            blockage: Blockage::default(),
            membership: Membership::default(),
            commits: OffsetCommits::default(),
            status: StatusTurn::default(),
            life: Life::Running,
            progress_at: now,
            stats: CoreStats::default(),
            options,
        }
    }

    /// Takes in one event and appends what is to be done, in order.
    pub fn step(&mut self, now: Millis, event: Event<'_>, actions: &mut Vec<Action>) {
        self.now = self.now.max(now);
        self.requests.advance(self.now);
        if self.life.is_over() {
            return;
        }
        match event {
            Event::Record {
                topic,
                partition,
                record,
            } => {
                // The hot path: nothing else can have become due.
                self.take_record((topic, partition), record, actions);
                return;
            }
            Event::Assigned(partitions) => self.assigned(&partitions, actions),
            Event::Revoked(partitions) => self.revoked(&partitions, actions),
            Event::Lost(partitions) => self.lost(&partitions, actions),
            Event::Positions(positions) => self.take_positions(&positions),
            Event::OffsetsLost => self.look_for_lost_offsets(actions),
            Event::StoodStill(names) => self.look_at_still(&names, actions),
            Event::BlockEncoded { object, block } => self.block_encoded(object, &block, actions),
            Event::Answered(id, answer) => self.answered(id, answer, actions),
            Event::Failed(id, failure) => self.failed(id, &failure, actions),
            Event::Committed(number, outcome) => self.committed(number, &outcome),
            Event::ShardMapChanged(map) => self.router.replace(map),
            Event::Tick => self.tick(actions),
            Event::FlushNow => self.seal_flush(actions),
            Event::Shutdown => self.shut_down(actions),
        }
        self.settle(actions);
    }

    /// Counts since the start.
    pub fn stats(&self) -> &CoreStats {
        &self.stats
    }

    /// Bytes in buffers, being compressed and being uploaded.
    pub fn buffered_bytes(&self) -> u64 {
        self.budget.used_bytes()
    }

    /// Whether records may come in.
    pub fn intake(&self) -> Intake {
        self.intake
    }

    /// Requests that have not come to their end.
    pub fn open_requests(&self) -> usize {
        self.requests.len()
    }

    /// First tries, retries and hedges of requests since the start.
    pub fn request_stats(&self) -> &RequestStats {
        self.requests.stats()
    }

    /// How many requests each group of keys may have under way, by the group's name.
    pub fn upload_limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.requests.limits()
    }

    fn tick(&mut self, actions: &mut Vec<Action>) {
        self.requests.send_due(actions);
        self.look_again(actions);
        if self.next_flush_at <= self.now {
            self.next_flush_at = self.next_on_phase();
            self.seal_flush_by_age(actions);
        }
    }

    /// What may have become possible by any event.
    fn settle(&mut self, actions: &mut Vec<Action>) {
        self.watch_refusals(actions);
        self.relieve_pressure(actions);
        self.answer_group(actions);
        self.unassign_stopped(actions);
        self.assign_found(actions);
        self.commit_due(actions);
        self.end_if_due(actions);
        self.tell_status(actions);
    }

    fn answered(&mut self, id: RequestId, answer: Answer, actions: &mut Vec<Action>) {
        let Some(purpose) = self.requests.finish(id, actions) else {
            return;
        };
        // A status is told also while nothing comes forward.
        if purpose != Purpose::Status {
            self.progress_at = self.now;
        }
        match (purpose, answer) {
            (Purpose::LookUp(slot), Answer::Chain(view)) => self.chain_found(slot, view, actions),
            (Purpose::Recheck { slot, position }, Answer::Chain(view)) => {
                self.rechecked((slot, position), view, actions);
            }
            (Purpose::Genesis(slot), Answer::Ours | Answer::Taken)
            | (Purpose::LostSpan { slot, .. }, Answer::AppendTaken(_)) => {
                self.look_up(slot, actions);
            }
            (Purpose::Put(object) | Purpose::Complete(object), Answer::Stored) => {
                self.object_stored(object, actions);
            }
            (Purpose::Part { object, bytes }, Answer::Stored) => {
                self.part_stored(object, bytes, actions);
            }
            (Purpose::Part { object, .. } | Purpose::Complete(object), Answer::UploadGone) => {
                self.object_lost(object, actions);
            }
            (Purpose::Manifest(flush), Answer::Ours) => self.manifest_written(flush, actions),
            (Purpose::Manifest(flush), Answer::Taken) => self.flush_voided(flush, actions),
            (Purpose::Status, Answer::Stored) => self.status_written(),
            (Purpose::Ledger(slot), Answer::Appended) => self.span_appended(slot, id, actions),
            (Purpose::Ledger(slot), Answer::AppendTaken(_)) => self.conflict(slot, id, actions),
            (Purpose::LostSpan { slot, span }, Answer::Appended) => {
                self.lost_recorded(slot, span, actions);
            }
            (purpose, answer) => panic!("{answer:?} is no answer to {purpose:?}"),
        }
    }

    fn failed(&mut self, id: RequestId, failure: &Failure, actions: &mut Vec<Action>) {
        if self.requests.purpose(id) == Some(Purpose::Status) {
            // The next status tells the same and more.
            let given_up = Failure {
                remedy: Remedy::GiveUp(ErrorKind::Transient),
                reason: String::new(),
            };
            self.requests.failed(id, &given_up, actions);
            self.status_failed();
            return;
        }
        if self.mutated_failure(id, failure, actions).is_some() {
            return;
        }
        match failure.remedy {
            Remedy::AgainAndAlert => self.blockage.refused(&failure.reason),
            Remedy::AskAgain => self.watch_odd_answer(id, &failure.reason, actions),
            Remedy::Again | Remedy::SlowDown | Remedy::GiveUp(_) => {}
        }
        let Some((purpose, step)) = self.requests.failed(id, failure, actions) else {
            return;
        };
        let Remedy::GiveUp(kind) = failure.remedy else {
            return;
        };
        match purpose {
            Purpose::Status => {}
            Purpose::LookUp(slot)
            | Purpose::Genesis(slot)
            | Purpose::Recheck { slot, .. }
            | Purpose::LostSpan { slot, .. } => {
                let reason = action::StopReason::LedgerUnreadable(failure.reason.clone());
                self.stop_partition(slot, reason, actions);
            }
            Purpose::Put(_)
            | Purpose::Part { .. }
            | Purpose::Complete(_)
            | Purpose::Manifest(_)
            | Purpose::Ledger(_) => {
                let reason = failure.reason.clone();
                self.exit(ExitReason::Failed { step, reason, kind }, actions);
            }
        }
    }
}
