//! `[telemetry]`: what a process tells of itself.

use serde::{Deserialize, Serialize};
use skein_shared::telemetry;

/// Settings of logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySection {
    /// Filter of the log: `info`, `warn,skein_connector=debug`. `SKEIN_LOG` overrides it.
    pub log: String,
    /// Form of the log on stderr.
    pub log_format: LogFormat,
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
        }
    }
}
