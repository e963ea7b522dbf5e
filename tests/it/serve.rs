//! `skein serve`: who may read, what is answered, and how it ends.

use std::net::SocketAddr;

use serde_json::Value;
use skein_config::load::{Layers, load};
use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_shared::ack_log;
use skein_shared::bucket::Bucket;
use skein_shared::cutover::NodeRole;

use crate::http::ask;
use crate::skein::{PATIENCE, Running, Skein};

const TOKEN: &str = "a-token-of-some-length";

/// Where a server says that it listens.
async fn address_of(server: &mut Running) -> SocketAddr {
    let printed = server.printed("listening on ").await;
    printed
        .trim()
        .trim_start_matches("listening on ")
        .parse()
        .unwrap()
}

async fn document(address: SocketAddr, path: &str) -> Value {
    let request = format!("GET {path}");
    let (status, body) = ask(address, &request, Some(TOKEN)).await.unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_gives_what_read_gives_to_those_who_may_and_ends_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
    let skein = Skein::with_config(stack.config_file());
    let layers = Layers {
        file: Some(stack.config_file().to_owned()),
        ..Layers::default()
    };
    let bucket = load(&layers).unwrap().bucket.settings().unwrap();
    let bucket = Bucket::open(&bucket).await.unwrap();
    let produce = [
        "produce", "--topic", "points", "--orgs", "2", "--series", "4",
    ];
    skein
        .report(&[&produce[..], &["--points", "4000"]].concat())
        .await;
    skein.report(&["connect", "--until-end"]).await;
    skein.report(&["compact", "run"]).await;
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    skein
        .run(&listen)
        .await
        .refused(2, &["http.token_file", "SKEIN_HTTP_TOKEN"]);

    let mut server = skein.env("SKEIN_HTTP_TOKEN", TOKEN).start(&listen, None);
    let address = address_of(&mut server).await;
    let denied = ask(address, "GET /api/v1/points?org=1000", None)
        .await
        .unwrap();
    assert_eq!(denied.0, 401, "{}", denied.1);
    let ready = ask(address, "GET /readyz", None).await.unwrap();
    assert_eq!(ready.0, 200, "{}", ready.1);

    let read = ["read", "--org", "1000", "--format", "json"];
    let read = skein.last_line(&read).await;
    let (mut rows, mut pages, mut page) = (0, 0, String::new());
    loop {
        let path = format!("/api/v1/points?org=1000&page_bytes=8192{page}");
        let document = document(address, &path).await;
        rows += document["rows"].as_u64().unwrap();
        pages += 1;
        match document["next_page"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => break,
        }
    }
    assert_eq!(Some(rows), read["summary"]["points"].as_u64());
    assert!(rows > 0 && pages > 1, "{rows} rows on {pages} pages");
    let acknowledged = ack_log::all(&bucket).await.unwrap();
    assert_eq!(acknowledged.len(), 1);
    assert_eq!(
        (acknowledged[0].role, acknowledged[0].fleet),
        (NodeRole::Server, 0)
    );
    let metrics = ask(address, "GET /metrics", None).await.unwrap().1;
    assert!(metrics.contains("skein_reader_pages_total"), "{metrics}");

    server.signal("TERM").await;
    let ended = server.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        ack_log::all(&bucket).await.unwrap(),
        [],
        "nobody has to wait for it any more"
    );
}
