//! The coordinator and its members: heartbeats, sessions that end, rebalances and their answers.

use skein_connector::core::event::{Event, TopicPartition};

use crate::model_kafka::Place;
use crate::model_kafka::group::{Ask, MemberId};
use crate::promise_check::Verdict;
use crate::worker::Who;
use crate::worker::consumer::Asked;
use crate::world::World;
use crate::world::agenda::Turn;

/// How often the coordinator looks at its group.
const GROUP_MS: u64 = 100;

/// What the application did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    ByAssigning,
    ByUnassigning,
}

impl Answered {
    fn answers(self, asked: &Asked) -> bool {
        let is_assignment = matches!(asked, Asked::ByGroup(Ask::Assigned(_)));
        is_assignment == (self == Self::ByAssigning)
    }
}

impl World {
    pub(super) fn group_turn(&mut self) -> Verdict {
        for slot in 0..self.slots.len() {
            self.hear_from(slot)?;
        }
        for (member, ask) in self.kafka.group.turn(self.now) {
            // If its process is gone, its session will be over before it answers.
            if let Some(who) = self.who_is(member) {
                let at = self.now + self.rng.u64(1..60);
                self.agenda.set(at, Turn::Asked(who, member, ask));
            }
        }
        self.agenda.set(self.now + GROUP_MS, Turn::Group);
        Ok(())
    }

    /// A process that runs and reaches the coordinator sends a heartbeat, and learns whether it is a member.
    fn hear_from(&mut self, slot: usize) -> Verdict {
        let now = self.now;
        let Some(worker) = self.slots[slot].worker.as_mut() else {
            return Ok(());
        };
        if now < worker.paused_until.max(worker.unreachable_until) {
            return Ok(());
        }
        let who = worker.who;
        let Some(member) = worker.member else {
            if worker.consumer.asked.is_none() && !worker.is_ending {
                worker.member = Some(self.kafka.group.join(now));
            }
            return Ok(());
        };
        if self.kafka.group.hear(member, now) || worker.consumer.asked.is_some() {
            return Ok(());
        }
        self.counts.zombies += 1;
        self.trace
            .note(now, "session-over", &[slot as u64, member.0]);
        let owned: Vec<Place> = worker.consumer.owned.iter().copied().collect();
        worker.member = None;
        worker.consumer.asked = Some(Asked::Lost);
        let names = self.names(&owned);
        self.tell(who, Event::Lost(names))
    }

    fn who_is(&self, member: MemberId) -> Option<Who> {
        let workers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        let mut it = workers.filter(|worker| worker.member == Some(member));
        it.next().map(|worker| worker.who)
    }

    /// The coordinator's question reaches a member.
    pub(super) fn asked(&mut self, who: Who, member: MemberId, ask: Ask) -> Verdict {
        let now = self.now;
        let generation = self.kafka.group.generation_of(member);
        let Some(worker) = self.worker_mut(who) else {
            return Ok(());
        };
        if now < worker.unreachable_until {
            let until = worker.unreachable_until;
            self.agenda.set(until, Turn::Asked(who, member, ask));
            return Ok(());
        }
        let Some(generation) = generation.filter(|_| worker.member == Some(member)) else {
            // The session is over: the next heartbeat says so.
            return Ok(());
        };
        worker.generation = generation;
        self.tell_positions(who)?;
        let Some(worker) = self.worker_mut(who) else {
            return Ok(());
        };
        worker.consumer.asked = Some(Asked::ByGroup(ask.clone()));
        match ask {
            Ask::Assigned(places) => {
                worker.consumer.owned.extend(places.iter().copied());
                let names = self.names(&places);
                self.tell(who, Event::Assigned(names))
            }
            Ask::Revoked(places) => {
                let names = self.names(&places);
                self.tell(who, Event::Revoked(names))
            }
        }
    }

    /// The application assigned something, which answers an assignment, or unassigned something, which answers the rest:
    /// the client takes neither for the other.
    pub(super) fn answered_group(&mut self, who: Who, by: Answered) {
        let now = self.now;
        let Some(worker) = self.worker_mut(who) else {
            return;
        };
        let Some(asked) = worker.consumer.asked.take_if(|asked| by.answers(asked)) else {
            return;
        };
        match asked {
            Asked::Lost => worker.consumer.owned.clear(),
            Asked::ByGroup(ask) => {
                if let Ask::Revoked(places) = &ask {
                    worker
                        .consumer
                        .owned
                        .retain(|place| !places.contains(place));
                }
                if let Some(member) = worker.member {
                    self.kafka.group.answered(member, now);
                }
            }
        }
    }

    fn names(&self, places: &[Place]) -> Vec<TopicPartition> {
        places.iter().map(|place| self.kafka.name(*place)).collect()
    }
}
