//! Integration tests of the contract, and of the layout of the whole workspace.

mod bucket;
mod ledger;
mod layering;
