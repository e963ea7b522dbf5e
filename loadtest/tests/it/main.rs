//! The producer and the demo against the embedded services.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod produce;
mod demo;
mod old_pipeline;
