//! The compactor against an embedded bucket: state objects and ledger go in, segments are read back.

mod world;
mod read_back;
mod rule_of_truth;
mod incremental;
mod commits;
mod damage;
