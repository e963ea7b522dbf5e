//! What the cores want done.

use skein_connector::core::action::{Action, CommitNumber, Notice, RequestId, StopReason};
use skein_connector::core::event::{Answer, Event, TopicPartition};
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;

use crate::fault::Family;
use crate::model_kafka::{Commit, Place};
use crate::promise_check::{Verdict, broken};
use crate::worker::Who;
use crate::worker::bucket_call::{CallId, Next, Outcome, Tools};
use crate::world::World;
use crate::world::agenda::Turn;
use crate::world::group_turns::Answered;
use crate::world::network::Caller;

impl World {
    pub(super) fn obey(&mut self, who: Who, action: Action) -> Verdict {
        let now = self.now;
        let Some(worker) = self.slots[who.slot]
            .worker
            .as_mut()
            .filter(|w| w.who == who)
        else {
            return Ok(());
        };
        match action {
            Action::Assign { added, all } => {
                let added = self.places(&added);
                self.note_assignment("assign", who, &added);
                let worker = self.slots[who.slot]
                    .worker
                    .as_mut()
                    .expect("it was just there");
                worker.consumer.assign(&self.kafka, &added);
                self.reads_all(who, &all)?;
                self.answered_group(who, Answered::ByAssigning);
                Ok(())
            }
            Action::Unassign { removed, rest } => self.unassign(who, &removed, &rest),
            Action::Pause => {
                worker.consumer.withhold(now);
                Ok(())
            }
            Action::Resume => {
                worker.consumer.resume();
                Ok(())
            }
            Action::Encode {
                object,
                block,
                marker,
            } => {
                let number = worker.take_block((object, block, marker));
                let at = now + self.rng.u64(1..20);
                self.agenda.set(at, Turn::Encoded(who, number));
                Ok(())
            }
            Action::Send(id, request) => {
                let mut tools = Tools {
                    rng: &mut self.rng,
                    mutation: self.mutation,
                };
                let (call, next) = worker.calls.begin(id, request, &mut tools);
                self.pursue(who, call, next)
            }
            Action::Hedge(id, request) => {
                let mut tools = Tools {
                    rng: &mut self.rng,
                    mutation: self.mutation,
                };
                let hedged = worker.calls.hedge(id, request, &mut tools);
                hedged.map_or(Ok(()), |(call, next)| self.pursue(who, call, next))
            }
            Action::Notify(notice) => {
                self.count_notice(&notice);
                Ok(())
            }
            Action::Commit(number, offsets) => self.send_commit(who, number, &offsets),
            Action::Alert { partition, reason } => self.alerted(who, &partition, &reason),
            Action::Exit(reason) => self.exited(who, &reason),
        }
    }

    fn unassign(
        &mut self,
        who: Who,
        removed: &[TopicPartition],
        rest: &[(TopicPartition, Offset)],
    ) -> Verdict {
        let removed: Vec<Place> = removed
            .iter()
            .map(|name| self.kafka.place_of(name))
            .collect();
        let noted: Vec<_> = removed.iter().map(|place| (*place, Offset(0))).collect();
        self.note_assignment("unassign", who, &noted);
        let worker = self.slots[who.slot]
            .worker
            .as_mut()
            .expect("it was just there");
        worker.consumer.unassign(&removed);
        self.reads_all(who, rest)?;
        self.answered_group(who, Answered::ByUnassigning);
        Ok(())
    }

    fn note_assignment(&mut self, what: &'static str, who: Who, added: &[(Place, Offset)]) {
        self.trace.note(self.now, what, &[who.slot as u64]);
        for (place, from) in added {
            let numbers = [*place as u64, from.0.cast_unsigned()];
            self.trace.note(self.now, "  of", &numbers);
        }
    }

    /// What the core believes to read is read; else a partition is stuck (SK-15).
    fn reads_all(&self, who: Who, all: &[(TopicPartition, Offset)]) -> Verdict {
        let Some(worker) = self.worker(who) else {
            return Ok(());
        };
        let reads = worker.consumer.places();
        let mut believed = all.iter().map(|(name, _)| self.kafka.place_of(name));
        let Some(stuck) = believed.find(|place| !reads.contains(place)) else {
            return Ok(());
        };
        let words =
            format!("worker {who:?} believes to read {stuck}, its consumer reads {reads:?}");
        broken(Promise::Liveness, words)
    }

    /// Goes on with a request.
    pub(super) fn pursue(&mut self, who: Who, id: CallId, next: Next) -> Verdict {
        let mut next = Some((id, next));
        while let Some((id, step)) = next {
            match step {
                Next::Ask(ask) => self.send(Caller::Call(who, id), ask),
                Next::AskKafka(chains) => {
                    let places = chains.iter().map(|chain| self.kafka.place_of_chain(chain));
                    let places = places.collect();
                    self.ask_kafka(who, id, places);
                }
                Next::Wait => {}
                Next::Done(outcome) => unreachable!("its request ends as well: {outcome:?}"),
                Next::Ended(id, outcome) => self.finish(who, id, outcome)?,
                Next::Broken(violation) => return Err(violation),
            }
            let worker = self.worker_mut(who);
            next = worker.and_then(|worker| worker.calls.next_waiting());
        }
        Ok(())
    }

    fn finish(&mut self, who: Who, id: RequestId, outcome: Outcome) -> Verdict {
        let event = match outcome {
            Err(failure) => {
                self.counts.failures += 1;
                self.trace
                    .note(self.now, "failed", &[who.slot as u64, id.0]);
                self.trace.explain(|| failure.reason.clone());
                Event::Failed(id, failure)
            }
            Ok(answer) => {
                self.trace
                    .note(self.now, "answered", &[who.slot as u64, id.0]);
                self.trace.explain(|| format!("{answer:?}"));
                self.count_answer(who, &answer);
                Event::Answered(id, answer)
            }
        };
        self.tell(who, event)
    }

    fn count_answer(&mut self, who: Who, answer: &Answer) {
        match answer {
            Answer::AppendTaken(_) | Answer::UploadGone => {}
            Answer::Taken => self.counts.taken += 1,
            Answer::Appended => {
                self.counts.entries += 1;
                return;
            }
            Answer::Chain(_) | Answer::Ours | Answer::Stored => return,
        }
        if let Some(worker) = self.worker_mut(who) {
            worker.consumer.forget_given();
        }
    }

    fn count_notice(&mut self, notice: &Notice) {
        let count = match notice {
            Notice::HoleFound { .. } => &mut self.counts.holes,
            Notice::HoleRecorded { .. } => &mut self.counts.lost_spans,
            Notice::IncarnationBegun { .. } => &mut self.counts.incarnations,
            Notice::StoreRefuses { .. } => &mut self.counts.refusals,
            Notice::StoreAccepts => &mut self.counts.acceptances,
            // No answer of the model's makes no sense.
            Notice::OddAnswer { .. } => return,
        };
        *count += 1;
    }

    fn alerted(&mut self, who: Who, partition: &TopicPartition, reason: &StopReason) -> Verdict {
        let place = self.kafka.place_of(partition);
        self.counts.alerts += 1;
        *self.alerts.entry(place).or_default() += 1;
        self.trace
            .note(self.now, "alert", &[who.slot as u64, place as u64]);
        self.trace.explain(|| format!("{reason:?}"));
        if let Some(worker) = self.worker_mut(who) {
            worker.consumer.forget_given();
            worker.needs_a_person = true;
        }
        self.check.alerted(&self.kafka, place, reason)
    }

    /// The chain of each partition is the one that the worker reads.
    fn check_commit(&self, who: Who, offsets: &[(Place, Offset)]) -> Verdict {
        let standings = self
            .worker(who)
            .map(|worker| worker.core().partition_standings());
        for standing in standings.into_iter().flatten() {
            let at = self.kafka.place_of(&standing.name);
            let sent = offsets.iter().find(|(place, _)| *place == at);
            if let Some((place, offset)) = sent {
                self.check.commit_sent(&standing.chain, *place, *offset)?;
            }
        }
        Ok(())
    }

    fn send_commit(
        &mut self,
        who: Who,
        number: CommitNumber,
        offsets: &[(TopicPartition, Offset)],
    ) -> Verdict {
        let offsets = self.places(offsets);
        self.check_commit(who, &offsets)?;
        for (place, offset) in &offsets {
            let numbers = [*place as u64, offset.0.cast_unsigned()];
            self.trace.note(self.now, "commit", &numbers);
        }
        let Some(worker) = self.worker(who) else {
            return Ok(());
        };
        let is_cut_off = self.now < worker.unreachable_until;
        let commit = worker.member.map(|member| Commit {
            number,
            member,
            generation: worker.generation,
            offsets,
        });
        let at = self.now + self.rng.u64(1..40);
        let is_refused = self
            .plan
            .faults
            .strikes(Family::CommitRefused, self.now, &mut self.rng);
        match commit.filter(|_| !is_cut_off) {
            Some(commit) if !is_refused => self.agenda.set(at, Turn::CommitArrives(who, commit)),
            Some(commit) if self.rng.bool() => {
                // It arrives, and its answer is lost.
                self.agenda.set(at, Turn::CommitArrives(who, commit));
            }
            _ => self
                .agenda
                .set(at, Turn::CommitReturns(who, number, Err(()))),
        }
        Ok(())
    }
}
