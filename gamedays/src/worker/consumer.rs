//! A model of a consumer: what is assigned to it, how far it has come, and what librdkafka says of that.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use skein_connector::core::byte_budget::Intake;
use skein_shared::offset::Offset;

use crate::model_kafka::group::Ask;
use crate::model_kafka::log::{Log, Record};
use crate::model_kafka::{ModelKafka, Place};
use crate::promise_check::Reads;

/// For how long the application only does not ask for records before it pauses what it reads.
const WITHHELD_MS: u64 = 1_000;

/// A consumer.
#[derive(Debug)]
pub struct Consumer {
    reads: BTreeMap<Place, Reading>,
    /// Position of the application: kept over assignments, and so stale until a record comes.
    positions: BTreeMap<Place, Offset>,
    /// What the group gave and has not taken back.
    pub owned: BTreeSet<Place>,
    /// What the group waits for.
    pub asked: Option<Asked>,
    /// Whether the application lets anything in.
    pub intake: Intake,
    /// When what is read is paused, if nothing is let in until then.
    pauses_at: Option<u64>,
    turn: Place,
    counting: Counting,
}

/// Whether what is given is promised to be flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    Yes,
    /// The core was told to end.
    No,
}

/// What the group, or the client itself, waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The coordinator asked.
    ByGroup(Ask),
    /// The session is over: everything is lost.
    Lost,
}

#[derive(Debug)]
struct Reading {
    next: Offset,
    history: usize,
    state: Position,
    given: Given,
    /// When each record was given.
    given_at: Vec<(Offset, u64)>,
}

impl Reading {
    /// Whether a fetch would find that Kafka does not have the position.
    fn is_refused(&self, log: &Log) -> bool {
        let is_there = log.low() <= self.next && self.next <= log.high();
        // The broker's leader epochs tell a fetch that its log is another one.
        self.state == Position::Good && (!is_there || self.history != log.history())
    }
}

/// What was given to the core since the assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// Nothing.
    Nothing,
    /// All up to here.
    To(Offset),
    /// It is to be read again, or never will count.
    InVain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Kafka has it.
    Good,
    /// Kafka refused it; nothing is fetched until it is assigned anew.
    Lost,
}

/// What a fetch brought.
#[derive(Debug)]
pub enum Fetched {
    /// The next record of a partition.
    Record(Place, Offset, Rc<Record>),
    /// Kafka does not have the position.
    OffsetLost(Place),
}

impl Default for Consumer {
    fn default() -> Self {
        Self {
            reads: BTreeMap::new(),
            positions: BTreeMap::new(),
            owned: BTreeSet::new(),
            asked: None,
            intake: Intake::Open,
            pauses_at: None,
            turn: 0,
            counting: Counting::Yes,
        }
    }
}

impl Consumer {
    /// Begins to read partitions.
    pub fn assign(&mut self, kafka: &ModelKafka, added: &[(Place, Offset)]) {
        for (place, from) in added {
            let reading = Reading {
                next: *from,
                history: kafka.log(*place).history(),
                state: Position::Good,
                given: Given::Nothing,
                given_at: Vec::new(),
            };
            self.reads.insert(*place, reading);
        }
    }

    /// Stops to read partitions.
    pub fn unassign(&mut self, removed: &[Place]) {
        self.reads.retain(|place, _| !removed.contains(place));
    }

    /// The partitions that are read.
    pub fn places(&self) -> Vec<Place> {
        self.reads.keys().copied().collect()
    }

    /// Nothing comes until the application lets it in again.
    pub fn withhold(&mut self, now: u64) {
        self.intake = Intake::Closed;
        self.pauses_at = Some(now + WITHHELD_MS);
    }

    /// The application lets everything in again.
    pub fn resume(&mut self) {
        self.intake = Intake::Open;
        self.pauses_at = None;
    }

    /// What is read and not asked for, though not paused either, and where it stands.
    pub fn waiting(&self) -> Vec<(Place, Offset)> {
        let reads = self.reads.iter().filter(|_| self.pauses_at.is_some());
        reads
            .map(|(place, reading)| (*place, reading.next))
            .collect()
    }

    /// Pauses what is read when nothing was let in for long. Gives how many refused positions nobody will ever hear of:
    /// the word of them had come, was not taken, and goes with what was fetched.
    pub fn pause_if_due(&mut self, kafka: &ModelKafka, now: u64) -> u64 {
        let Some(_) = self.pauses_at.take_if(|at| *at <= now) else {
            return 0;
        };
        let mut lost = 0;
        for (place, reading) in &mut self.reads {
            if reading.is_refused(kafka.log(*place)) {
                reading.state = Position::Lost;
                lost += 1;
            }
        }
        lost
    }

    /// The next record of the partition whose turn it is. Nothing comes while the group waits for an answer, or while
    /// the application is full.
    pub fn fetch(&mut self, kafka: &ModelKafka, now: u64) -> Option<Fetched> {
        if self.asked.is_some() || self.intake == Intake::Closed {
            return None;
        }
        let behind = self.reads.range(self.turn..).map(|(place, _)| *place);
        let before = self.reads.range(..self.turn).map(|(place, _)| *place);
        let order: Vec<Place> = behind.chain(before).collect();
        for place in order {
            if let Some(fetched) = self.fetch_from(kafka, (place, now)) {
                self.turn = place + 1;
                return Some(fetched);
            }
        }
        None
    }

    fn fetch_from(&mut self, kafka: &ModelKafka, (place, now): (Place, u64)) -> Option<Fetched> {
        let log = kafka.log(place);
        let reading = self.reads.get_mut(&place)?;
        if reading.state == Position::Lost {
            return None;
        }
        if reading.is_refused(log) {
            reading.state = Position::Lost;
            return Some(Fetched::OffsetLost(place));
        }
        let Some((offset, record)) = log.next_at(reading.next) else {
            if reading.next < log.high() {
                reading.next = log.high();
                self.positions.insert(place, reading.next);
            }
            return None;
        };
        reading.next = offset.next();
        if reading.given != Given::InVain && self.counting == Counting::Yes {
            reading.given = Given::To(reading.next);
            reading.given_at.push((offset, now));
        }
        self.positions.insert(place, reading.next);
        Some(Fetched::Record(place, offset, record))
    }

    /// What the client says when it is asked for its positions.
    pub fn positions(&self) -> Vec<(Place, Offset)> {
        let known = self.reads.keys();
        let known = known.filter_map(|place| Some((*place, *self.positions.get(place)?)));
        known.collect()
    }

    /// How far each partition was read since it was assigned, where nothing went wrong.
    pub fn given(&self) -> Vec<Reads> {
        let all = self.reads.iter();
        let given = all.filter_map(|(place, reading)| match reading.given {
            Given::To(to) => Some(Reads { place: *place, to }),
            Given::Nothing | Given::InVain => None,
        });
        given.collect()
    }

    /// When the first record of a partition was given that does not lie where `is_behind` says.
    pub fn given_from(&self, place: Place, is_behind: impl Fn(Offset) -> bool) -> Option<u64> {
        let reading = self.reads.get(&place)?;
        let mut left = reading.given_at.iter().filter(|(at, _)| !is_behind(*at));
        left.next().map(|(_, at)| *at)
    }

    /// The core was told to end: what it is given from now on it leaves to the next.
    pub fn end_given(&mut self) {
        self.counting = Counting::No;
    }

    /// What was given may be read again: how far it reaches says nothing until the next assignment.
    pub fn forget_given(&mut self) {
        for reading in self.reads.values_mut() {
            reading.given = Given::InVain;
        }
    }
}
