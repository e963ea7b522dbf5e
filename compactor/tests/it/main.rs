//! The compactor against an embedded bucket: state objects and ledger go in, segments are read back.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]
#![expect(clippy::cast_precision_loss, reason = "small numbers stand for values")]

mod world;
mod fleets;
mod copies;
mod read_back;
mod rule_of_truth;
mod incremental;
mod closing;
mod rollups;
mod plans;
mod garbage;
mod rebuilds;
mod seals;
mod commits;
mod damage;
mod damage_release;
mod damage_times;
mod backlogs;
mod shard_maps;
mod fills;
mod deletes;
mod delete_races;
mod collected;
mod expiry;
mod state_garbage;
mod run_records;
mod accounts;
mod cutovers;
