//! What is due when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use skein_connector::core::action::CommitNumber;
use skein_shared::offset::Offset;

use crate::model_kafka::group::{Ask, MemberId};
use crate::model_kafka::{Commit, Place};
use crate::worker::Who;
use crate::worker::bucket_call::CallId;

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Turn {
    /// A process polls, and looks at its clock.
    Poll(Who),
    /// A block is compressed.
    Encoded(Who, u64),
    /// A request reaches the bucket.
    Arrives(usize),
    /// Its answer comes back, or is given up.
    Returns(usize),
    /// Kafka is asked where partitions begin and end.
    KafkaAsked(Who, CallId, Vec<Place>),
    /// It answers, or does not.
    KafkaReturns(Who, CallId, Option<Vec<(Offset, Offset)>>),
    /// A commit reaches the coordinator.
    CommitArrives(Who, Commit),
    /// What became of a commit comes back.
    CommitReturns(Who, CommitNumber, Result<(), ()>),
    /// The coordinator asks a member.
    Asked(Who, MemberId, Ask),
    /// The coordinator looks at its group.
    Group,
    /// Somebody produces.
    Produce,
    /// What strikes by itself may strike.
    Chaos,
    /// The orchestrator starts a process.
    Start(usize),
}

impl Turn {
    /// The process that it needs awake.
    pub(super) const fn who(&self) -> Option<Who> {
        match self {
            Self::Poll(who)
            | Self::Encoded(who, _)
            | Self::KafkaReturns(who, ..)
            | Self::CommitReturns(who, ..)
            | Self::Asked(who, ..) => Some(*who),
            Self::Arrives(_)
            | Self::Returns(_)
            | Self::KafkaAsked(..)
            | Self::CommitArrives(..)
            | Self::Group
            | Self::Produce
            | Self::Chaos
            | Self::Start(_) => None,
        }
    }

    /// Its word in the trace.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Poll(_) => "poll",
            Self::Encoded(..) => "encoded",
            Self::Arrives(_) => "arrives",
            Self::Returns(_) => "returns",
            Self::KafkaAsked(..) => "kafka-asked",
            Self::KafkaReturns(..) => "kafka-returns",
            Self::CommitArrives(..) => "commit-arrives",
            Self::CommitReturns(..) => "commit-returns",
            Self::Asked(..) => "asked",
            Self::Group => "group",
            Self::Produce => "produce",
            Self::Chaos => "chaos",
            Self::Start(_) => "start",
        }
    }
}

/// All turns to come, by time and then in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    set: u64,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    order: u64,
    turn: Turn,
}

impl Agenda {
    pub(super) fn set(&mut self, at: u64, turn: Turn) {
        self.set += 1;
        let order = self.set;
        self.heap.push(Reverse(Entry { at, order, turn }));
    }

    /// When the next turn is due.
    pub(super) fn due_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn next(&mut self) -> Option<(u64, Turn)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.turn))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
