//! The local servers, asked by clients that nobody here wrote.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod client;
mod conditional_write;
mod dev_stack;
mod embedded_broker;
mod multipart;
mod objects;
mod real_servers;
mod wait;
