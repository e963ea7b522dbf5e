//! Where records come from: the group's decisions and the records themselves.
//!
//! The core knows only its own events. Kafka is one source of them; a simulation is another.

mod group_context;
mod commit_thread;
mod topics;
pub mod kafka;

use crate::core::event::TopicPartition;

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
