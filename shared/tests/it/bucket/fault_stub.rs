//! A proxy in front of a store that fails on request: loses answers, throttles, hangs, flips bits.
//!
//! One request a connection, so that each fault hits exactly one try.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to one request.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// The store does it, and its answer is lost.
    LoseAnswer,
    /// The store never sees it; this answer comes instead.
    Answer(u16, &'static str),
    /// Nothing ever comes.
    Hang,
    /// One bit of the request's body flips on its way in.
    FlipSent,
    /// One bit of the answer's body flips on its way out.
    FlipReceived,
    /// The answer ends one byte early.
    CutReceived,
}

/// A running stub; it stops when dropped.
#[derive(Debug)]
pub(super) struct FaultStub {
    address: String,
    plan: Plan,
    task: JoinHandle<()>,
}

type Plan = Arc<Mutex<VecDeque<(&'static str, Fault)>>>;

impl FaultStub {
    /// Stands in front of the store at `endpoint`.
    pub(super) async fn in_front_of(endpoint: &str) -> Self {
        let store = endpoint.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let plan = Plan::default();
        let task = tokio::spawn(accept_all(listener, store, Arc::clone(&plan)));
        Self {
            address,
            plan,
            task,
        }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request that starts with `method` suffers `fault`; repeated calls queue up.
    pub(super) fn next(&self, method: &'static str, fault: Fault) {
        self.plan.lock().unwrap().push_back((method, fault));
    }

    /// Faults that no request has met yet.
    pub(super) fn left(&self) -> usize {
        self.plan.lock().unwrap().len()
    }
}

impl Drop for FaultStub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(listener: TcpListener, store: String, plan: Plan) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        connections.spawn(serve(client, store.clone(), Arc::clone(&plan)));
    }
}

/// A connection that breaks is the other side's business.
async fn serve(mut client: TcpStream, store: String, plan: Plan) -> Option<()> {
    let (mut head, mut body) = read_request(&mut client).await?;
    let fault = take_fault(&plan, &head);
    match fault {
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::Answer(status, text)) => {
            let length = text.len();
            let answer = format!(
                "HTTP/1.1 {status} Planned\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
            );
            return client.write_all(answer.as_bytes()).await.ok();
        }
        Some(Fault::FlipSent) => body[0] ^= 1,
        Some(Fault::LoseAnswer | Fault::FlipReceived | Fault::CutReceived) | None => {}
    }
    head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut server = TcpStream::connect(store).await.ok()?;
    server.write_all(head.as_bytes()).await.ok()?;
    server.write_all(&body).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    match fault {
        Some(Fault::LoseAnswer) => return None,
        Some(Fault::FlipReceived) => *answer.last_mut()? ^= 1,
        Some(Fault::CutReceived) => answer.truncate(answer.len() - 1),
        Some(Fault::Hang | Fault::Answer(..) | Fault::FlipSent) | None => {}
    }
    client.write_all(&answer).await.ok()
}

fn take_fault(plan: &Plan, head: &str) -> Option<Fault> {
    let mut plan = plan.lock().unwrap();
    let at = plan
        .iter()
        .position(|(method, _)| head.starts_with(method))?;
    plan.remove(at).map(|(_, fault)| fault)
}

pub(super) async fn read_request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = bytes.split_off(head_end);
    let head = String::from_utf8(bytes).unwrap();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.parse().unwrap());
    while body.len() < length {
        if client.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}
