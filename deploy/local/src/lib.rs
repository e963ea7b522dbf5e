//! The servers Skein runs against on one machine.
//!
//! Two kinds. The *embedded* pair, a Kafka-protocol broker in memory and an S3 server over a directory
//! or memory, runs inside the process: `skein demo` and `skein dev up` start it, and so do most tests.
//! The *real* servers, Apache Kafka and `SeaweedFS`, are fetched by the ordinary package clients, run as
//! child processes and end with the process that started them, also when that is killed.
//!
//! Where a real server cannot be had, its start gives [`unavailable::Unavailable`] with the reason, and
//! [`skipped::report`] puts that reason where the test command counts it.

pub mod unavailable;
pub mod error;
pub mod skipped;
pub mod embedded_bucket;
pub mod embedded_broker;
mod settings_file;
pub mod dev_stack;
pub mod child;
pub mod free_port;
pub mod fetched;
pub mod certificates;
pub mod apache_kafka;
pub mod secured_kafka;
pub mod seaweedfs;
pub mod s3rver;
pub mod real_stack;

pub use error::{Error, Result};
pub use unavailable::Unavailable;
