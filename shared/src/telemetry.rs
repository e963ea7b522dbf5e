//! Logs and metrics of a process: set up once, by `main`.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};

/// Environment variable that filters log lines: `debug`, `info,skein_connector=trace`, …
const FILTER_VARIABLE: &str = "SKEIN_LOG";
/// What signs requests: at its lowest levels it tells what it signs, session tokens of AWS among it.
const SIGNER: &str = "aws_sigv4";
const DEFAULT_FILTER: &str = "info";

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TelemetrySettings {
    /// What is told where the environment's `SKEIN_LOG` does not say: `info`, `warn,skein_connector=debug`.
    /// Empty is `info`.
    pub filter: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// What was counted, since metrics are kept.
static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts logging to standard error, filtered by the environment's `SKEIN_LOG`, else by the settings, and begins
/// to keep metrics.
///
/// # Errors
/// [`Error::Invalid`] for a filter that does not parse, or a second call.
pub fn init(settings: &TelemetrySettings) -> Result<()> {
    let filter = std::env::var(FILTER_VARIABLE)
        .ok()
        .filter(|text| !text.trim().is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter_of(filter.as_deref().unwrap_or(&settings.filter))?)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match settings.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|error| Error::Invalid {
        what: "start of logging",
        input: format!("{:?}", settings.log_format),
        reason: error.to_string(),
    })?;
    let handle = PrometheusBuilder::new().install_recorder();
    let handle = handle.map_err(|error| Error::Invalid {
        what: "start of metrics",
        input: String::new(),
        reason: error.to_string(),
    })?;
    METRICS.get_or_init(|| handle);
    Ok(())
}

/// Everything that was counted so far, in Prometheus' text form; empty before [`init`].
pub fn metrics_text() -> String {
    let Some(handle) = METRICS.get() else {
        return String::new();
    };
    handle.run_upkeep();
    handle.render()
}

fn filter_of(text: &str) -> Result<EnvFilter> {
    let text = if text.trim().is_empty() {
        DEFAULT_FILTER
    } else {
        text
    };
    let invalid = |reason: String| Error::Invalid {
        what: FILTER_VARIABLE,
        input: text.to_owned(),
        reason: format!("{reason}; write for example `info` or `info,skein_connector=debug`"),
    };
    if text.contains(SIGNER) {
        return Err(invalid(format!("`{SIGNER}` tells session tokens")));
    }
    let filter = EnvFilter::try_new(text).map_err(|error| invalid(error.to_string()))?;
    let quiet = format!("{SIGNER}=info").parse();
    Ok(filter.add_directive(quiet.expect("a target and a level are a directive")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        assert!(filter_of("").is_ok());
        assert!(filter_of("info,skein_connector=debug").is_ok());
        let error = filter_of("a=b=c").unwrap_err().to_string();
        assert!(error.contains("SKEIN_LOG"), "{error}");
    }

    #[test]
    fn what_tells_session_tokens_cannot_be_asked_to() {
        for text in ["aws_sigv4=trace", "info,aws_sigv4::http_request=debug"] {
            let error = filter_of(text).unwrap_err().to_string();
            assert!(error.contains("session tokens"), "{error}");
        }
        let shown = filter_of("trace").unwrap().to_string();
        assert!(shown.contains("aws_sigv4=info"), "{shown}");
    }
}
