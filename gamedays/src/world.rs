//! A world of one seed: what happens in it, turn by turn, and the promises after each.
//!
//! First the safety phase, in which the plan's faults strike; then the faults stop, and everything that Kafka holds has to
//! be durable within a bounded time (SK-15).

pub mod counts;
mod plan;
mod agenda;
mod liveness;
mod start;
mod network;
mod processes;
mod group_turns;
mod obedience;
mod producer;
mod chaos;
pub mod storm;

use std::collections::BTreeMap;

use fastrand::Rng;
use skein_connector::core::action::Action;
use skein_shared::shard_map::ShardMap;

use crate::janitor::Janitor;
use crate::model_kafka::{ModelKafka, Place};
use crate::model_s3::ModelS3;
use crate::mutants::Mutation;
use crate::promise_check::{PromiseCheck, Verdict, Violation};
use crate::trace::Trace;
use crate::worker::{Who, Worker};
use crate::world::agenda::{Agenda, Turn};
use crate::world::counts::Counts;
use crate::world::network::Op;
use crate::world::plan::Plan;

/// A world.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    mutation: Option<Mutation>,
    rng: Rng,
    now: u64,
    agenda: Agenda,
    kafka: ModelKafka,
    s3: ModelS3,
    check: PromiseCheck,
    trace: Trace,
    slots: Vec<Slot>,
    ops: Vec<Option<Op>>,
    janitor: Option<Janitor>,
    shard_map: ShardMap,
    /// How often each partition was stopped.
    alerts: BTreeMap<Place, u32>,
    counts: Counts,
    /// Reused by each step.
    actions: Vec<Action>,
    liveness: liveness::Liveness,
}

/// Where the orchestrator keeps a process running.
#[derive(Debug, Default)]
struct Slot {
    worker: Option<Worker>,
    lives: u32,
    /// The membership that the last life had.
    left_member: Option<crate::model_kafka::group::MemberId>,
}

/// How a world ended.
#[derive(Debug)]
pub struct Ended {
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// Everything that happened.
    pub trace: Trace,
    /// What the world has seen.
    pub counts: Counts,
}

/// Whether a turn can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Its process is stopped.
    PausedUntil(u64),
    /// Its process is no more.
    Gone,
}

impl World {
    /// The world of a seed, with a bug if one is given.
    pub fn new(seed: u64, mutation: Option<Mutation>, trace: Trace) -> Self {
        start::world_of(seed, mutation, trace)
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Ended {
        let verdict = self.run_all();
        Ended {
            violation: verdict.err(),
            ..self.end()
        }
    }

    /// What it has come to, up to here.
    pub fn end(mut self) -> Ended {
        for slot in 0..self.slots.len() {
            if let Some(worker) = self.slots[slot].worker.take() {
                self.count_process(&worker);
            }
        }
        self.counts.struck = *self.plan.faults.struck();
        self.counts.watermarks = self.check.watermarks;
        self.counts.virtual_ms = self.now;
        self.counts.requests = self.s3.counts.requests;
        self.counts.uploads = self.s3.counts.completions;
        Ended {
            violation: None,
            trace: self.trace,
            counts: self.counts,
        }
    }

    /// Takes every turn until its good end, or until a promise is broken.
    ///
    /// # Errors
    /// The broken promise.
    pub fn run_all(&mut self) -> Verdict {
        while let Some((at, turn)) = self.agenda.next() {
            self.take_at(at, turn)?;
            if self.is_done()? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_at(&mut self, at: u64, turn: Turn) -> Verdict {
        self.now = self.now.max(at);
        match self.state_of(&turn) {
            State::Ready => {
                self.counts.steps += 1;
                self.note_turn(&turn);
                self.take(turn)
            }
            State::PausedUntil(until) => {
                self.agenda.set(until, turn);
                Ok(())
            }
            State::Gone => Ok(()),
        }
    }

    fn take(&mut self, turn: Turn) -> Verdict {
        match turn {
            Turn::Poll(who) => self.poll(who),
            Turn::Encoded(who, number) => self.encoded(who, number),
            Turn::Arrives(op) => self.arrives(op),
            Turn::Returns(op) => self.returns(op),
            Turn::KafkaAsked(who, call, places) => {
                self.kafka_asked(who, call, &places);
                Ok(())
            }
            Turn::KafkaReturns(who, call, reaches) => {
                self.kafka_returns(who, call, reaches.as_deref())
            }
            Turn::CommitArrives(who, commit) => self.commit_arrives(who, &commit),
            Turn::CommitReturns(who, number, outcome) => self.commit_returns(who, number, outcome),
            Turn::Asked(who, member, ask) => self.asked(who, member, ask),
            Turn::Group => self.group_turn(),
            Turn::Produce => {
                self.produce_turn();
                Ok(())
            }
            Turn::Chaos => self.chaos_turn(),
            Turn::Start(slot) => {
                self.start_process(slot);
                Ok(())
            }
        }
    }

    fn state_of(&self, turn: &Turn) -> State {
        let Some(who) = turn.who() else {
            return State::Ready;
        };
        match self.worker(who) {
            None => State::Gone,
            Some(worker) if self.now < worker.paused_until => {
                State::PausedUntil(worker.paused_until)
            }
            Some(_) => State::Ready,
        }
    }

    fn note_turn(&mut self, turn: &Turn) {
        let who = turn
            .who()
            .map_or([99, 0], |who| [who.slot as u64, u64::from(who.life)]);
        self.trace.note(self.now, turn.word(), &who);
        self.trace.explain(|| format!("{turn:?}"));
    }

    /// The process, if that life of it still runs.
    fn worker(&self, who: Who) -> Option<&Worker> {
        let worker = self.slots[who.slot].worker.as_ref()?;
        (worker.who == who).then_some(worker)
    }

    fn worker_mut(&mut self, who: Who) -> Option<&mut Worker> {
        let worker = self.slots[who.slot].worker.as_mut()?;
        (worker.who == who).then_some(worker)
    }

    /// Whether the plan's faults may still strike.
    fn is_unsafe(&self) -> bool {
        self.now < self.plan.faults.ends_at()
    }
}
