//! The producer and the demo against the embedded services.

mod produce;
mod demo;
