//! A topic that nobody wrote: records are made when they are asked for, of as many partitions as one likes.
//!
//! It stands in for Kafka where a small broker cannot: ten thousand partitions, each full. What librdkafka would
//! hold in its queue is held here as well, so that the memory of a worker on it is that of a real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use skein_connector::chain_lookup::PartitionEnds;
use skein_connector::core::action::CommitNumber;
use skein_connector::core::byte_budget::Intake;
use skein_connector::core::event::{CommitOutcome, TopicPartition};
use skein_connector::record_source::{GroupEvent, Polled, RecordSource};
use skein_shared::format::frame::{HeadersRef, RecordRef, RecordTimestamp};
use skein_shared::ids::{PartitionId, TopicName};
use skein_shared::offset::Offset;
use skein_shared::units::ByteCount;
use skein_shared::window::TimestampMs;

use crate::memory_load::scenario::{Scenario, Skew};

const TOPIC: &str = "made";
const FIRST_TIME: i64 = 1_700_000_000_000;

/// What is to be known of a member from outside.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    /// Whether fetching waits for memory.
    pub(super) is_paused: AtomicBool,
    /// Time that it waited so far.
    pub(super) paused_ms: AtomicU64,
    /// The longest time between two polls: beyond the session the group puts a member out.
    pub(super) longest_silence_ms: AtomicU64,
}

/// The ends of a made topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct MadeEnds(pub(super) Scenario);

/// A member of a group of one.
#[derive(Debug)]
pub(super) struct MadeRecords {
    scenario: Scenario,
    topic: TopicName,
    gauges: Arc<Gauges>,
    /// As large as the share of the budget that is librdkafka's; values are cut out of it.
    queue: Vec<u8>,
    value: Vec<u8>,
    rng: Rng,
    /// The next offset of each partition.
    positions: Vec<i64>,
    /// Partitions that are read and not at their end.
    active: Vec<u32>,
    turn: usize,
    left_of_batch: u32,
    group: Option<GroupEvent>,
    commit: Option<(CommitNumber, CommitOutcome)>,
    intake: Intake,
    paused_since: Option<Instant>,
    polled_at: Instant,
}

impl PartitionEnds for MadeEnds {
    fn watermarks(&self, _: &str, partition: i32) -> skein_connector::Result<(i64, i64)> {
        Ok((0, self.end_of(partition.cast_unsigned())))
    }

    fn ends(&self, partitions: &[(String, i32)]) -> skein_connector::Result<Vec<Option<i64>>> {
        let end = |(_, partition): &(String, i32)| Some(self.end_of(partition.cast_unsigned()));
        Ok(partitions.iter().map(end).collect())
    }
}

impl MadeEnds {
    fn end_of(&self, partition: u32) -> i64 {
        self.0.records_of(partition).cast_signed()
    }
}

impl MadeRecords {
    /// Joins: every partition is given to it at once.
    ///
    /// # Panics
    /// Never: the topic's name is valid.
    pub(super) fn join(scenario: Scenario, queue: ByteCount, gauges: Arc<Gauges>) -> Self {
        let topic = TopicName::new(TOPIC).expect("a word is a topic's name");
        let mut rng = Rng::with_seed(u64::from(scenario.partitions));
        let mut bytes = vec![0; queue.as_usize()];
        rng.fill(&mut bytes);
        let name = |partition| TopicPartition {
            topic: topic.clone(),
            partition: PartitionId(partition),
        };
        let all = (0..scenario.partitions).map(name).collect();
        Self {
            topic,
            gauges,
            queue: bytes,
            value: Vec::new(),
            rng,
            positions: vec![0; scenario.partitions as usize],
            active: Vec::new(),
            turn: 0,
            left_of_batch: 0,
            group: Some(GroupEvent::Assigned(all)),
            commit: None,
            intake: Intake::Open,
            paused_since: None,
            polled_at: Instant::now(),
            scenario,
        }
    }

    fn hears_of(&mut self, silence: Duration) {
        let silence_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        self.gauges
            .longest_silence_ms
            .fetch_max(silence_ms, Ordering::Relaxed);
    }

    /// The partition of the next record; `None` when there is nothing to be read.
    fn next_partition(&mut self) -> Option<u32> {
        if self.left_of_batch == 0 {
            self.left_of_batch = self.scenario.batch_records;
            self.turn += 1;
        }
        if self.turn >= self.active.len() {
            self.turn = 0;
        }
        let is_hot = self.scenario.skew == Skew::HotPartition && self.rng.u8(0..10) > 0;
        let place = if is_hot { 0 } else { self.turn };
        let partition = *self.active.get(place)?;
        self.left_of_batch -= 1;
        let position = &mut self.positions[partition as usize];
        *position += 1;
        if *position == self.scenario.records_of(partition).cast_signed() {
            self.active.remove(place);
            self.left_of_batch = 0;
        }
        Some(partition)
    }

    fn make_value(&mut self) {
        let org = match self.scenario.skew {
            Skew::OneOrg => 0,
            Skew::Even | Skew::HotPartition => self.rng.u32(0..self.scenario.shards),
        };
        let bytes = self.scenario.record_bytes as usize;
        let from = self.rng.usize(0..=self.queue.len() - bytes);
        self.value.clear();
        self.value.push(8);
        let mut rest = org;
        while rest >= 128 {
            self.value
                .push(u8::try_from(rest % 128).expect("below 128") | 128);
            rest /= 128;
        }
        self.value.push(u8::try_from(rest).expect("below 128"));
        let random = &self.queue[from..from + bytes];
        self.value.extend_from_slice(&random[self.value.len()..]);
    }

    /// Nothing is read before everything is assigned: what comes first would meet a store that still answers.
    fn read_only(&mut self, all: &[(TopicPartition, Offset)]) {
        if all.len() < self.scenario.partitions as usize {
            self.active.clear();
            return;
        }
        let scenario = self.scenario;
        let at_end = |partition: u32, position: i64| {
            position >= scenario.records_of(partition).cast_signed()
        };
        let read = all.iter().map(|(name, _)| name.partition.0);
        let positions = &self.positions;
        self.active = read
            .filter(|partition| !at_end(*partition, positions[*partition as usize]))
            .collect();
        self.left_of_batch = 0;
    }
}

impl RecordSource for MadeRecords {
    fn poll(
        &mut self,
        patience: Duration,
        take: impl FnOnce(&str, u32, &RecordRef<'_>),
    ) -> skein_connector::Result<Polled> {
        let now = Instant::now();
        self.hears_of(now - self.polled_at);
        self.polled_at = now;
        let partition = match self.intake {
            _ if self.has_notes() => return Ok(Polled::Nothing),
            Intake::Closed => None,
            Intake::Open => self.next_partition(),
        };
        let Some(partition) = partition else {
            std::thread::park_timeout(patience);
            return Ok(Polled::Nothing);
        };
        self.make_value();
        let offset = self.positions[partition as usize] - 1;
        let record = RecordRef {
            offset: Offset(offset),
            timestamp: RecordTimestamp::Created(TimestampMs(FIRST_TIME + offset)),
            key: None,
            value: Some(&self.value),
            headers: HeadersRef::EMPTY,
        };
        take(TOPIC, partition, &record);
        Ok(Polled::Record)
    }

    fn has_notes(&self) -> bool {
        self.group.is_some() || self.commit.is_some()
    }

    fn group_event(&mut self) -> Option<GroupEvent> {
        self.group.take()
    }

    fn commit_outcome(&mut self) -> Option<(CommitNumber, CommitOutcome)> {
        self.commit.take()
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        let position = |(partition, offset): (usize, &i64)| {
            let partition = u32::try_from(partition).expect("a partition's number");
            let name = TopicPartition {
                topic: self.topic.clone(),
                partition: PartitionId(partition),
            };
            (name, Offset(*offset))
        };
        self.positions.iter().enumerate().map(position).collect()
    }

    fn subscribe(&mut self, _: &[String]) -> skein_connector::Result<()> {
        Ok(())
    }

    fn assign(
        &mut self,
        added: &[(TopicPartition, Offset)],
        all: &[(TopicPartition, Offset)],
    ) -> skein_connector::Result<()> {
        for (name, offset) in added {
            self.positions[name.partition.0 as usize] = offset.0;
        }
        self.read_only(all);
        Ok(())
    }

    fn unassign(
        &mut self,
        _: &[TopicPartition],
        rest: &[(TopicPartition, Offset)],
    ) -> skein_connector::Result<()> {
        self.read_only(rest);
        Ok(())
    }

    fn set_intake(&mut self, intake: Intake) -> skein_connector::Result<()> {
        self.intake = intake;
        let is_paused = intake == Intake::Closed;
        self.gauges.is_paused.store(is_paused, Ordering::Relaxed);
        if is_paused {
            self.paused_since.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.paused_since.take() {
            let paused_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.gauges
                .paused_ms
                .fetch_add(paused_ms, Ordering::Relaxed);
        }
        Ok(())
    }

    fn commit(
        &mut self,
        number: CommitNumber,
        _: &[(TopicPartition, Offset)],
    ) -> std::result::Result<(), String> {
        self.commit = Some((number, CommitOutcome::Done));
        Ok(())
    }

    fn leave(self) {}
}
