//! Replays by the built binary on real servers: killed at the worst moment, and into holes up to the points.

use std::time::Duration;

use serde_json::Value;
use skein_config::load::{Layers, load};
use skein_shared::bucket::Bucket;
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName, WriteId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};

use crate::real_services::RealServices;
use crate::skein::Skein;

const PARTITIONS: u32 = 4;
const PATIENCE: Duration = Duration::from_mins(2);

async fn produce(skein: &Skein, points: &str, duplicates: &str) -> Value {
    let arguments = [
        "produce", "--topic", "points", "--orgs", "20", "--points", points,
    ];
    skein
        .report(&[&arguments[..], &["--duplicates", duplicates]].concat())
        .await
}

/// What the points of the bucket come to, after everything is compacted; the bucket must be sound.
async fn compacted(skein: &Skein) -> Value {
    skein.report(&["compact", "run"]).await;
    let verified = skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], serde_json::json!([]), "{verified}");
    let read = skein
        .last_line(&["read", "--all", "--format", "json"])
        .await;
    read["summary"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_killed_between_transaction_and_step_gives_every_record_once() {
    let Some(services) = RealServices::start("replay-kill", "").await else {
        return;
    };
    for topic in ["points", "again"] {
        services
            .kafka
            .create_topic(topic, PARTITIONS)
            .await
            .unwrap();
    }
    let skein = services.skein().within(PATIENCE);
    let produced = produce(&skein, "120000", "20").await;
    let records = produced["records"].as_u64().unwrap();
    skein.report(&["connect", "--until-end"]).await;
    let range = [
        "replay", "run", "--topic", "points", "--into", "topic", "--target", "again",
    ];
    // Slow enough for several transactions, which end after five seconds each.
    let slowly = [&range[..], &["--rate", "200/s"]].concat();
    let mut running = skein.start(&slowly, Some("replay-committed"));
    running.wait_until_held(PATIENCE).await;
    running.kill().await;
    let status = skein.report(&["replay", "status"]).await;
    assert_eq!(
        (&status[0]["state"], &status[0]["records"]),
        (&"running".into(), &0.into()),
        "{status}"
    );
    let job = status[0]["job"].as_str().unwrap().to_owned();
    let done = skein.report(&["replay", "run", "--job", &job]).await;
    assert_eq!(
        (&done["state"], &done["records"]),
        (&"done".into(), &records.into()),
        "{done}"
    );

    // Another installation reads the topic: each record once, and the same points.
    let again = skein
        .set("bucket.url=s3://skein/again")
        .set("kafka.source=again")
        .set("kafka.topics=[\"again\"]");
    let read = again.report(&["connect", "--until-end"]).await;
    assert_eq!(read["records"], produced["records"], "{read}");
    let read = compacted(&again).await;
    for what in ["points", "digest", "series"] {
        assert_eq!(read[what], produced["expected"][what], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filled_hole_is_compacted_and_read_like_anything_else() {
    let Some(services) = RealServices::start("replay-fill", "").await else {
        return;
    };
    services
        .kafka
        .create_topic("points", PARTITIONS)
        .await
        .unwrap();
    let skein = services.skein().within(PATIENCE);
    // A fill of a window that was closed is a later write than what was there: with doubly written times it would win.
    let produced = produce(&skein, "100000", "0").await;
    lose(&services).await;
    skein.report(&["connect", "--until-end"]).await;
    let with_holes = compacted(&skein).await;
    assert_ne!(with_holes["digest"], produced["expected"]["digest"]);

    let refused = [
        "replay", "plan", "--topic", "points", "--into", "topic", "--target", "points",
    ];
    skein
        .run(&refused)
        .await
        .refused(2, &["--target", "--force"]);
    let plan = ["replay", "plan", "--topic", "points", "--into", "state"];
    let planned = skein.report(&plan).await;
    assert_eq!(
        planned["parts"].as_array().unwrap().len(),
        PARTITIONS as usize,
        "{planned}"
    );
    assert!(
        planned["request_cost"]
            .as_str()
            .unwrap()
            .starts_with("$0.00"),
        "{planned}"
    );
    let done = skein
        .report(&["replay", "run", "--topic", "points", "--into", "state"])
        .await;
    assert_eq!(done["records"], 100 * PARTITIONS, "{done}");
    let read = compacted(&skein).await;
    for what in ["points", "digest", "series"] {
        assert_eq!(read[what], produced["expected"][what], "{what}");
    }

    // These servers never drop a record, so that state would have to be kept for ever.
    let report = skein
        .run(&["retention", "report", "--format", "json"])
        .await;
    assert_eq!(report.code, Some(3), "{}", report.stderr);
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["topics"][0]["kafka_keeps"], "for ever", "{report}");
    let check = skein.run(&["config", "check"]).await;
    assert!(check.stderr.contains("for ever"), "{}", check.stderr);
    skein
        .set("retention.state=\"0 s\"")
        .report(&["retention", "report"])
        .await;
}

/// Says that Kafka did not have the first hundred offsets of each partition when the connector came.
async fn lose(services: &RealServices) {
    let layers = Layers {
        file: Some(services.config()),
        ..Layers::default()
    };
    let settings = load(&layers).unwrap().bucket.settings().unwrap();
    let ledger = Ledger::new(Bucket::open(&settings).await.unwrap());
    for partition in 0..PARTITIONS {
        let chain = Chain {
            source: SourceName::new("main").unwrap(),
            topic: TopicName::new("points").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        };
        let genesis = Genesis {
            chain: chain.clone(),
            start: Offset(0),
            policy: StartPolicy::Earliest,
        };
        ledger.create_genesis(&genesis).await.unwrap();
        let lost = LedgerEntry {
            chain,
            span: Span::new(Offset(0), Offset(100)),
            kind: EntryKind::LostSpan {
                reason: "retention".into(),
            },
            frames: 0,
            times: None,
            last: None,
        };
        ledger.append(&lost, WriteId::random()).await.unwrap();
    }
}
