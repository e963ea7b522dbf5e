//! One partition's life with this worker: looked up, read, taken away.

use skein_shared::format::frame::{LastRecord, RecordRef, Stream};
use skein_shared::ids::{Chain, Incarnation};
use skein_shared::offset::{Offset, Span};
use skein_shared::units::Millis;

use crate::core::event::{LedgerEnd, TopicPartition};
use crate::core::ledger_chain::LedgerChain;

/// Place of a partition in the table; never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(pub(super) usize);

/// What a worker knows of a partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: TopicPartition,
    pub(super) chain: Chain,
    pub(super) phase: Phase,
    pub(super) ledger: LedgerChain,
    /// End of the ledger as far as we know: what may be committed.
    pub(super) ledger_end: Offset,
    /// What Kafka has of it.
    pub(super) committed: Offset,
    /// The end of the partition when it was assigned.
    pub(super) end_at_assignment: Offset,
    /// How many tenures this worker had of it.
    pub(super) tenures: u32,
    /// Why it was stopped, and what a person should do; empty before.
    pub(super) stopped_because: String,
    /// Where Kafka was first seen to lack what comes next, and when that may be recorded. Kept when the
    /// partition goes away: it only ever says how long somebody else had time to bring the records.
    pub(super) hole: Option<Hole>,
    /// Whether Kafka's log is known to be another than the chain's.
    pub(super) log: Log,
}

/// Records that Kafka no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    /// The first of them.
    pub(super) from: Offset,
    /// When a fresh look may record them as lost.
    pub(super) until: Millis,
}

/// What is known of Kafka's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// Nothing speaks against its being the one that the chain was written from.
    Same,
    /// It ended below the chain's end when it was looked at, which brokers may say wrongly for a moment.
    Short,
    /// It holds other records.
    Replaced,
}

/// Where a partition is in its life.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not ours.
    Away,
    /// Ours; where to begin is being found out.
    LookingUp,
    /// Ours; it waits for being assigned to the consumer.
    Found(LedgerEnd),
    /// Being read.
    Reading(Tenure),
    /// Sealed, and to be given back as soon as the ledger has it all.
    Draining,
    /// Ours, but what Kafka has does not fit the ledger: looked at again at this time, once everything that
    /// was read is in the ledger.
    Doubted(Millis),
    /// Ours, but not read any more: a person must act.
    Stopped,
}

/// One unbroken stretch of reading.
#[derive(Debug)]
pub(super) struct Tenure {
    /// What its frames are marked with.
    pub(super) stream: Stream,
    /// The next offset to come.
    pub(super) position: Offset,
    /// Where the span of the open flush begins.
    pub(super) sealed_to: Offset,
    /// The last record that the ledger covers, until it was seen to be the same in Kafka.
    pub(super) expected: Option<LastRecord>,
    /// Whether the consumer's own position is that of this tenure.
    pub(super) consumer: ConsumerPosition,
}

/// Whether the consumer's position in a partition can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsumerPosition {
    /// It may still be that of an earlier tenure of this process, until a record of this one has come.
    MayBeStale,
    /// It is this tenure's.
    Current,
}

impl Partition {
    /// Takes note of the newest life of the topic that has a chain. What was held against the log of an
    /// earlier one says nothing about it.
    pub(super) fn take_incarnation(&mut self, newest: Incarnation) {
        if self.chain.incarnation < newest {
            self.chain.incarnation = newest;
            self.log = Log::Same;
            self.hole = None;
        }
    }

    /// Takes note that Kafka has an offset, which says nothing about another life of the topic.
    pub(super) fn commit(&mut self, incarnation: Incarnation, offset: Offset) {
        if self.chain.incarnation == incarnation {
            self.committed = self.committed.max(offset);
        }
    }

    /// Whether Kafka's offset of a partition of ours lies behind the ledger.
    pub(super) fn is_behind(&self) -> bool {
        let ours = match self.phase {
            Phase::Reading(_) | Phase::Draining => true,
            // A commit for a partition that is not ours could move another worker's offset back.
            Phase::Away
            | Phase::LookingUp
            | Phase::Found(_)
            | Phase::Doubted(_)
            | Phase::Stopped => false,
        };
        ours && self.committed < self.ledger_end
    }

    /// The tenure that reads it, if any does.
    pub(super) fn tenure_mut(&mut self) -> Option<&mut Tenure> {
        match &mut self.phase {
            Phase::Reading(tenure) => Some(tenure),
            Phase::Away
            | Phase::LookingUp
            | Phase::Found(_)
            | Phase::Draining
            | Phase::Doubted(_)
            | Phase::Stopped => None,
        }
    }

    /// The tenure that reads it, if any does.
    pub(super) fn tenure(&self) -> Option<&Tenure> {
        match &self.phase {
            Phase::Reading(tenure) => Some(tenure),
            Phase::Away
            | Phase::LookingUp
            | Phase::Found(_)
            | Phase::Draining
            | Phase::Doubted(_)
            | Phase::Stopped => None,
        }
    }
}

/// What a record below a tenure's position tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing: it was read before.
    Again,
    /// Kafka still holds the same records as when the ledger was written.
    Same,
    /// It holds others: the topic was made anew.
    Other,
}

impl Tenure {
    /// From where the consumer reads: from the ledger's last record on, as long as that is to be compared.
    pub(super) fn fetch_from(&self) -> Offset {
        self.expected.map_or(self.position, |last| last.offset)
    }

    /// Compares a record below the position with what the ledger says of it.
    pub(super) fn compare(&mut self, record: &RecordRef<'_>) -> Seen {
        let Some(last) = self.expected.filter(|last| last.offset == record.offset) else {
            return Seen::Again;
        };
        self.expected = None;
        self.consumer = ConsumerPosition::Current;
        if last.timestamp == record.timestamp && last.crc32c == record.crc32c() {
            Seen::Same
        } else {
            Seen::Other
        }
    }

    /// Moves on behind a record.
    pub(super) fn pass(&mut self, offset: Offset) {
        self.position = offset.next();
        // What the ledger's last record was compared with would have come first, if it were there.
        self.expected = None;
        self.consumer = ConsumerPosition::Current;
    }

    /// Moves on to where the consumer says it is, beyond what no record was given for.
    pub(super) fn pass_to(&mut self, position: Offset) {
        match self.consumer {
            ConsumerPosition::Current => self.position = self.position.max(position),
            ConsumerPosition::MayBeStale => {}
        }
    }

    /// How far it moved on since its position was captured.
    pub(super) fn unsealed_offsets(&self) -> u64 {
        u64::try_from(self.position.0 - self.sealed_to.0).unwrap_or(0)
    }

    /// Captures the position: gives the span since the last capture, unless nothing came.
    pub(super) fn seal(&mut self) -> Option<Span> {
        let span = Span::new(self.sealed_to, self.position);
        self.sealed_to = self.position;
        (span.from < span.to).then_some(span)
    }
}
