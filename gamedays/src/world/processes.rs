//! The processes: started, polling, killed, ended.

use skein_connector::core::action::ExitReason;
use skein_connector::core::event::{Event, TopicPartition};
use skein_connector::core::standing::PartitionStanding;
use skein_connector::core::{CoreOptions, Mutant, Until};
use skein_shared::ids::{SourceName, WorkerId};
use skein_shared::offset::Offset;
use skein_shared::retry::RetryPolicy;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use uuid::Uuid;

use crate::fault::Family;
use crate::model_kafka::Place;
use crate::model_s3::{Ask, EPOCH};
use crate::mutants::Mutation;
use crate::promise_check::{PromiseCheck, Verdict};
use crate::worker::consumer::Fetched;
use crate::worker::{Who, Worker};
use crate::world::World;
use crate::world::agenda::Turn;
use crate::world::network::Caller;
use crate::world::plan::{MembershipKind, PAYLOAD_LIMIT};

/// How often the driver tells positions.
const POSITIONS_MS: u64 = 250;

/// How often it is looked for partitions that stand still.
const STILL_MS: u64 = 10_000;

/// Records taken before anything else is looked at.
const RECORDS_PER_POLL: u32 = 8;

impl World {
    pub(super) fn start_process(&mut self, slot: usize) {
        if self.slots[slot].worker.is_some() {
            return;
        }
        self.slots[slot].lives += 1;
        let life = self.slots[slot].lives;
        let who = Who { slot, life };
        let options = CoreOptions {
            settings: self.plan.settings.clone(),
            retry: RetryPolicy::default(),
            source: SourceName::new("s").expect("the name is valid"),
            worker: WorkerId(Uuid::from_u128(self.rng.u128(..))),
            seed: self.rng.u64(..),
            epoch: TimestampMs(EPOCH),
            shard_map: self.shard_map.clone(),
            payload_limit_bytes: PAYLOAD_LIMIT,
            start: self.plan.start,
            until: Until::Asked,
            floors: self.plan.floors,
            compressors: 0,
            mutant: self.core_mutant(),
        };
        let mut worker = Worker::start(who, options, self.now);
        if let Some(member) = self.slots[slot].left_member.take()
            && self.plan.membership == MembershipKind::Static
            && let Some(ask) = self.kafka.group.replace(member, self.now)
        {
            worker.member = Some(member);
            self.agenda.set(self.now + 5, Turn::Asked(who, member, ask));
        }
        self.slots[slot].worker = Some(worker);
        self.agenda.set(self.now, Turn::Poll(who));
    }

    fn core_mutant(&self) -> Option<Mutant> {
        if let Some(Mutation::Core(mutant)) = self.mutation {
            return Some(mutant);
        }
        None
    }

    /// One round of the poll loop.
    pub(super) fn poll(&mut self, who: Who) -> Verdict {
        let is_away = self
            .plan
            .faults
            .strikes(Family::KafkaOutage, self.now, &mut self.rng);
        if !is_away {
            self.take_records(who)?;
        }
        let now = self.now;
        let Some(worker) = self.slots[who.slot]
            .worker
            .as_mut()
            .filter(|worker| worker.who == who)
        else {
            return Ok(());
        };
        self.counts.lost_words += worker.consumer.pause_if_due(&self.kafka, now);
        if worker.positions_at <= now {
            worker.positions_at = now + POSITIONS_MS;
            self.tell_positions(who)?;
        }
        self.look_at_still(who)?;
        self.tell_shard_map(who)?;
        self.tell(who, Event::Tick)?;
        let Some(worker) = self.worker(who) else {
            return Ok(());
        };
        PromiseCheck::holds(worker.held())?;
        let wait = if worker.is_idle() { 60..200 } else { 10..60 };
        self.counts.narrowed += u64::from(worker.is_narrowed());
        let at = now + self.rng.u64(wait);
        self.agenda.set(at, Turn::Poll(who));
        Ok(())
    }

    fn take_records(&mut self, who: Who) -> Verdict {
        for _ in 0..self.rng.u32(1..=RECORDS_PER_POLL) {
            let Some(worker) = self.slots[who.slot]
                .worker
                .as_mut()
                .filter(|w| w.who == who)
            else {
                return Ok(());
            };
            match worker.consumer.fetch(&self.kafka, self.now) {
                None => return Ok(()),
                Some(Fetched::OffsetLost(place)) => {
                    self.trace.note(self.now, "offset-lost", &[place as u64]);
                    self.counts.offsets_lost += 1;
                    worker.consumer.forget_given();
                    self.tell(who, Event::OffsetsLost)?;
                }
                Some(Fetched::Record(place, offset, record)) => {
                    let numbers = [place as u64, offset.0.cast_unsigned()];
                    self.trace.note(self.now, "record", &numbers);
                    self.counts.records += 1;
                    let name = self.kafka.name(place);
                    let event = Event::Record {
                        topic: name.topic.as_str(),
                        partition: name.partition.0,
                        record: &record.at(offset),
                    };
                    self.tell(who, event)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn tell_positions(&mut self, who: Who) -> Verdict {
        let Some(worker) = self.worker(who) else {
            return Ok(());
        };
        let positions: Vec<(TopicPartition, Offset)> = worker
            .consumer
            .positions()
            .into_iter()
            .map(|(place, offset)| (self.kafka.name(place), offset))
            .collect();
        self.tell(who, Event::Positions(positions))
    }

    /// Looks for partitions that stand still, as the connector's own watch does, with all that Kafka has.
    fn look_at_still(&mut self, who: Who) -> Verdict {
        let now = self.now;
        let Some(worker) = self.slots[who.slot]
            .worker
            .as_mut()
            .filter(|worker| worker.who == who && worker.still_at <= now)
        else {
            return Ok(());
        };
        worker.still_at = now + STILL_MS;
        let standings: Vec<_> = worker.core().partition_standings().collect();
        let intake = worker.core().intake();
        let behind = |partition: &PartitionStanding| {
            let high = self.kafka.log(self.kafka.place_of(&partition.name)).high();
            u64::try_from(high.0 - partition.position.0).ok()
        };
        let found = worker.still.look(Millis(now), intake, &standings, behind);
        if found.is_empty() {
            return Ok(());
        }
        self.counts.stood_still += found.len() as u64;
        // What it was given may be read again.
        worker.consumer.forget_given();
        self.tell(who, Event::StoodStill(found))
    }

    fn tell_shard_map(&mut self, who: Who) -> Verdict {
        let versions = self.shard_map.version_count();
        let is_heard = self.rng.u8(..4) == 0;
        let Some(worker) = self.worker_mut(who) else {
            return Ok(());
        };
        if worker.maps_known == versions || !is_heard {
            return Ok(());
        }
        worker.maps_known = versions;
        let map = self.shard_map.clone();
        self.tell(who, Event::ShardMapChanged(map))
    }

    /// Gives a core an event and does what it says.
    pub(super) fn tell(&mut self, who: Who, event: Event<'_>) -> Verdict {
        let now = self.now;
        let mut actions = std::mem::take(&mut self.actions);
        let Some(worker) = self.worker_mut(who) else {
            self.actions = actions;
            return Ok(());
        };
        worker.step(now, event, &mut actions);
        let mut verdict = Ok(());
        for action in actions.drain(..) {
            if verdict.is_ok() {
                verdict = self.obey(who, action);
            }
        }
        self.actions = actions;
        verdict
    }

    pub(super) fn encoded(&mut self, who: Who, number: u64) -> Verdict {
        let block = self
            .worker_mut(who)
            .and_then(|worker| worker.give_block(number));
        let Some((object, block, marker)) = block else {
            return Ok(());
        };
        let block = block.encode(&marker);
        let numbers = [object.0, u64::from(block.summary.crc32c)];
        self.trace.note(self.now, "block", &numbers);
        self.tell(who, Event::BlockEncoded { object, block })
    }

    /// A process is gone: nothing of what it held in memory is left, and what it read is read again (SK-5).
    pub(super) fn kill(&mut self, slot: usize) -> Verdict {
        let Some(worker) = self.slots[slot].worker.take() else {
            return Ok(());
        };
        self.count_process(&worker);
        self.slots[slot].left_member = worker.member;
        let at = self.now + self.rng.u64(20..3_000);
        self.agenda.set(at, Turn::Start(slot));
        if !self.plan.faults.is_calm_since(worker.started_at) {
            return Ok(());
        }
        for reads in worker.consumer.given() {
            let read_again = worker.consumer.given_from(reads.place, |offset| {
                self.check.is_durable(reads.place, offset)
            });
            let Some(oldest) = read_again else {
                continue;
            };
            self.counts.bounded_replays += 1;
            let age = Millis(self.now - oldest);
            self.check.killed(reads, age)?;
        }
        Ok(())
    }

    /// A process has ended by itself: it leaves the group and drops what it will never complete.
    pub(super) fn exited(&mut self, who: Who, reason: &ExitReason) -> Verdict {
        let Some(worker) = self.slots[who.slot].worker.take() else {
            return Ok(());
        };
        self.counts.exits += 1;
        self.count_process(&worker);
        self.trace.note(self.now, "exit", &[who.slot as u64]);
        self.trace.explain(|| format!("{reason:?}"));
        for upload in worker.calls.open_uploads() {
            self.send(Caller::Nobody, Ask::Abort(upload));
        }
        if let Some(member) = worker
            .member
            .filter(|_| worker.unreachable_until <= self.now)
        {
            self.kafka.group.leave(member, self.now);
        }
        let at = self.now + self.rng.u64(20..2_000);
        self.agenda.set(at, Turn::Start(who.slot));
        if *reason != ExitReason::Stopped {
            return Ok(());
        }
        for reads in worker.consumer.given() {
            self.check.stopped(reads)?;
        }
        Ok(())
    }

    /// Adds what a process has counted; once, at its end or the world's.
    pub(super) fn count_process(&mut self, worker: &Worker) {
        let (stats, requests) = (worker.core().stats(), worker.core().request_stats());
        self.counts.conflicts += stats.conflicts;
        self.counts.missed_drains += stats.missed_drains;
        self.counts.late_commits += stats.late_commits;
        self.counts.full += stats.pauses;
        self.counts.left_offsets += stats.left_offsets;
        self.counts.quarantined += stats.quarantined.values().sum::<u64>();
        self.counts.lost_objects += stats.lost_objects;
        self.counts.retries += requests.retried();
        self.counts.held_back += requests.held_back;
        self.counts.hedges += requests.hedges;
    }

    /// The places of some names.
    pub(super) fn places(&self, names: &[(TopicPartition, Offset)]) -> Vec<(Place, Offset)> {
        let placed = names.iter();
        let placed = placed.map(|(name, offset)| (self.kafka.place_of(name), *offset));
        placed.collect()
    }
}
