//! One request over plain HTTP, to services that stand beside us: another process of ours, a collector.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub use hyper::header::AUTHORIZATION;

/// What to send.
#[derive(Debug)]
pub struct Post<'a> {
    /// `host:port`.
    pub address: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Headers beside `Host`.
    pub headers: Vec<(header::HeaderName, String)>,
    /// The body.
    pub body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// Not within the patience.
    Late,
    /// The connection was refused or broke, in the system's words.
    Broken(String),
}

/// Connects, posts, and waits up to `patience` for the whole answer.
///
/// # Errors
/// [`NoAnswer`]. Any status is an answer.
pub async fn post(post: Post<'_>, patience: Duration) -> Result<Answer, NoAnswer> {
    tokio::time::timeout(patience, send(post))
        .await
        .map_err(|_| NoAnswer::Late)?
        .map_err(NoAnswer::Broken)
}

async fn send(post: Post<'_>) -> Result<Answer, String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect(post.address)
        .await
        .map_err(|error| words(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| words(&error))?;
    let mut request = Request::post(post.path).header(header::HOST, post.address);
    for (name, value) in post.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(post.body))
        .map_err(|error| words(&error))?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Answer { status, body })
    };
    tokio::pin!(answered, connection);
    // The connection moves only while it is polled; it may end before the answer is taken out.
    let mut is_open = true;
    loop {
        tokio::select! {
            answer = &mut answered => return answer.map_err(|error| words(&error)),
            ended = &mut connection, if is_open => {
                ended.map_err(|error| words(&error))?;
                is_open = false;
            }
        }
    }
}
