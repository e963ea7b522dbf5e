//! The simulator at work: fresh seeds are clean, every known bug is found, the same seed gives the same history.

mod bug_bank;
mod commit_model;
mod cutover_history;
mod cutover_model;
mod fresh_seeds;
mod same_history;
mod storm;
