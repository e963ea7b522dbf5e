//! Where records come from: the group's decisions and the records themselves.
//!
//! The core knows only its own events. Kafka is one source of them; the simulator gives them without a pipeline, and
//! the memory test drives the pipeline with a source that has more partitions than a small broker holds.

mod group_context;
mod commit_thread;
mod gate;
mod topics;
mod held_partitions;
pub mod kafka;

use std::time::Duration;

use skein_shared::format::frame::RecordRef;
use skein_shared::offset::Offset;

use crate::core::action::CommitNumber;
use crate::core::byte_budget::Intake;
use crate::core::event::{CommitOutcome, TopicPartition};
use crate::error::Result;

/// What the consumer group decided. Each waits for an answer, during which nothing is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// These are ours from now on.
    Assigned(Vec<TopicPartition>),
    /// These go to others.
    Revoked(Vec<TopicPartition>),
    /// These went to others already.
    Lost(Vec<TopicPartition>),
}

/// What a poll brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// A record.
    Record,
    /// A position of ours does not exist any more.
    OffsetsLost,
    /// Nothing in this time, or only notes.
    Nothing,
}

/// A member of a consumer group. Only one thread uses it, and it never waits for anything but records.
pub trait RecordSource {
    /// Waits up to `patience` for a record, and gives it to `take`: topic, partition, record.
    ///
    /// # Errors
    /// `Transient` when the member cannot go on and has to start again.
    fn poll(
        &mut self,
        patience: Duration,
        take: impl FnOnce(&str, u32, &RecordRef<'_>),
    ) -> Result<Polled>;

    /// Whether there is something that [`group_event`](Self::group_event) and
    /// [`commit_outcome`](Self::commit_outcome) tell of.
    fn has_notes(&self) -> bool;

    /// The next decision of the group.
    fn group_event(&mut self) -> Option<GroupEvent>;

    /// How a commit ended; they end in the order in which they began.
    fn commit_outcome(&mut self) -> Option<(CommitNumber, CommitOutcome)>;

    /// How far the consumer has come, as far as it knows.
    fn positions(&self) -> Vec<(TopicPartition, Offset)>;

    /// Reads other topics, or patterns, from now on. What is not read any more is taken away by the group.
    ///
    /// # Errors
    /// When the consumer refuses.
    fn subscribe(&mut self, topics: &[String]) -> Result<()>;

    /// Begins to read `added` and goes on with the rest of `all`. What was being read starts anew.
    ///
    /// # Errors
    /// When the consumer refuses.
    fn assign(
        &mut self,
        added: &[(TopicPartition, Offset)],
        all: &[(TopicPartition, Offset)],
    ) -> Result<()>;

    /// Stops reading `removed` and goes on with `rest`.
    ///
    /// # Errors
    /// When the consumer refuses.
    fn unassign(
        &mut self,
        removed: &[TopicPartition],
        rest: &[(TopicPartition, Offset)],
    ) -> Result<()>;

    /// Gives records of what is assigned, or none until it is opened again.
    ///
    /// # Errors
    /// When the consumer refuses.
    fn set_intake(&mut self, intake: Intake) -> Result<()>;

    /// Begins to commit; [`commit_outcome`](Self::commit_outcome) tells how it ended.
    ///
    /// # Errors
    /// Why it does not even begin.
    fn commit(
        &mut self,
        number: CommitNumber,
        to: &[(TopicPartition, Offset)],
    ) -> std::result::Result<(), String>;

    /// Leaves the group. What the group still waits for is answered at once.
    fn leave(self);
}
