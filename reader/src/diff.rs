//! One-to-one comparison of two outputs: the old pipeline with the new one, one of them with itself, or two builds.
//!
//! # Flow
//! `definition → side → input proof → ownership → fingerprint → merge join → rounds → verdict → report`: each org is pinned,
//! the records that only one side has read are looked up in state and their points set aside; each window is summed up
//! in one pass over both sides, and what differs joined row by row. What differs is looked at again before it counts. A
//! journal on the local disk lets a comparison that was interrupted go on, and differences go to files, so that memory
//! does not grow with them.

pub mod definition;
pub mod side;
pub mod input_proof;
pub mod ownership;
pub mod pace;
pub mod discrepancy;
mod sieve;
mod fingerprint;
mod merge_join;
mod round_files;
pub mod journal;
mod window_round;
pub mod class_history;
pub mod comparison;
pub mod verdict;
pub mod report;
pub mod dependents;
