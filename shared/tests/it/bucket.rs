//! The seam to object storage, against stores that work and stores that fail.

mod conformance;
mod directory;
mod encryption;
mod fault_stub;
mod faults;
mod manifests;
mod start_up;
pub(crate) mod stores;
