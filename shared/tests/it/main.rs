//! Integration tests of the contract, and of the layout of the whole workspace.

#[cfg(test)]
mod bucket;
#[cfg(test)]
mod ledger;
mod layering;
