//! Proof by simulation: the connector's own core in worlds that fail in every way that a seed can draw.
//!
//! # Flow
//! seed → plan → world (model Kafka, model S3, processes, janitor) → promises checked after every step → verdict
//!
//! A world drives several workers, each the product's [`Core`](skein_connector::core::Core), on a virtual clock. The same
//! seed gives the same history (SK-16), so that a failing one can be replayed.

pub mod trace;
pub mod fault;
pub mod mutants;
pub mod model_kafka;
pub mod model_s3;
pub mod promise_check;
pub mod worker;
pub mod janitor;
pub mod world;
pub mod seed_range;
pub mod commit_model;
pub mod cutover_history;
pub mod cutover_model;
