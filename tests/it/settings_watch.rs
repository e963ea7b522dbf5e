//! The settings file of a running connector changes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use skein_local::dev_stack::{DevStack, DevStackOptions, MIN_PARTITIONS};
use skein_shared::ids::TopicName;

use crate::http::{ask, free_address, status_when};
use crate::skein::Skein;

const TOKEN: &str = "a-token-of-some-length";

/// Puts a new text in the file's place, whole.
fn replace(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_added_to_the_file_is_read_without_a_restart_and_what_cannot_change_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions {
        directory: directory.path().join("dev"),
        topics: ["points", "more"]
            .map(|name| TopicName::new(name).unwrap())
            .to_vec(),
        partitions: MIN_PARTITIONS,
    })
    .unwrap();
    let both = fs::read_to_string(stack.config_file()).unwrap();
    let topics = "topics = [\"points\", \"more\"]";
    assert!(both.contains(topics));
    let one = both.replace(topics, "topics = [\"points\"]");
    let file = directory.path().join("skein.toml");
    fs::write(&file, &one).unwrap();
    let address = free_address();
    let skein = Skein::with_config(&file)
        .set(&format!("http.listen=\"{address}\""))
        .env("SKEIN_HTTP_TOKEN", TOKEN);
    let mut connector = skein.start(&["connect"], None);
    let partitions = |count: u64| {
        move |status: &serde_json::Value| {
            let partitions = status["partitions"].as_array().unwrap();
            let reading = partitions.iter().filter(|one| one["state"] == "reading");
            reading.count() as u64 == count
        }
    };
    let one_topic = u64::from(MIN_PARTITIONS);
    status_when(address, partitions(one_topic)).await;

    // A file that is wrong changes nothing.
    replace(
        &file,
        &one.replace("topics = [\"points\"]", "topics = [\"points\", \"a b\"]"),
    );
    connector.told("the old ones stay in force").await;
    replace(
        &file,
        &one.replace("topics = [\"points\"]", "topics = [\"points\", \"absent\"]"),
    );
    connector.told("kafka has no such topic").await;

    replace(
        &file,
        &both.replace("[kafka]\n", "[kafka]\ngroup = \"other\"\n"),
    );
    let status = status_when(address, partitions(2 * one_topic)).await;
    assert_eq!(status["topics"], serde_json::json!(["points", "more"]));
    connector
        .told("kafka.group changed and needs a restart")
        .await;
    let produce = ["produce", "--topic", "more", "--points", "6000"];
    let records = &skein.report(&produce).await["records"];
    status_when(address, |status| status["counts"]["records"] == *records).await;

    // And a topic that is taken out is given back, at SIGHUP as well.
    replace(&file, &one);
    connector.signal("HUP").await;
    status_when(address, partitions(one_topic)).await;
    ask(address, "POST /drain", Some(TOKEN)).await.unwrap();
    assert_eq!(connector.ended(Duration::from_mins(1)).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_comes_to_match_a_pattern_is_read_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions {
        directory: directory.path().join("dev"),
        topics: vec![TopicName::new("points-a").unwrap()],
        partitions: MIN_PARTITIONS,
    })
    .unwrap();
    let named = fs::read_to_string(stack.config_file()).unwrap();
    let file = directory.path().join("skein.toml");
    let pattern = named.replace("topics = [\"points-a\"]", "topics = [\"^points-[a-z]$\"]");
    assert_ne!(pattern, named);
    fs::write(&file, pattern).unwrap();
    let address = free_address();
    let skein = Skein::with_config(&file)
        .set(&format!("http.listen=\"{address}\""))
        .set("kafka.properties={\"topic.metadata.refresh.interval.ms\"=\"500\"}")
        .env("SKEIN_HTTP_TOKEN", TOKEN);
    let connector = skein.start(&["connect"], None);
    let reading = |status: &serde_json::Value, topic: &str| {
        let partitions = status["partitions"].as_array().unwrap();
        let ours = partitions.iter().filter(|one| one["topic"] == topic);
        let reading = ours.filter(|one| one["state"] == "reading");
        reading.count() as u64 == u64::from(MIN_PARTITIONS)
    };
    status_when(address, |status| reading(status, "points-a")).await;
    for topic in ["points-b", "other"] {
        stack.broker().create_topic(topic, MIN_PARTITIONS).unwrap();
    }
    let mut sent = 0;
    for topic in ["points-b", "points-a"] {
        let produce = ["produce", "--topic", topic, "--points", "3000"];
        sent += skein.report(&produce).await["records"].as_u64().unwrap();
    }
    skein
        .report(&["produce", "--topic", "other", "--points", "3000"])
        .await;
    let status = status_when(address, |status| {
        reading(status, "points-b") && status["counts"]["records"] == sent
    })
    .await;
    let partitions = status["partitions"].as_array().unwrap();
    assert!(partitions.iter().all(|one| one["topic"] != "other"));
    ask(address, "POST /drain", Some(TOKEN)).await.unwrap();
    assert_eq!(connector.ended(Duration::from_mins(1)).await.code, Some(0));
}
