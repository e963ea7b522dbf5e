//! Integration tests of reading, against the embedded bucket.

#[cfg(test)]
mod inspect;
mod world;
mod reads;
mod names;
