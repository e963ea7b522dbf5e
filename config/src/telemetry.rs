//! `[telemetry]`: what a process tells of itself.

use serde::{Deserialize, Serialize};
use skein_shared::telemetry::{self, OtlpSettings};
use skein_shared::units::Millis;

use crate::bound::{Bounds, Breach};

/// Settings of logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySection {
    /// Filter of the log: `info`, `warn,skein_connector=debug`. `SKEIN_LOG` overrides it.
    pub log: String,
    /// Form of the log on stderr.
    pub log_format: LogFormat,
    /// `http://host:4318` of an OpenTelemetry collector; empty is nowhere.
    pub otlp_endpoint: String,
    /// Time between two exports of metrics.
    pub otlp_interval: Millis,
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
    /// What logs, metrics and traces of the command `role` are started with.
    pub fn settings(&self, role: &str) -> telemetry::TelemetrySettings {
        let log_format = match self.log_format {
            LogFormat::Text => telemetry::LogFormat::Text,
            LogFormat::Json => telemetry::LogFormat::Json,
        };
        telemetry::TelemetrySettings {
            filter: self.log.clone(),
            log_format,
            otlp: (!self.otlp_endpoint.is_empty()).then(|| OtlpSettings {
                endpoint: self.otlp_endpoint.clone(),
                interval: self.otlp_interval,
                role: role.to_owned(),
            }),
        }
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("telemetry", breaches);
        let endpoint = &self.otlp_endpoint;
        let http = ["http://", "https://"]
            .iter()
            .any(|scheme| endpoint.starts_with(scheme));
        if !endpoint.is_empty() && !http {
            let allowed = "http://HOST:4318, https://HOST[:PORT], or empty";
            bounds.refuse("otlp_endpoint", endpoint, allowed);
        }
        let interval = Millis(100)..=Millis::seconds(3600);
        bounds.range("otlp_interval", &self.otlp_interval, interval);
    }
}
