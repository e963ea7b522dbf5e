//! `ls`, `cat` and `verify` over a small bucket that has an object of every kind.

mod compacted;
mod listing;
mod located;
mod world;
