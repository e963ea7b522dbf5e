//! Who writes and who is visible, per org and event time: the one decision that compactor and reader ask.

pub mod timeline;
pub mod owner;
