//! What strikes by itself: processes, clocks, the group, the log, the shard map, the janitor.

use std::collections::BTreeSet;

use skein_connector::core::event::Event;
use skein_shared::ids::{OrgId, WorkerId};
use skein_shared::offset::Offset;
use skein_shared::shard_map::Routing;
use skein_shared::window::{TimestampMs, Window};

use crate::fault::Family;
use crate::janitor::{Janitor, Reach, Temper};
use crate::model_kafka::Place;
use crate::model_s3::EPOCH;
use crate::promise_check::{Verdict, Version};
use crate::worker::Who;
use crate::world::World;
use crate::world::agenda::Turn;
use crate::world::network::Caller;

/// How often something may strike.
const CHAOS_MS: u64 = 200;

/// Most versions of a shard map in one world.
const MOST_MAPS: usize = 6;

impl World {
    pub(super) fn chaos_turn(&mut self) -> Verdict {
        self.agenda.set(self.now + CHAOS_MS, Turn::Chaos);
        if !self.is_unsafe() {
            // The dead are still cleaned up after.
            if self.rng.u8(..4) == 0 {
                self.begin_janitor();
            }
            return Ok(());
        }
        self.strike_process()?;
        self.strike_group();
        if self.strikes(Family::LogLoss) {
            self.lose_records();
        } else if self.rng.u8(..20) == 0 {
            self.retain_unread();
        }
        if self.strikes(Family::ShardMap) {
            self.change_shard_map();
        }
        if self.strikes(Family::Janitor) {
            self.begin_janitor();
        }
        if self.strikes(Family::Expiry) {
            self.counts.expiries += u64::from(self.s3.expire_upload(&mut self.rng).is_some());
        }
        if self.rng.u8(..20) == 0
            && let Some(who) = self.any_worker()
        {
            self.tell_positions(who)?;
            self.tell(who, Event::FlushNow)?;
        }
        Ok(())
    }

    fn strikes(&mut self, family: Family) -> bool {
        self.plan.faults.strikes(family, self.now, &mut self.rng)
    }

    fn any_worker(&mut self) -> Option<Who> {
        let slot = self.rng.usize(..self.slots.len());
        let worker = self.slots[slot].worker.as_ref()?;
        (worker.paused_until <= self.now).then_some(worker.who)
    }

    fn strike_process(&mut self) -> Verdict {
        let Some(who) = self.any_worker() else {
            return Ok(());
        };
        if self.strikes(Family::Crash) {
            self.counts.crashes += 1;
            self.trace.note(self.now, "crash", &[who.slot as u64]);
            return self.kill(who.slot);
        }
        if self.strikes(Family::Shutdown) {
            self.trace.note(self.now, "shutdown", &[who.slot as u64]);
            self.tell_positions(who)?;
            if let Some(worker) = self.worker_mut(who) {
                worker.is_ending = true;
                worker.consumer.end_given();
            }
            return self.tell(who, Event::Shutdown);
        }
        let session_ms = self.plan.session_ms;
        if self.strikes(Family::Pause) {
            self.counts.pauses += 1;
            let until = self.now + self.rng.u64(50..3 * session_ms);
            self.trace
                .note(self.now, "pause", &[who.slot as u64, until]);
            if let Some(worker) = self.worker_mut(who) {
                worker.paused_until = until;
            }
        }
        if self.strikes(Family::ClockJump) {
            let ahead = self.rng.u64(1..60_000);
            self.trace
                .note(self.now, "clock-jump", &[who.slot as u64, ahead]);
            if let Some(worker) = self.worker_mut(who) {
                worker.jump_clock(ahead);
            }
        }
        if self.strikes(Family::Unreachable) {
            let until = self.now + self.rng.u64(100..3 * session_ms);
            self.trace
                .note(self.now, "unreachable", &[who.slot as u64, until]);
            if let Some(worker) = self.worker_mut(who) {
                worker.unreachable_until = until;
            }
        }
        Ok(())
    }

    fn strike_group(&mut self) {
        if self.strikes(Family::Rebalance) {
            self.kafka.group.salt += self.rng.usize(..3);
            self.kafka.group.begin_rebalance(self.now);
        }
    }

    /// Retention takes what every chain has long since covered.
    fn retain_unread(&mut self) {
        let place = self.rng.usize(..self.plan.partitions);
        let Some(end) = self.check.newest_chain(place).map(|chain| chain.end) else {
            return;
        };
        let low = self.rng.i64(0..=end.0);
        let (_, log) = &mut self.kafka.partitions[place];
        // In a log that was made anew the ledger's end says nothing.
        if log.histories() == 1 {
            log.trim(Offset(low));
        }
    }

    /// Retention takes what is read next of a partition while its consumer is not asked: what the client then has to say
    /// of it may be lost. Where no consumer waits so, there is none.
    fn lose_what_waits(&mut self) -> Option<()> {
        let workers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        let waiting: Vec<_> = workers
            .flat_map(|worker| worker.consumer.waiting())
            .collect();
        let (place, next) = self.rng.choice(waiting)?;
        let (_, log) = &mut self.kafka.partitions[place];
        if log.histories() == 1 && next < log.high() {
            self.trace.note(self.now, "log-loss", &[place as u64, 4]);
            log.trim(next.next());
        }
        Some(())
    }

    fn lose_records(&mut self) {
        if self.rng.bool() && self.lose_what_waits().is_some() {
            return;
        }
        let place: Place = self.rng.usize(..self.plan.partitions);
        let kind = self.rng.u8(..4);
        let (low, high) = (self.kafka.log(place).low(), self.kafka.log(place).high());
        let mut to = Offset(self.rng.i64(low.0..=high.0));
        if let Some(chain) = self.check.newest_chain(place)
            && self.rng.bool()
        {
            // Close to where the ledger ends.
            to = Offset((chain.end.0 - self.rng.i64(..3)).clamp(low.0, high.0));
        }
        let can_be_told = self.can_be_told(place, to);
        self.trace
            .note(self.now, "log-loss", &[place as u64, u64::from(kind)]);
        let (_, log) = &mut self.kafka.partitions[place];
        match kind {
            // Retention of a log that was made anew could take the record that tells it from the old one.
            0 | 1 if log.histories() == 1 => log.trim(to),
            2 if can_be_told => log.truncate(to),
            3 if can_be_told => log.recreate(),
            _ => return,
        }
        if kind > 1 {
            self.check.history_began(&self.kafka, place);
        }
    }

    /// Whether the ledger's last record will tell this log from one that replaces it: it has one, and whatever is still
    /// on its way into the ledger ends with one.
    fn can_be_told(&self, place: Place, cut: Offset) -> bool {
        let log = self.kafka.log(place);
        let Some(chain) = self.check.newest_chain(place) else {
            return false;
        };
        let has_last = chain.last.is_some_and(|last| log.low() <= last);
        has_last && log.is_dense_from(cut.min(chain.end))
    }

    fn change_shard_map(&mut self) {
        if self.shard_map.version_count() >= MOST_MAPS {
            return;
        }
        self.counts.shard_maps += 1;
        let next = i64::try_from(self.shard_map.version_count()).expect("there are few");
        let from = Window::of(TimestampMs(EPOCH)).number() + next - 2;
        let from = Window::from_number(from).start();
        let dedicated: BTreeSet<OrgId> = (0..self.rng.u64(..3)).map(OrgId).collect();
        let routing = Routing {
            modulus: self.rng.u32(1..=4),
            dedicated,
        };
        self.check.routings.0.push(Version {
            from: from.0,
            modulus: routing.modulus,
            dedicated: routing.dedicated.iter().map(|org| org.0).collect(),
        });
        self.shard_map.push(from, routing);
    }

    fn begin_janitor(&mut self) {
        if self.janitor.is_some() {
            return;
        }
        let alive: BTreeSet<WorkerId> = self
            .slots
            .iter()
            .filter_map(|slot| slot.worker.as_ref().map(|worker| worker.id))
            .collect();
        let reach = if self.is_unsafe() {
            Reach::Everybody
        } else {
            Reach::AllBut(&alive)
        };
        let temper = Temper {
            patience: self.plan.janitor_patience,
            mutation: self.mutation,
        };
        let as_it_is = (self.now, temper);
        if let Some((janitor, ask)) = Janitor::begin(&self.s3, reach, as_it_is, &mut self.rng) {
            self.janitor = Some(janitor);
            self.send(Caller::Janitor, ask);
        }
    }
}
