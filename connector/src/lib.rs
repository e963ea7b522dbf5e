//! Kafka to state objects: records as they came, durable in the bucket, delivered as soon as possible.
//!
//! # Flow
//! record source → shard router → block buffer → multipart upload → flush → ledger → offset commit
//!
//! [`core`] takes every decision and does no I/O; [`pipeline`] drives it on a Kafka consumer, compression
//! threads and the bucket. What counts is what the ledger names, see [`skein_shared::ledger`].

pub mod error;
pub mod core;
pub mod metrics;
pub mod report;
pub mod operations;
pub mod hold_point;
pub mod record_source;
pub mod block_compressor;
pub mod chain_lookup;
pub mod multipart_upload;
pub mod bucket_request;
pub mod janitor;
pub mod pipeline;
pub mod replay;
pub mod retention;

pub use error::{Error, Result};
