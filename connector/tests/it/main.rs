//! The connector against servers: embedded ones always, real ones where they can be had.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod fixture;
mod embedded;
mod scripted_source;
mod completeness;
mod janitor;
mod refused;
mod real;
mod topic_records;
mod replay;
mod replay_cancel;
mod replay_deletes;
mod replay_slow;
mod replay_real;
mod replay_bytes;
