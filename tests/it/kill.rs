//! Two connectors on real servers, killed at every step of a flush; then every point is there once.

use std::time::Duration;

use serde_json::Value;

use crate::real_services::RealServices;
use crate::skein::{Skein, check_idle_writes};

/// How many points to send; the test command's default is small.
const POINTS_VARIABLE: &str = "SKEIN_E2E_POINTS";
const DEFAULT_POINTS: u64 = 2_000_000;

const PAYLOAD_POINTS: u64 = 60;

/// Each of two connectors gets through about one flush a round before it is killed, so that a twelfth of
/// the records a flush leaves enough for all rounds.
const FLUSHES: u64 = 12;

const HOLD_POINTS: [&str; 5] = [
    "object-done",
    "flush-manifest",
    "ledger-some",
    "before-commit",
    "after-commit",
];

/// 64 shared shards, all of them hit by 80 consecutive orgs, and six of their own.
const SHARDS: &str = "[shards]\nmodulus = 64\ndedicated = [1000, 1001, 1002, 1003, 1004, 1005]\n";

fn points() -> u64 {
    let text = std::env::var(POINTS_VARIABLE).ok();
    text.map_or(DEFAULT_POINTS, |text| text.parse().unwrap())
}

fn sections(points: u64) -> String {
    let flush_records = (points / PAYLOAD_POINTS / FLUSHES).max(1);
    // The broker takes a killed member for dead after six seconds, the least it allows.
    format!(
        "[kafka.properties]\n\"session.timeout.ms\" = \"6000\"\n\
         \"heartbeat.interval.ms\" = \"1000\"\n\n\
         [connector]\nflush_records = {flush_records}\n\n{SHARDS}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_killed_at_every_step_of_a_flush_lose_and_double_nothing() {
    let points = points();
    let patience = Duration::from_secs(120 + points / 20_000);
    let Some(services) = RealServices::start("kill", &sections(points)).await else {
        return;
    };
    services.kafka.create_topic("points", 32).await.unwrap();
    let skein = services.skein().within(patience);
    let expected = produce(&skein, points).await;
    for point in HOLD_POINTS {
        kill_two_at(&skein, point, patience).await;
    }
    finish(&skein, patience).await;
    let first = skein.report(&["compact", "run"]).await;
    assert!(first["write_requests"].as_u64().unwrap() > 0, "{first}");
    assert_eq!(first["shards"], 70, "{first}");
    check_all_shards_have_segments(&skein).await;
    let second = skein.report(&["compact", "run"]).await;
    assert_eq!(second["generations"], 0, "{second}");
    check_idle_writes(&second);
    check_points(&skein, &expected).await;
}

async fn produce(skein: &Skein, points: u64) -> Value {
    let points = points.to_string();
    let arguments = [
        "produce",
        "--topic",
        "points",
        "--orgs",
        "80",
        "--series",
        "2000",
        "--points",
        &points,
        "--late",
        "20",
        "--duplicates",
        "20",
        "--out-of-order",
        "20",
    ];
    let report = skein.report(&arguments).await;
    assert_eq!(report["expected"]["points"].to_string(), points);
    report["expected"].clone()
}

/// Runs two connectors until both hold at `point`, and kills them there.
async fn kill_two_at(skein: &Skein, point: &str, patience: Duration) {
    let mut both = [(); 2].map(|()| skein.start(&["connect"], Some(point)));
    for running in &mut both {
        running.told("THIS WORKER WILL STOP FLUSHING").await;
        running.wait_until_held(patience).await;
    }
    for running in both {
        running.kill().await;
    }
}

/// Lets two connectors read the rest.
async fn finish(skein: &Skein, patience: Duration) {
    let arguments = ["connect", "--until-end", "--format", "json"];
    for running in [(); 2].map(|()| skein.start(&arguments, None)) {
        let ended = running.ended(patience).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(
            report["stopped_partitions"],
            serde_json::json!([]),
            "{report}"
        );
    }
}

/// 64 shared shards and 6 of their own.
async fn check_all_shards_have_segments(skein: &Skein) {
    let listing = skein.report(&["ls"]).await;
    let shards = listing["shards"].as_array().unwrap();
    let filled = shards.iter().filter(|shard| {
        shard["segments"].as_u64().unwrap() > 0 && shard["points"].as_u64().unwrap() > 0
    });
    assert_eq!(filled.count(), 70, "{listing}");
}

/// What is read back is what the generator says, and what is stored is that and nothing beside it. Segments
/// of several runs may each hold a version of one point, of which a read shows the last.
async fn check_points(skein: &Skein, expected: &Value) {
    let verified = skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], serde_json::json!([]), "{verified}");
    let read = skein
        .last_line(&["read", "--all", "--format", "json"])
        .await;
    let read = &read["summary"];
    for what in ["points", "digest", "series"] {
        assert_eq!(read[what], expected[what], "{what}");
    }
    let count = |value: &Value| value.as_u64().unwrap();
    let stored = count(&read["points"]) + count(&read["superseded"]);
    assert_eq!(count(&verified["points"]), stored, "{verified}");
    if read["superseded"] == 0 {
        assert_eq!(verified["digest"], expected["digest"]);
    }
}
