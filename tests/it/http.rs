//! Plain HTTP requests, written by hand, so that what is tested is not asked by itself.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An address of this machine that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let [port] = skein_local::free_port::free_ports().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Status and body of one request; `None` while nobody answers.
pub(crate) async fn ask(
    address: SocketAddr,
    request: &str,
    token: Option<&str>,
) -> Option<(u16, String)> {
    let authorization = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n{authorization}\r\n"
    );
    let answered = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
    };
    timeout(PATIENCE, answered).await.unwrap()
}

/// Asks for `path` until its answer is as wanted; gives that.
pub(crate) async fn until<T>(
    address: SocketAddr,
    path: &str,
    wanted: impl Fn(u16, &str) -> Option<T>,
) -> T {
    let end = Instant::now() + Duration::from_mins(1);
    let mut last = None;
    while Instant::now() < end {
        last = ask(address, &format!("GET {path}"), None).await;
        if let Some((code, body)) = &last
            && let Some(found) = wanted(*code, body)
        {
            return found;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} is never as wanted: {last:?}");
}

/// The JSON document at `/status` once it is as wanted.
pub(crate) async fn status_when(address: SocketAddr, wanted: impl Fn(&Value) -> bool) -> Value {
    until(address, "/status", |code, body| {
        let status: Value = serde_json::from_str(body).ok().filter(|_| code == 200)?;
        wanted(&status).then_some(status)
    })
    .await
}

/// Waits for what another process brings about.
pub(crate) async fn wait_until(what: &str, patience: Duration, is_so: impl Fn() -> bool) {
    let end = Instant::now() + patience;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}
