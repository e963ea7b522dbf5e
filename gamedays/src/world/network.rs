//! Requests on their way to the bucket and to Kafka, and answers on their way back.

use std::ops::Range;

use skein_connector::core::action::CommitNumber;
use skein_connector::core::event::{CommitOutcome, Event};
use skein_shared::offset::Offset;
use xxhash_rust::xxh3::xxh3_64;

use crate::fault::Family;
use crate::model_kafka::{Commit, Place};
use crate::model_s3::fate::{self, PATIENCE_MS, Verdict as FateVerdict};
use crate::model_s3::{Ask, Effect, Intact, Refusal, Reply};
use crate::promise_check::{Truth, Verdict};
use crate::worker::Who;
use crate::worker::bucket_call::{CallId, Tools};
use crate::world::World;
use crate::world::agenda::Turn;

/// After how long a commit's answer comes when it is late: some before it is given up, most after.
const LATE_COMMIT_MS: Range<u64> = 9_000..14_000;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// One try of a request of a worker's core.
    Call(Who, CallId),
    /// The janitor.
    Janitor,
    /// Nobody.
    Nobody,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Op {
    caller: Caller,
    ask: Ask,
    verdict: FateVerdict,
    reply: Reply,
    returns: Returning,
}

/// Whether an answer comes back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returning {
    InTime,
    Never,
}

impl World {
    pub(super) fn send(&mut self, caller: Caller, ask: Ask) {
        let fate = fate::draw(&mut self.plan.faults, &ask, self.now, &mut self.rng);
        self.note_ask(caller, &ask);
        self.trace.explain(|| format!("{} {fate:?}", ask.key()));
        let number = self.ops.len();
        let deadline = self.now + PATIENCE_MS;
        let arrives_at = fate.arrives_after_ms.map(|after| self.now + after);
        let returns_at = arrives_at.map(|at| at + fate.returns_after_ms);
        let is_lost = fate.verdict == FateVerdict::DoesBut(Refusal::TimedOut);
        let in_time = returns_at.filter(|at| *at <= deadline && !is_lost);
        self.ops.push(Some(Op {
            caller,
            ask,
            verdict: fate.verdict,
            reply: Reply::Refused(Refusal::TimedOut),
            returns: if in_time.is_some() {
                Returning::InTime
            } else {
                Returning::Never
            },
        }));
        if let Some(at) = arrives_at {
            self.agenda.set(at, Turn::Arrives(number));
        }
        self.agenda
            .set(in_time.unwrap_or(deadline), Turn::Returns(number));
    }

    fn note_ask(&mut self, caller: Caller, ask: &Ask) {
        let who = match caller {
            Caller::Call(who, _) => who.slot as u64,
            Caller::Janitor => 98,
            Caller::Nobody => 99,
        };
        let subject = xxh3_64(ask.body().unwrap_or(ask.key().as_bytes()));
        self.trace.note(self.now, ask.word(), &[who, subject]);
    }

    pub(super) fn arrives(&mut self, number: usize) -> Verdict {
        let op = self.ops[number].as_mut().expect("it arrives once");
        let (reply, effect) = match op.verdict {
            FateVerdict::Refuses(refusal) => (Reply::Refused(refusal), Effect::None),
            FateVerdict::Does | FateVerdict::DoesBut(_) | FateVerdict::Flips(_) => {
                self.s3.carry_out(&op.ask, self.now)
            }
        };
        let reply = match (op.verdict, reply) {
            (FateVerdict::DoesBut(refusal), _) => Reply::Refused(refusal),
            (FateVerdict::Flips(bit), Reply::Body(body, _)) => {
                Reply::Body(body, Intact::FlippedBit(bit))
            }
            (_, reply) => reply,
        };
        let is_removal =
            op.caller == Caller::Janitor && matches!(op.ask, Ask::Delete(_) | Ask::Abort(_));
        self.counts.removals += u64::from(is_removal);
        match op.returns {
            Returning::InTime => op.reply = reply,
            // Its caller has given it up, or will.
            Returning::Never => {}
        }
        let truth = Truth {
            kafka: &self.kafka,
            s3: &self.s3,
        };
        self.check.changed(truth, &effect)
    }

    pub(super) fn returns(&mut self, number: usize) -> Verdict {
        let op = self.ops[number].as_mut().expect("it returns once");
        let caller = op.caller;
        let reply = std::mem::replace(&mut op.reply, Reply::Refused(Refusal::TimedOut));
        if op.returns == Returning::InTime {
            self.ops[number] = None;
        }
        if let Reply::Refused(Refusal::TimedOut) = reply {
            self.counts.time_outs += 1;
        }
        match caller {
            Caller::Nobody => Ok(()),
            Caller::Janitor => {
                self.janitor_goes_on(reply);
                Ok(())
            }
            Caller::Call(who, id) => self.call_returns(who, id, reply),
        }
    }

    fn call_returns(&mut self, who: Who, id: CallId, reply: Reply) -> Verdict {
        let Some(worker) = self.slots[who.slot]
            .worker
            .as_mut()
            .filter(|w| w.who == who)
        else {
            return Ok(());
        };
        let mut tools = Tools {
            rng: &mut self.rng,
            mutation: self.mutation,
        };
        if matches!(reply, Reply::Precondition | Reply::NoSuchUpload) {
            self.counts.unclear_ends += 1;
        }
        let next = worker.calls.replied(id, reply, &mut tools);
        self.pursue(who, id, next)
    }

    fn janitor_goes_on(&mut self, reply: Reply) {
        let Some(mut janitor) = self.janitor.take() else {
            return;
        };
        if let Some(ask) = janitor.replied(reply, self.now, &mut self.rng) {
            self.janitor = Some(janitor);
            self.send(Caller::Janitor, ask);
        } else {
            self.counts.voided += janitor.voided;
        }
    }

    pub(super) fn ask_kafka(&mut self, who: Who, id: CallId, places: Vec<Place>) {
        let is_away = self
            .plan
            .faults
            .strikes(Family::KafkaOutage, self.now, &mut self.rng);
        if is_away {
            let at = self.now + PATIENCE_MS;
            self.agenda.set(at, Turn::KafkaReturns(who, id, None));
        } else {
            let at = self.now + self.rng.u64(1..20);
            self.agenda.set(at, Turn::KafkaAsked(who, id, places));
        }
    }

    /// What Kafka answers was so when it was asked, whenever that is heard.
    pub(super) fn kafka_asked(&mut self, who: Who, id: CallId, places: &[Place]) {
        let reach = |place: &Place| {
            let log = self.kafka.log(*place);
            (log.low(), log.high())
        };
        let reaches = places.iter().map(reach).collect();
        let at = self.now + self.rng.u64(1..20);
        self.agenda
            .set(at, Turn::KafkaReturns(who, id, Some(reaches)));
    }

    pub(super) fn kafka_returns(
        &mut self,
        who: Who,
        id: CallId,
        reaches: Option<&[(Offset, Offset)]>,
    ) -> Verdict {
        let Some(worker) = self.slots[who.slot]
            .worker
            .as_mut()
            .filter(|w| w.who == who)
        else {
            return Ok(());
        };
        let mut tools = Tools {
            rng: &mut self.rng,
            mutation: self.mutation,
        };
        let next = worker.calls.kafka_replied(id, reaches, &mut tools);
        self.pursue(who, id, next)
    }

    pub(super) fn commit_arrives(&mut self, who: Who, commit: &Commit) -> Verdict {
        let known = self.kafka.group.generation_of(commit.member);
        let outcome = if known == Some(commit.generation) {
            self.counts.commits += 1;
            self.check.committed(&self.kafka, commit)?;
            self.kafka.committed.extend(commit.offsets.iter().copied());
            Ok(())
        } else {
            self.counts.refused_commits += 1;
            Err(())
        };
        let is_struck = self
            .plan
            .faults
            .strikes(Family::CommitRefused, self.now, &mut self.rng);
        let returns_after = match is_struck {
            false => Some(self.rng.u64(1..40)),
            // So late that the next one is under way.
            true if self.rng.bool() => Some(self.rng.u64(LATE_COMMIT_MS)),
            true => None,
        };
        if let Some(after) = returns_after {
            let turn = Turn::CommitReturns(who, commit.number, outcome);
            self.agenda.set(self.now + after, turn);
        }
        Ok(())
    }

    pub(super) fn commit_returns(
        &mut self,
        who: Who,
        number: CommitNumber,
        outcome: Result<(), ()>,
    ) -> Verdict {
        let outcome = match outcome {
            Ok(()) => CommitOutcome::Done,
            Err(()) => CommitOutcome::Failed("refused".to_owned()),
        };
        self.tell(who, Event::Committed(number, outcome))
    }
}
