//! Integration tests of the contract, and of the layout of the whole workspace.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

#[cfg(test)]
mod bucket;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod shard_map_log;
#[cfg(test)]
mod delete_log;
#[cfg(test)]
mod golden;
mod layering;
