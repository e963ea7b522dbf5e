//! Metrics, traces and logs to an OpenTelemetry collector, over HTTP with protobuf.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::{Layer, Registry};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::telemetry::collector::{Collector, PATIENCE};
use crate::units::Millis;

/// Where the export goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// `http://host:4318`, without a path.
    pub endpoint: String,
    /// Time between two exports of metrics.
    pub interval: Millis,
    /// Which command this is: `connect`.
    pub role: String,
}

/// A layer of the log.
pub(super) type AnyLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The running export.
#[derive(Debug)]
pub(super) struct Export {
    metrics: SdkMeterProvider,
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
}

impl Export {
    pub(super) fn start(settings: &OtlpSettings) -> Result<Self> {
        let collector = Collector::start(&settings.endpoint)?;
        let endpoint = settings.endpoint.trim_end_matches('/');
        let refused = |error: opentelemetry_otlp::ExporterBuildError| Error::Invalid {
            what: "telemetry.otlp_endpoint",
            input: settings.endpoint.clone(),
            reason: error.to_string(),
        };
        let resource = resource(&settings.role);
        let metrics = MetricExporter::builder()
            .with_http()
            .with_http_client(collector.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/metrics"))
            .with_timeout(PATIENCE)
            .build()
            .map_err(refused)?;
        let reader = PeriodicReader::builder(metrics)
            .with_interval(settings.interval.duration())
            .build();
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(collector.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(PATIENCE)
            .build()
            .map_err(refused)?;
        let lines = LogExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/logs"))
            .with_timeout(PATIENCE)
            .build()
            .map_err(refused)?;
        Ok(Self {
            metrics: SdkMeterProvider::builder()
                .with_reader(reader)
                .with_resource(resource.clone())
                .build(),
            traces: SdkTracerProvider::builder()
                .with_batch_exporter(spans)
                .with_resource(resource.clone())
                .build(),
            logs: SdkLoggerProvider::builder()
                .with_batch_exporter(lines)
                .with_resource(resource)
                .build(),
        })
    }

    pub(super) fn meter(&self) -> Meter {
        self.metrics.meter("skein")
    }

    /// What sends spans and lines of the log on. Only our own: what the libraries below log while they send
    /// would be sent, too, and so for ever.
    pub(super) fn layers(&self, lines: EnvFilter) -> [AnyLayer; 2] {
        let ours = |target: &str| target.starts_with("skein");
        let spans = filter_fn(move |metadata| metadata.is_span() && ours(metadata.target()));
        let spans = spans.with_max_level_hint(LevelFilter::DEBUG);
        let traces = tracing_opentelemetry::layer()
            .with_tracer(self.traces.tracer("skein"))
            .with_location(false)
            .with_threads(false)
            .with_filter(spans);
        let events = filter_fn(move |metadata| metadata.is_event() && ours(metadata.target()));
        let logs = OpenTelemetryTracingBridge::new(&self.logs)
            .with_filter(lines)
            .with_filter(events);
        [traces.boxed(), logs.boxed()]
    }

    /// Sends what waits, and ends. Each kind waits for at most [`PATIENCE`].
    pub(super) fn end(&self) {
        let ended = [
            self.traces.shutdown_with_timeout(PATIENCE),
            self.logs.shutdown_with_timeout(PATIENCE),
            self.metrics.shutdown_with_timeout(PATIENCE),
        ];
        for error in ended.into_iter().filter_map(std::result::Result::err) {
            tracing::warn!(%error, "the last telemetry was not sent");
        }
    }
}

fn resource(role: &str) -> Resource {
    let instance = Uuid::new_v4().to_string();
    Resource::builder()
        .with_service_name("skein")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
            KeyValue::new("skein.role", role.to_owned()),
        ])
        .build()
}
