//! Integration tests of reading, against the embedded bucket.

mod inspect;
mod world;
mod reads;
mod names;
