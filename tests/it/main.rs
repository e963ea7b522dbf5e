//! The built binary, run as its users run it: on embedded services, and on real ones, killed on the way.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod skein;
mod http;
mod real_services;
mod batches;
mod demo;
mod dev_up;
mod damaged_bucket;
mod quarantine;
mod payload_limits;
mod shard_map;
mod compact_watch;
mod documents;
mod engines;
mod simulate;
mod csv_round_trip;
mod diffs;
mod json_lines;
mod stitched_reads;
mod exports;
mod deletes;
mod migrate;
mod kill;
mod janitor;
mod status;
mod serve;
mod replay;
mod operate;
mod memory;
mod real_dev_up;
mod settings_watch;
mod otlp;
mod chaos;
mod static_member;
mod broker_killed;
mod bad_settings;
mod aws_roles;
mod bad_services;
mod secured_kafka;
mod secrets;
