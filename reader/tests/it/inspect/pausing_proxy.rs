//! A proxy in front of a bucket that holds one request back until the test has done something in between.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A running proxy. It ends with the test's runtime.
pub(super) struct PausingProxy {
    pub(super) endpoint: String,
    /// Comes true once the request is held back.
    pub(super) paused: oneshot::Receiver<()>,
    /// Lets it go on.
    pub(super) go_on: oneshot::Sender<()>,
}

struct Pause {
    prefixes: [&'static str; 2],
    seen: Option<&'static str>,
    paused: Option<oneshot::Sender<()>>,
    go_on: Option<oneshot::Receiver<()>>,
}

/// Stands in front of the bucket at `endpoint`. Of the listings of two prefixes, whichever comes first passes,
/// and the first of the other is held back.
pub(super) async fn pause_between(endpoint: &str, prefixes: [&'static str; 2]) -> PausingProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = endpoint.strip_prefix("http://").unwrap().to_owned();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (paused, is_paused) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel();
    let pause = Pause {
        prefixes,
        seen: None,
        paused: Some(paused),
        go_on: Some(may_go_on),
    };
    tokio::spawn(serve_all(listener, store, pause));
    PausingProxy {
        endpoint,
        paused: is_paused,
        go_on,
    }
}

async fn serve_all(listener: TcpListener, store: String, mut pause: Pause) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        // A connection that breaks is the client's business.
        let Some(head) = read_head(&mut client).await else {
            continue;
        };
        pause.hold(&head).await;
        tokio::spawn(forward(client, store.clone(), head));
    }
}

impl Pause {
    async fn hold(&mut self, head: &str) {
        let asked = self.prefixes.into_iter().find(|prefix| {
            head.lines()
                .next()
                .is_some_and(|line| line.contains(&format!("prefix={prefix}")))
        });
        let Some(asked) = asked else { return };
        if *self.seen.get_or_insert(asked) == asked {
            return;
        }
        if let (Some(paused), Some(go_on)) = (self.paused.take(), self.go_on.take()) {
            paused.send(()).unwrap();
            go_on.await.unwrap();
        }
    }
}

/// The head of a request without a body.
async fn read_head(client: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// One request a connection.
async fn forward(mut client: TcpStream, store: String, head: String) -> Option<()> {
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut server = TcpStream::connect(store).await.ok()?;
    server.write_all(head.as_bytes()).await.ok()?;
    tokio::io::copy(&mut server, &mut client).await.ok()?;
    Some(())
}
