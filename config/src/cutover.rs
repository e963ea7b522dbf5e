//! Who writes and who is visible, per org and event time: the one decision that compactor, old pipeline, reader and
//! comparison ask.

pub mod settings;
pub mod timelines;
pub mod owner;
pub mod late_edges;
pub mod acknowledger;
