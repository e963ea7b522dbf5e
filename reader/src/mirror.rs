//! Reads that also run on the new pipeline while the old one is visible: compared, counted and discarded.
//!
//! What a reader is given never depends on any of it. Only event times that the new pipeline writes, and does not show
//! yet, are compared: before them it has nothing, and behind them it is what is visible.

mod share;
mod tally;
mod series_reader;
mod rerun;
mod mirror_queue;

pub use mirror_queue::{MirrorQueue, MirrorTask};
pub use rerun::{
    BothRead, EmptyRead, MirroredRead, MirroredSeries, compare_all, compared_spans, is_found_in_old,
};
pub use share::MirrorShare;
pub use tally::{Difference, MirrorTally};
