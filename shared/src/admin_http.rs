//! HTTP on an address of its own, for whoever watches over a process: the same for every role.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the role moves, 503 when it stands still: start it anew |
//! | `GET /readyz` | 200, or 503 with the reasons, one a line |
//! | `GET /metrics` | everything that is counted, in Prometheus' text form |
//! | `GET /status` | one JSON document about the role |
//! | `POST …` | what a role can be told to do; needs `Authorization: Bearer TOKEN` |
//!
//! It has a thread of its own: it answers also when every thread of the role is busy, and no thread of the
//! role ever waits for it. It speaks plain HTTP: keep the address inside, or put a proxy before it.

mod token;
mod vitals;
mod answer;
mod endpoint;
mod listener;

use std::net::SocketAddr;

pub use answer::Answer;
pub use endpoint::{Endpoint, Role};
pub use listener::{AdminServer, serve};
pub use token::Token;
pub use vitals::Vitals;

/// Where to serve, and who may give orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminHttpSettings {
    /// Address and port.
    pub address: SocketAddr,
    /// What an order has to know; without one no order is taken.
    pub token: Option<Token>,
}

/// The version of this build, as `/status` and `skein_shared_build` tell it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests;
