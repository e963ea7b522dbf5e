//! A state object: the records of one shard as they came, in self-describing blocks.
//!
//! Layout: head | blocks | footer (an envelope) | trailer of fixed length. With the footer a reader goes
//! to any block; without it, the head's sync marker splits the object at any byte (see [`BlockScan`]).

mod head;
mod footer;
mod writer;
mod scan;
#[cfg(test)]
mod tests;

pub use footer::{BlockEntry, BlockSpan, StateFooter, TailRead, read_tail};
pub use head::{HEAD_BYTES, Head};
pub use scan::{BlockScan, Scanned};
pub use writer::{FinishedObject, ObjectSummary, StateObjectWriter};

/// With which decisions something was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MadeWith {
    /// Number of the newest shard map version that the writer knew.
    pub shard_map_version: u64,
    /// Program and version, `skein 0.1.0`.
    pub software: String,
}

impl MadeWith {
    /// This build, with a version of the shard map.
    pub fn this_build(shard_map_version: u64) -> Self {
        Self {
            shard_map_version,
            software: concat!("skein ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
