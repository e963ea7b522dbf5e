//! Metrics, traces and lines of the log reach an OpenTelemetry collector, from every role.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use skein_local::certificates::{Certificates, ServerName};
use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_local::skipped;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::http::free_address;
use crate::skein::Skein;

/// What a collector was sent: path and body of each request.
#[derive(Debug, Clone, Default)]
struct Received(Arc<Mutex<Vec<Posted>>>);

type Posted = (String, Vec<u8>);

/// A collector that takes everything.
async fn collector() -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Received::default();
    let kept = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take_requests(stream, kept.clone()));
        }
    });
    (address, received)
}

/// The same behind TLS.
async fn secured_collector(certificates: &Certificates) -> (SocketAddr, Received) {
    let chain = CertificateDer::pem_file_iter(certificates.server_certificate()).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(certificates.server_key()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Received::default();
    let kept = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take_secured(acceptor.clone(), stream, kept.clone()));
        }
    });
    (address, received)
}

async fn take_secured(acceptor: TlsAcceptor, stream: TcpStream, received: Received) {
    // A client that does not believe the certificate hangs up.
    if let Ok(stream) = acceptor.accept(stream).await {
        take_requests(stream, received).await;
    }
}

async fn take_requests(stream: impl AsyncRead + AsyncWrite + Unpin, received: Received) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("post ") {
                rest.split(' ').next().unwrap().clone_into(&mut path);
            }
            if let Some(rest) = line.strip_prefix("content-length:") {
                length = rest.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        received.0.lock().unwrap().push((path, body));
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    }
}

impl Received {
    fn bodies<T: prost::Message + Default>(&self, path: &str) -> Vec<T> {
        let received = self.0.lock().unwrap();
        let bodies = received.iter().filter(|(to, _)| to == path);
        bodies
            .map(|(_, body)| T::decode(&body[..]).unwrap())
            .collect()
    }

    /// Role and name of each span.
    fn spans(&self) -> BTreeSet<(String, String)> {
        let mut spans = BTreeSet::new();
        for request in self.bodies::<ExportTraceServiceRequest>("/v1/traces") {
            for of_resource in request.resource_spans {
                let role = role_of(of_resource.resource);
                let scopes = of_resource.scope_spans.into_iter();
                let names = scopes.flat_map(|scope| scope.spans).map(|span| span.name);
                spans.extend(names.map(|name| (role.clone(), name)));
            }
        }
        spans
    }

    /// Role and last sum of each metric.
    fn metrics(&self) -> BTreeSet<(String, String, i64)> {
        let mut metrics = BTreeSet::new();
        for request in self.bodies::<ExportMetricsServiceRequest>("/v1/metrics") {
            for of_resource in request.resource_metrics {
                let role = role_of(of_resource.resource);
                let scopes = of_resource.scope_metrics.into_iter();
                let all = scopes.flat_map(|scope| scope.metrics);
                let sums = all.map(|metric| (metric.name, sum_of(metric.data.unwrap())));
                metrics.extend(sums.map(|(name, sum)| (role.clone(), name, sum)));
            }
        }
        metrics
    }

    /// Role and text of each line of the log.
    fn lines(&self) -> BTreeSet<(String, String)> {
        let mut lines = BTreeSet::new();
        for request in self.bodies::<ExportLogsServiceRequest>("/v1/logs") {
            for of_resource in request.resource_logs {
                let role = role_of(of_resource.resource);
                let scopes = of_resource.scope_logs.into_iter();
                let texts = scopes.flat_map(|scope| scope.log_records);
                lines.extend(texts.map(|line| (role.clone(), format!("{:?}", line.body))));
            }
        }
        lines
    }
}

fn role_of(resource: Option<Resource>) -> String {
    let attributes = resource.unwrap().attributes;
    let role = attributes.into_iter().find(|one| one.key == "skein.role");
    format!("{:?}", role.unwrap().value.unwrap().value.unwrap())
}

fn sum_of(data: Data) -> i64 {
    let points = match data {
        Data::Sum(sum) => sum.data_points,
        Data::Gauge(gauge) => gauge.data_points,
        other @ (Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_)) => {
            panic!("unexpected {other:?}")
        }
    };
    let values = points.into_iter().map(|point| match point.value.unwrap() {
        Value::AsInt(value) => value,
        #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
        Value::AsDouble(value) => value as i64,
    });
    values.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_sends_metrics_traces_and_lines_to_the_collector() {
    let (address, received) = collector().await;
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let skein = Skein::with_config(stack.config_file())
        .set(&format!("telemetry.otlp_endpoint=\"http://{address}\""))
        .set("telemetry.otlp_interval=\"200 ms\"");
    let arguments = ["produce", "--topic", "points", "--points", "6000"];
    let records = skein.report(&arguments).await["records"].as_i64().unwrap();
    skein.report(&["connect", "--until-end"]).await;
    skein.report(&["compact", "run"]).await;

    let role = |name: &str| format!("StringValue(\"{name}\")");
    let spans = received.spans();
    for name in ["produce", "connect", "compact"] {
        assert!(
            spans.contains(&(role(name), "run".to_owned())),
            "{name}: {spans:?}"
        );
    }
    for name in ["connect", "compact"] {
        assert!(
            spans.contains(&(role(name), "bucket".to_owned())),
            "{name}: {spans:?}"
        );
    }
    assert!(
        spans.contains(&(role("compact"), "shard".to_owned())),
        "{spans:?}"
    );
    let metrics = received.metrics();
    let taken = (
        role("connect"),
        "skein_connector_records_total".to_owned(),
        records,
    );
    assert!(metrics.contains(&taken), "{metrics:?}");
    let buffered = "skein_connector_buffered_bytes";
    assert!(
        metrics.iter().any(|(_, name, _)| name == buffered),
        "{metrics:?}"
    );
    let lines = received.lines();
    let connecting =
        |(of, text): &(String, String)| *of == role("connect") && text.contains("connecting");
    assert!(lines.iter().any(connecting), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_is_named_once_and_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let skein = Skein::with_config(stack.config_file())
        .within(Duration::from_mins(1))
        .set(&format!(
            "telemetry.otlp_endpoint=\"http://{}\"",
            free_address()
        ))
        .set("telemetry.otlp_interval=\"100 ms\"");
    let ended = skein
        .run(&["produce", "--topic", "points", "--points", "6000"])
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = ended.stderr.matches("telemetry is not taken").count();
    assert_eq!(told, 1, "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_behind_tls_is_told_everything_if_its_authority_is_known_and_nothing_otherwise()
{
    let made = [ServerName::Loopback; 2].map(Certificates::make);
    let [certificates, others] = match made {
        [Ok(certificates), Ok(others)] => [certificates, others],
        [Err(unavailable), _] | [_, Err(unavailable)] => {
            return skipped::report("otlp_behind_tls", &unavailable);
        }
    };
    let (address, received) = secured_collector(&certificates).await;
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let skein = Skein::with_config(stack.config_file())
        .set(&format!("telemetry.otlp_endpoint=\"https://{address}\""))
        .set("telemetry.otlp_interval=\"200 ms\"");
    let known_by = |certificates: &Certificates| {
        skein.env("SSL_CERT_FILE", certificates.authority().to_str().unwrap())
    };
    let arguments = ["produce", "--topic", "points", "--points", "6000"];
    let refused = known_by(&others).run(&arguments).await;
    assert_eq!(refused.code, Some(0), "{}", refused.stderr);
    for words in ["telemetry is not taken", "certificate"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(received.0.lock().unwrap().len(), 0);
    let taken = known_by(&certificates).run(&arguments).await;
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    assert!(
        !taken.stderr.contains("telemetry is not taken"),
        "{}",
        taken.stderr
    );
    let spans = received.spans();
    assert!(spans.iter().any(|(_, name)| name == "run"), "{spans:?}");
    assert!(!received.metrics().is_empty());
    assert!(!received.lines().is_empty());
}
