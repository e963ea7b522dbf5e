//! Logs and metrics of a process: set up once, by `main`.

use std::net::SocketAddr;

use crate::error::Result;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document a line.
    Json,
}

/// What a process tells about itself, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TelemetrySettings {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where Prometheus fetches metrics; `None` keeps none.
    pub metrics_address: Option<SocketAddr>,
}

/// Starts logging to standard error, filtered by the environment's `SKEIN_LOG` (default `info`), and the
/// metrics listener where it has an address. Needs a tokio runtime for the listener.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for a filter that does not parse, an address that is taken, or a
/// second call.
pub fn init(_settings: &TelemetrySettings) -> Result<()> {
    todo!()
}
