//! Cutovers in random histories: two pipelines, the versions of orgs, and readers, in one small world a seed.
//!
//! # What is real
//! Who writes and who is visible is asked of the product (`owner`, `writers`, `amends`, the lead); what the new pipeline
//! merges goes through the compactor's own total order of writes. The old pipeline, the reader's stitch and the bucket are
//! modelled, and what a read has to give is computed from the records alone.
//!
//! # What goes wrong
//! Points come late, twice, again, and from the future. Nodes are cut off and go by what they took last, their clocks
//! differ, they plan and commit much later, or lose a partition and write all the same. Operators go forward and back at
//! any moment that the rules allow. After every step SK-11 to SK-14 are checked.

pub mod counts;
pub mod mutant;
pub mod plan;
pub mod input;
pub mod oracle;
pub mod versions;
pub mod node;
pub mod old_side;
pub mod new_side;
pub mod stitched;
pub mod operator;
pub mod world;
pub mod promises;
pub mod boundary;
pub mod chance;
pub mod history_range;
