//! Takes connections until it is asked to end, then lets those end that are being answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use skein_shared::admin_http::Role;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::ServeSetup;
use super::answering::Answering;
use crate::error::Result;

/// A connection that sends no request for this long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// A connection that is older takes no further request, so that none can be held for ever by not reading its answer.
const LIFE: Duration = Duration::from_mins(10);

/// Connections at once; those beyond wait. Each holds at most one page on its way out.
const CONNECTIONS: usize = 128;

/// Wait after a failure to take a connection: there may be no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Time between two signs of life.
const BEAT: Duration = Duration::from_secs(5);

/// A server that listens.
#[derive(Debug)]
pub struct Serving {
    listener: TcpListener,
    address: SocketAddr,
    answering: Answering,
}

impl Serving {
    /// Begins to listen where the settings say; requests wait until it runs.
    ///
    /// # Errors
    /// Invalid when the address cannot be had.
    pub fn start(setup: ServeSetup) -> BoxFuture<'static, Result<Self>> {
        Box::pin(async move {
            let listen = setup.settings.listen.clone();
            let refused = |error: std::io::Error| skein_shared::Error::Invalid {
                what: "serve.listen",
                input: listen.clone(),
                reason: format!("{error}; choose a free address of this machine"),
            };
            let listener = TcpListener::bind(&listen).await.map_err(refused)?;
            let address = listener.local_addr().map_err(refused)?;
            let answering = Answering::new(setup);
            tracing::info!(%address, "serving reads");
            Ok(Self {
                listener,
                address,
                answering,
            })
        })
    }

    /// Where: the real port where the settings say 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What may be served on an address of its own as well.
    pub fn role(&self) -> Role {
        self.answering.role()
    }

    /// Answers until it is asked to end; then no connection is taken any more, requests that have begun are answered, and
    /// what is not done within `serve.drain_timeout` is cut off.
    pub fn run(self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let answering = self.answering;
            let mut connections = JoinSet::new();
            take_connections(&self.listener, &answering, (&mut connections, &stop)).await;
            drop(self.listener);
            answering.end();
            let drained = connections.join_all();
            let limit = answering.setup().settings.drain_timeout;
            if timeout(limit.duration(), drained).await.is_err() {
                tracing::warn!(%limit, "requests were cut off: serve.drain_timeout is over");
            }
        })
    }
}

async fn take_connections(
    listener: &TcpListener,
    answering: &Answering,
    (connections, stop): (&mut JoinSet<()>, &CancellationToken),
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut beats = tokio::time::interval(BEAT);
    loop {
        let taken = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            _ = beats.tick() => {
                answering.beat();
                continue;
            }
            Some(_) = connections.join_next() => continue,
            taken = taken => taken,
        };
        match accepted {
            Ok((stream, _)) => {
                let (answering, stop) = (answering.clone(), stop.clone());
                connections.spawn(async move {
                    answer_all(stream, &answering, &stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection; once it is to end, only the one that has begun.
async fn answer_all(stream: TcpStream, answering: &Answering, stop: &CancellationToken) {
    let answered = service_fn(async |request| {
        let response = answering.answer(request).await;
        Ok::<_, Infallible>(response)
    });
    let mut connection = http1::Builder::new();
    connection
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE);
    let mut served = pin!(connection.serve_connection(TokioIo::new(stream), answered));
    // A client that goes away is no event.
    tokio::select! {
        _ = served.as_mut() => return,
        () = stop.cancelled() => {}
        () = tokio::time::sleep(LIFE) => {}
    }
    served.as_mut().graceful_shutdown();
    let settings = &answering.setup().settings;
    let rest = settings.request_timeout.duration() + settings.drain_timeout.duration();
    let _ = timeout(rest, served).await;
}
