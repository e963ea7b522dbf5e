//! `skein dev up --real`: the same as with the embedded pair, on servers of others.

use std::time::Duration;

use skein_local::apache_kafka::{ApacheKafka, Nodes};
use skein_local::seaweedfs::SeaweedFs;
use skein_local::skipped;

use crate::skein::Skein;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_servers_take_points_all_the_way_and_go_when_they_are_told_to() {
    // Fetches both, or says why they cannot be had.
    let (kafka, seaweedfs) =
        tokio::join!(ApacheKafka::start(Nodes::One), SeaweedFs::start("skein"));
    if let Some(unavailable) = kafka.err().or(seaweedfs.err()) {
        return skipped::report("dev_up_real", &unavailable);
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("dev");
    let text = place.display().to_string();
    let arguments = [
        "dev",
        "up",
        "--real",
        "--partitions",
        "8",
        "--format",
        "json",
        "--dir",
        &text,
    ];
    let patience = Duration::from_mins(3);
    let stack = Skein::default().start(&arguments, None);
    let config = place.join("skein.toml");
    crate::http::wait_until("the settings file is there", patience, || config.exists()).await;

    let skein = Skein::with_config(&config);
    let produced = skein
        .report(&["produce", "--topic", "points", "--points", "3000"])
        .await;
    assert_eq!(produced["partitions"], 8);
    skein.report(&["connect", "--until-end"]).await;
    skein.report(&["compact", "run"]).await;
    let verified = skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], serde_json::json!([]), "{verified}");

    stack.signal("INT").await;
    let ended = stack.ended(patience).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let addresses: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for (what, value) in [("topic", "points"), ("bucket", "s3://skein")] {
        assert_eq!(addresses[what], value, "{addresses}");
    }
    let broker = addresses["brokers"].as_str().unwrap();
    assert!(
        std::net::TcpStream::connect(broker).is_err(),
        "it still listens"
    );
}
