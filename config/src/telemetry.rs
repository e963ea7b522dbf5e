//! `[telemetry]`: logs and metrics.

use serde::{Deserialize, Serialize};
use skein_shared::telemetry;

use crate::bound::{Bounds, Breach};

/// Settings of logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySection {
    /// Filter of the log: `info`, `warn,skein_connector=debug`. `SKEIN_LOG` overrides it.
    pub log: String,
    /// Form of the log on stderr.
    pub log_format: LogFormat,
    /// `address:port` on which metrics are served; empty is nowhere.
    pub metrics_listen: String,
}

/// Form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON document a line.
    Json,
}

impl TelemetrySection {
    /// What logs and metrics are started with.
    pub fn settings(&self) -> telemetry::TelemetrySettings {
        let log_format = match self.log_format {
            LogFormat::Text => telemetry::LogFormat::Text,
            LogFormat::Json => telemetry::LogFormat::Json,
        };
        telemetry::TelemetrySettings {
            filter: self.log.clone(),
            log_format,
            metrics_address: self.metrics_listen.parse().ok(),
        }
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("telemetry", breaches);
        let listen = &self.metrics_listen;
        if !listen.is_empty() && listen.parse::<std::net::SocketAddr>().is_err() {
            bounds.refuse(
                "metrics_listen",
                listen,
                "an address and port like 127.0.0.1:9464, or empty",
            );
        }
    }
}
