//! Takes connections, on a thread of its own.

use std::convert::Infallible;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};

use crate::admin_http::{AdminHttpSettings, Answer, Role, Token, VERSION};
use crate::error::{Error, Result};

/// A connection that sends no request for this long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// Connections at once; those beyond wait, so that a flood costs no memory.
const CONNECTIONS: usize = 64;

/// Wait after a failure to take a connection: there may be no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub struct AdminServer {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// Begins to serve.
///
/// # Errors
/// [`Error::Invalid`] when the address cannot be had.
pub fn serve(settings: &AdminHttpSettings, role: Role) -> Result<AdminServer> {
    let refused = |reason: String| Error::Invalid {
        what: "http.listen",
        input: settings.address.to_string(),
        reason,
    };
    let listener = TcpListener::bind(settings.address)
        .map_err(|error| refused(format!("{error}; choose a free address")))?;
    let failed = |error: std::io::Error| refused(error.to_string());
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    metrics::gauge!("skein_shared_build", "role" => role.name(), "version" => VERSION).set(1.0);
    let served = Arc::new(Served {
        role,
        token: settings.token.clone(),
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = move || {
        runtime.block_on(async {
            tokio::select! {
                () = take_connections(listener, served) => {}
                _ = stopped => {}
            }
        });
    };
    thread::Builder::new()
        .name("http".to_owned())
        .spawn(serving)
        .map_err(failed)?;
    tracing::info!(%address, "serving http");
    Ok(AdminServer {
        address,
        _stop: stop,
    })
}

impl AdminServer {
    /// Where it is served: the real port where the settings said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

struct Served {
    role: Role,
    token: Option<Token>,
}

async fn take_connections(listener: TcpListener, served: Arc<Served>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "http is not served");
            return;
        }
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let answered = service_fn(|request| served.answer(request));
            let mut connection = http1::Builder::new();
            connection
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE);
            // A client that goes away is no event.
            let _ = connection
                .serve_connection(TokioIo::new(stream), answered)
                .await;
            drop(permit);
        });
    }
}

impl Served {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
        let authorization = request.headers().get(AUTHORIZATION);
        let authorization = authorization.map(HeaderValue::as_bytes);
        let asked = (request.method(), request.uri().path());
        let answer = self
            .role
            .answer(asked, self.token.as_ref(), authorization)
            .await;
        Ok(response(answer))
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static(answer.content_type);
    headers.insert(CONTENT_TYPE, kind);
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
