//! What settings lead to on real servers.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod acknowledgements;
mod cutovers;
mod secured_kafka;
