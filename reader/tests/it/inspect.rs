//! `ls`, `cat` and `verify` over a small bucket that has an object of every kind.

mod accounts;
mod compacted;
mod compared;
mod explained;
mod listing;
mod live;
mod located;
mod pausing_proxy;
mod resumed;
mod rollups;
mod status;
mod filled;
mod world;
