//! A connector killed in the middle of an upload: what it left behind is taken away, and nothing else.

use std::time::Duration;

use serde_json::Value;
use skein_local::dev_stack::{DevStack, DevStackOptions};
use tokio::time::{sleep, timeout};

use crate::real_services::RealServices;
use crate::skein::Skein;

/// One shard, so that few points make a large object, and a janitor that does not wait long.
const SECTIONS: &str = "[connector]\npart_bytes = \"5 MiB\"\nsmall_object_bytes = \"5 MiB\"\n\
    status_interval = \"200 ms\"\njanitor_patience = \"2 s\"\n\n[shards]\nmodulus = 1\n";

const SETTINGS: [&str; 5] = [
    "connector.part_bytes=\"5 MiB\"",
    "connector.small_object_bytes=\"5 MiB\"",
    "connector.status_interval=\"200 ms\"",
    "connector.janitor_patience=\"2 s\"",
    "shards.modulus=1",
];

const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_connector_left_in_the_embedded_bucket_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
    let skein = Skein::with_config(stack.config_file());
    let skein = SETTINGS.iter().fold(skein, |skein, one| skein.set(one));
    left_behind_is_taken_away(&skein).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_connector_left_in_a_directory_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let skein = Skein::with_config(stack.config_file());
    let skein = skein.keeping_in(&directory.path().join("bucket"));
    let skein = SETTINGS.iter().fold(skein, |skein, one| skein.set(one));
    left_behind_is_taken_away(&skein).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_connector_left_in_seaweedfs_is_taken_away() {
    let Some(services) = RealServices::start("janitor", SECTIONS).await else {
        return;
    };
    services.kafka.create_topic("points", 8).await.unwrap();
    left_behind_is_taken_away(&services.skein()).await;
}

async fn left_behind_is_taken_away(skein: &Skein) {
    let arguments = ["produce", "--topic", "points", "--points", "2000000"];
    let expected = skein.report(&arguments).await["expected"].clone();
    let mut running = skein.start(&["connect"], Some("part-done"));
    running.wait_until_held(PATIENCE).await;
    // It still tells: a janitor that comes by leaves it alone.
    let kept = skein.report(&["janitor", "run"]).await;
    assert_eq!(
        (&kept["uploads"], &kept["objects"]),
        (&0.into(), &0.into()),
        "{kept}"
    );
    running.kill().await;
    let found = until_silent(skein).await;
    assert!(
        found["upload_bytes"].as_u64().unwrap() >= 5 << 20,
        "{found}"
    );

    let verified = skein.report(&["verify"]).await;
    assert_eq!(
        verified["findings"],
        serde_json::json!([]),
        "a note, no finding"
    );
    assert_eq!(verified["left_behind"]["uploads"], found["uploads"]);
    let text = skein.run(&["verify"]).await;
    assert!(
        text.stdout.contains("`skein janitor run`"),
        "{}",
        text.stdout
    );

    let taken = skein.report(&["janitor", "run"]).await;
    for what in [
        "uploads",
        "upload_bytes",
        "objects",
        "object_bytes",
        "flushes_voided",
    ] {
        assert_eq!(taken[what], found[what], "{what}: {taken}");
    }
    let again = skein.report(&["janitor", "run"]).await;
    assert_eq!(
        (&again["uploads"], &again["objects"]),
        (&0.into(), &0.into()),
        "{again}"
    );

    skein.report(&["connect", "--until-end"]).await;
    skein.report(&["compact", "run"]).await;
    let verified = skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], serde_json::json!([]), "{verified}");
    assert_eq!(verified["left_behind"]["objects"], 0, "{verified}");
    let read = skein
        .last_line(&["read", "--all", "--format", "json"])
        .await;
    assert_eq!(read["summary"]["points"], expected["points"], "{read}");
    let after = skein.report(&["janitor", "run"]).await;
    assert_eq!(
        (&after["uploads"], &after["objects"]),
        (&0.into(), &0.into()),
        "{after}"
    );
}

/// Waits until a dry run finds uploads that may be taken away; it changes nothing.
async fn until_silent(skein: &Skein) -> Value {
    let look = async {
        loop {
            let found = skein.report(&["janitor", "run", "--dry-run"]).await;
            if found["uploads"].as_u64() > Some(0) {
                return found;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    let found = timeout(PATIENCE, look)
        .await
        .expect("a dead worker falls silent");
    let again = skein.report(&["janitor", "run", "--dry-run"]).await;
    assert_eq!(
        again["uploads"], found["uploads"],
        "a dry run changes nothing"
    );
    found
}
