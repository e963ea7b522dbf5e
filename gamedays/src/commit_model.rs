//! Commit and garbage collection of one shard's manifests, as a model small enough for every interleaving.
//!
//! # Protocol
//! Manifests are a chain of generations, created if absent; the newest is found by listing. A manifest holds positions,
//! live segments, `kept_from` (generations below may be deleted) and `void_before` (segments that no kept generation names
//! and whose expected generation is below are void).
//!
//! - **Compactor**: reads the newest manifest, writes a segment that expects the next generation, creates that
//!   generation. If it is taken, the same change is issued at the number after the newest, as long as the positions that
//!   it moves and the segments that it replaces are as they were and its own segment is not void. A created manifest
//!   counts only if the newest one's `kept_from` is not above it.
//! - **Collector**: commits, in the same way, a manifest that raises `void_before` to its own number and `kept_from` to
//!   the oldest generation that a reader may hold. Only when that stands it deletes what is void, and manifests below
//!   `kept_from`.
//! - **Reader**: pins the newest manifest, and reads the segments that it names.
//!
//! A process may crash after any step, and a request may arrive long after it was given up, or never.
//!
//! # Why not a checker from elsewhere
//! `stateright` has no property "from every reachable state the goal can still be reached", which is what liveness after
//! faults means here (SK-15): its `eventually` speaks of single paths. It also brings a web server.

pub mod scope;
pub mod state;
pub mod sameness;
pub mod step;
pub mod compactor;
pub mod collector;
pub mod world;
pub mod promises;
pub mod search;
