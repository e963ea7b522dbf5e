//! A running connector is looked at and told what to do over HTTP and by `skein flush`.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use skein_local::dev_stack::{DevStack, DevStackOptions};

use crate::http::{ask, free_address, status_when, until};
use crate::skein::Skein;

const TOKEN: &str = "a-token-of-some-length";
const PATIENCE: Duration = Duration::from_mins(1);

/// How to call `skein` so that its connector listens on `address`.
fn listening(stack: &DevStack, directory: &Path, address: SocketAddr) -> Skein {
    let token = directory.join("token");
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    Skein::with_config(stack.config_file())
        .set(&format!("http.listen=\"{address}\""))
        .set(&format!("http.token_file=\"{}\"", token.display()))
}

fn start(directory: &Path) -> DevStack {
    DevStack::start(&DevStackOptions::new(directory.join("dev"))).unwrap()
}

async fn produce(stack: &DevStack) -> i64 {
    let skein = Skein::with_config(stack.config_file());
    let arguments = ["produce", "--topic", "points", "--points", "6000"];
    let report = skein.report(&arguments).await;
    report["records"].as_i64().unwrap()
}

fn sum_of(spans: &Value) -> i64 {
    let spans = spans.as_array().unwrap().iter();
    spans
        .map(|span| span["to"].as_i64().unwrap() - span["from"].as_i64().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_shows_how_it_stands_flushes_on_request_and_drains() {
    let directory = tempfile::tempdir().unwrap();
    let stack = start(directory.path());
    let records = produce(&stack).await;
    let address = free_address();
    let skein = listening(&stack, directory.path(), address);
    let connector = skein.start(&["connect"], None);

    until(address, "/livez", |code, _| (code == 200).then_some(())).await;
    until(address, "/readyz", |code, _| (code == 200).then_some(())).await;
    let read = status_when(address, |status| {
        status["counts"]["records"] == records && status["partitions"][0]["kafka_end"].is_i64()
    })
    .await;
    assert_eq!(read["counts"]["durable_records"], 0, "{read}");
    assert_eq!(read["lag"]["records"], 0, "{read}");
    assert_eq!(read["partitions"].as_array().unwrap().len(), 64);
    assert!(
        read["buffers"]["used_bytes"].as_u64().unwrap() > 0,
        "{read}"
    );

    let receipt = skein.report(&["flush"]).await;
    assert_eq!(sum_of(&receipt["durable"]), records, "{receipt}");
    assert_eq!(receipt["given_up"], serde_json::json!([]));
    let flushed = status_when(address, |status| status["flush"]["done"] == 1).await;
    for partition in flushed["partitions"].as_array().unwrap() {
        assert_eq!(
            partition["position"], partition["ledger_end"],
            "{partition}"
        );
        assert_eq!(partition["position"], partition["kafka_end"], "{partition}");
    }
    assert!(flushed["flush"]["age_seconds"].as_f64().unwrap() < 60.0);
    let requests = &flushed["requests"];
    assert_eq!(requests["upload_limits"]["data"], 16, "{requests}");
    assert_eq!(requests["upload_limits"].as_object().unwrap().len(), 19);
    assert!(requests["first_tries"].as_u64().unwrap() > 0, "{requests}");
    let again = skein.report(&["flush"]).await;
    assert_eq!(sum_of(&again["durable"]), 0, "nothing came since: {again}");

    // Metrics are counted by the second, not by the question: a scrape may come before the count.
    let counted = format!("skein_connector_records_total {records}");
    until(address, "/metrics", |_, metrics| {
        let counted = metrics.contains(&counted);
        (counted && metrics.contains("skein_connector_lag_records 0\n")).then_some(())
    })
    .await;

    assert_eq!(ask(address, "POST /drain", None).await.unwrap().0, 401);
    assert_eq!(
        ask(address, "POST /drain", Some(TOKEN)).await.unwrap().0,
        202
    );
    assert_eq!(connector.ended(PATIENCE).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_is_not_durable_in_time_ends_in_code_6_and_a_wrong_token_in_2() {
    let directory = tempfile::tempdir().unwrap();
    let stack = start(directory.path());
    let records = produce(&stack).await;
    let address = free_address();
    let skein = listening(&stack, directory.path(), address);
    let connector = skein.start(&["connect"], Some("flush-manifest"));
    status_when(address, |status| status["counts"]["records"] == records).await;

    let stranger = directory.path().join("other");
    std::fs::write(&stranger, "a-token-of-some-lengtj").unwrap();
    std::fs::set_permissions(&stranger, std::fs::Permissions::from_mode(0o600)).unwrap();
    let wrong = skein.set(&format!("http.token_file=\"{}\"", stranger.display()));
    wrong
        .run(&["flush"])
        .await
        .refused(2, &["refused", "Bearer"]);

    let late = skein.run(&["flush", "--timeout", "1 s"]).await;
    late.refused(6, &["not durable within 1 s", "/status"]);
    connector.kill().await;
    let gone = skein.run(&["flush"]).await;
    gone.refused(1, &["reach connector failed", &address.to_string()]);
    let nowhere = Skein::with_config(stack.config_file());
    nowhere.run(&["flush"]).await.refused(2, &["http.listen"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_by_itself_serves_while_it_runs_and_runs_also_where_it_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let stack = start(directory.path());
    let address = free_address();
    let skein = listening(&stack, directory.path(), address);
    // It waits for its input, and so can be looked at.
    let arguments = ["produce", "--topic", "points", "--csv", "/dev/stdin"];
    let (feed, producer) = skein.start_fed(&arguments);
    let text = until(address, "/metrics", |code, text| {
        (code == 200).then(|| text.to_owned())
    })
    .await;
    assert!(
        text.contains("skein_shared_build{role=\"produce\""),
        "{text}"
    );
    let status = status_when(address, |status| status["role"] == "produce").await;
    assert!(status["uptime_ms"].is_u64(), "{status}");
    let beside = skein.run(&["compact", "run"]).await;
    assert_eq!(beside.code, Some(0), "{}", beside.stderr);
    assert!(beside.stderr.contains("http.listen"), "{}", beside.stderr);
    drop(feed);
    producer.ended(PATIENCE).await;
}
