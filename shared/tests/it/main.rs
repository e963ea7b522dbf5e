//! Integration tests of the contract, and of the layout of the whole workspace.

mod bucket;
#[cfg(test)]
mod ledger;
mod layering;
