//! The table of states and verbs, row by row, and random walks over it.

mod org;
mod table;
mod walk;
