//! Loads for Skein: payloads computed from a seed, the producer that sends them, the demo, and what roles cost.
//!
//! The generator knows what any of its series must hold in the end, from the seed alone and without a
//! decoder of ours, so that what is read back can be compared point by point.

pub mod error;
pub mod metrics;
pub mod generator;
pub mod producer;
pub mod old_pipeline;
pub mod demo;
pub mod spread;
mod own_process;
mod full_topic;
pub mod connector_load;
pub mod compactor_load;
pub mod memory_load;

pub use error::{Error, Result};
