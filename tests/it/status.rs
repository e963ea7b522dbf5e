//! What `skein status` and `skein retire` say, and with which exit codes.

use std::time::Duration;

use serde_json::Value;
use skein_local::dev_stack::{DevStack, DevStackOptions};
use tokio::time::{sleep, timeout};

use crate::skein::{PATIENCE, Skein};

fn rows(report: &Value) -> &Vec<Value> {
    report["partitions"].as_array().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_how_far_everything_is_and_when_a_person_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
    let skein = Skein::with_config(stack.config_file());
    let topic = format!("{}/points/0", stack.source());
    let nothing = skein.report(&["status"]).await;
    assert_eq!(
        (&nothing["watermark"], rows(&nothing).len()),
        (&Value::Null, 0)
    );

    let produce = ["produce", "--topic", "points", "--points", "20000"];
    skein.report(&produce).await;
    skein.report(&["connect", "--until-end"]).await;
    let status = skein.report(&["status", "--gaps"]).await;
    assert!(status["watermark"].is_string(), "{status}");
    assert_eq!(status["needs"], serde_json::json!([]));
    for row in rows(&status) {
        assert_eq!(
            (&row["state"], &row["lag_records"]),
            (&"at end".into(), &0.into()),
            "{row}"
        );
        assert_eq!(row["gaps"], serde_json::json!([]));
    }
    let text = skein.run(&["status"]).await;
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    assert!(
        text.stdout.contains(&format!("{topic}/0 ")),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains(&format!("held back by {topic}/")),
        "{}",
        text.stdout
    );

    // Kafka itself is asked for its ends, not only the workers.
    skein.report(&produce).await;
    let behind = skein.report(&["status"]).await;
    assert!(
        rows(&behind)
            .iter()
            .any(|row| row["lag_records"].as_u64() > Some(0)),
        "{behind}"
    );
    // Without Kafka the rest is shown all the same.
    let alone = skein.set("kafka.brokers=\"127.0.0.1:1\"");
    let alone = alone.set("kafka.metadata_timeout=\"1 s\"");
    let alone = alone.run(&["status"]).await;
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    assert!(
        alone.stderr.contains("what the workers told"),
        "{}",
        alone.stderr
    );

    needs_a_person(&skein, &topic, rows(&status).len()).await;
}

/// No worker runs any more: after a while somebody is told, until every partition is retired.
async fn needs_a_person(skein: &Skein, topic: &str, partitions: usize) {
    let stale = ["status", "--stale-after", "1 s"];
    let look = async {
        loop {
            let ended = skein.run(&stale).await;
            if ended.code == Some(3) {
                return ended.stdout;
            }
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            sleep(Duration::from_millis(300)).await;
        }
    };
    let text = timeout(PATIENCE, look).await.unwrap();
    let need = format!("needs a person: {topic}/0: no worker has told of it");
    assert!(text.contains(&need), "{text}");
    for partition in 0..partitions {
        let partition = partition.to_string();
        let arguments = ["retire", "points", &partition, "--reason", "gone"];
        let retired = skein.report(&arguments).await;
        assert_eq!(retired["partition"], format!("{topic}/{partition}"));
    }
    let quiet = skein.report(&stale).await;
    assert!(
        rows(&quiet).iter().all(|row| row["state"] == "retired"),
        "{quiet}"
    );
    let unknown = ["retire", "points", "9999", "--reason", "gone"];
    skein
        .run(&unknown)
        .await
        .refused(2, &["/points/0/9999", "has no ledger"]);
}
