//! Logs, metrics and traces of a process: set up once, by `main`.

mod collector;
mod mirror;
mod otlp;

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::error::{Error, Result};
use crate::telemetry::mirror::Mirror;
use crate::telemetry::otlp::{AnyLayer, Export};

pub use otlp::OtlpSettings;

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
    /// Where everything is exported to; `None` exports nothing.
    pub otlp: Option<OtlpSettings>,
}

/// The telemetry of this process. When it is dropped, what was not exported yet is, within seconds.
#[derive(Debug)]
#[must_use = "nothing is exported once it is dropped"]
pub struct Telemetry {
    export: Option<Export>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(export) = &self.export {
            export.end();
        }
    }
}

/// What was counted, since metrics are kept.
static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts logging to standard error, filtered by the environment's `SKEIN_LOG`, else by the settings, begins to
/// keep metrics, and begins to export where there is an address for it.
///
/// # Errors
/// [`Error::Invalid`] for a filter or an address that does not parse, or a second call.
pub fn init(settings: &TelemetrySettings) -> Result<Telemetry> {
    let from_environment = std::env::var(FILTER_VARIABLE).ok();
    let filter = from_environment.filter(|text| !text.trim().is_empty());
    let filter = filter.as_deref().unwrap_or(&settings.filter);
    let export = settings.otlp.as_ref().map(Export::start).transpose()?;
    let mut layers = vec![lines(settings.log_format, filter_of(filter)?)];
    if let Some(export) = &export {
        layers.extend(export.layers(filter_of(filter)?));
    }
    let started = tracing_subscriber::registry().with(layers).try_init();
    started.map_err(|error| Error::Invalid {
        what: "start of logging",
        input: format!("{:?}", settings.log_format),
        reason: error.to_string(),
    })?;
    keep_metrics(PrometheusBuilder::new().build_recorder(), export.as_ref())?;
    Ok(Telemetry { export })
}

fn lines(format: LogFormat, filter: EnvFilter) -> AnyLayer {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    }
}

fn keep_metrics(prometheus: PrometheusRecorder, export: Option<&Export>) -> Result<()> {
    let twice = |reason: String| Error::Invalid {
        what: "start of metrics",
        input: String::new(),
        reason,
    };
    let handle = prometheus.handle();
    let kept = match export {
        None => metrics::set_global_recorder(prometheus).map_err(|error| error.to_string()),
        Some(export) => metrics::set_global_recorder(Mirror::new(prometheus, export.meter()))
            .map_err(|error| error.to_string()),
    };
    kept.map_err(twice)?;
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
