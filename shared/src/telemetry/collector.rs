//! The way to a collector: HTTP on a thread of its own, since OpenTelemetry's exporters wait on theirs.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// Longest wait for a collector's answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Requests that wait for the thread.
const WAITING: usize = 16;

/// Largest answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;

type Posted = std::result::Result<Response<Bytes>, String>;

/// Sends what the exporters give it.
#[derive(Clone)]
pub(super) struct Collector {
    requests: Sender<(Request<Bytes>, oneshot::Sender<Posted>)>,
}

impl Collector {
    /// Starts the thread; it ends when the last clone is dropped.
    pub(super) fn start(endpoint: &str) -> Result<Self> {
        let refused = |reason: String| Error::Invalid {
            what: "telemetry.otlp_endpoint",
            input: endpoint.to_owned(),
            reason,
        };
        let failed = |error: std::io::Error| refused(error.to_string());
        let client = Transport::of(endpoint).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (requests, waiting) = mpsc::channel(WAITING);
        thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || runtime.block_on(post_each(client, waiting)))
            .map_err(failed)?;
        Ok(Self { requests })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(
        &self,
        request: Request<Bytes>,
    ) -> std::result::Result<Response<Bytes>, HttpError> {
        let (reply, answer) = oneshot::channel();
        let ended = || "the exporting thread has ended";
        let sent = self.requests.send((request, reply)).await;
        sent.map_err(|_| ended())?;
        Ok(answer.await.map_err(|_| ended())??)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

async fn post_each(
    client: Transport,
    mut waiting: Receiver<(Request<Bytes>, oneshot::Sender<Posted>)>,
) {
    let is_away = AtomicBool::new(false);
    while let Some((request, reply)) = waiting.recv().await {
        let posted = tokio::time::timeout(PATIENCE, client.post(request)).await;
        let posted = posted.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
        tell(&posted, &is_away);
        // The exporter may have given up.
        let _ = reply.send(posted);
    }
}

/// Says once that the collector is away, and once that it is there again.
fn tell(posted: &Posted, is_away: &AtomicBool) {
    let reason = match posted {
        Ok(answer) if answer.status().is_success() => None,
        Ok(answer) => Some(said(answer)),
        Err(reason) => Some(reason.clone()),
    };
    if reason.is_some() {
        metrics::counter!("skein_shared_failed_exports_total").increment(1);
    }
    let was_away = is_away.swap(reason.is_some(), Ordering::Relaxed);
    match reason {
        Some(reason) if !was_away => {
            tracing::warn!(
                reason,
                "telemetry is not taken: look at telemetry.otlp_endpoint"
            );
        }
        None if was_away => tracing::info!("telemetry is taken again"),
        Some(_) | None => {}
    }
}

fn said(answer: &Response<Bytes>) -> String {
    let body = String::from_utf8_lossy(answer.body());
    let body: String = body.chars().take(200).collect();
    format!("{} {body}", answer.status())
}

/// Plain or secured, as the endpoint says.
enum Transport {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Secured(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Transport {
    fn of(endpoint: &str) -> std::io::Result<Self> {
        if !endpoint.starts_with("https://") {
            let client = Client::builder(TokioExecutor::new()).build_http();
            return Ok(Self::Plain(client));
        }
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_only()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self::Secured(client))
    }

    async fn post(&self, request: Request<Bytes>) -> Posted {
        let request = request.map(Full::new);
        let answer = match self {
            Self::Plain(client) => client.request(request).await,
            Self::Secured(client) => client.request(request).await,
        };
        let answer = answer.map_err(|error| with_source(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_source(source)),
        None => error.to_string(),
    }
}
