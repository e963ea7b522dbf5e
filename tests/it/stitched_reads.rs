//! Reads of an org that moves: what each side has is put together by the org's timeline, and only as far as it says.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_shared::bucket::{Bucket, Created, DirectorySettings};
use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_fleet::{CutoverFleet, FleetHead};
use skein_shared::format::delete_entry::EntryHash;
use skein_shared::format::object_key::{CutoverKey, ObjectKey};
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::retry::RetryPolicy;
use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::skein::Skein;

const EDGE_MS: i64 = 1_700_000_001_000;

const LINES: &str = concat!(
    r#"{"org":7,"metric":"up","timestamp":1700000000999,"value":1}"#,
    "\n",
    r#"{"org":7,"metric":"up","timestamp":1700000001000,"value":2}"#,
    "\n",
);

/// Makes the org's cutover the newest there is: visible are these pipelines from these times on.
async fn decide(
    bucket: &Path,
    (number, state): (u64, CutoverState),
    visible: &[(TimestampMs, Pipeline)],
) {
    let settings = DirectorySettings {
        root: bucket.to_owned(),
        retry: RetryPolicy::default(),
    };
    let bucket = Bucket::open(&settings).await.unwrap();
    let phases = visible.iter().map(|(from, visible)| Phase {
        from: *from,
        writers: Writers::Both,
        visible: *visible,
    });
    let head = FleetHead {
        version: number,
        hash: EntryHash::default(),
        state,
        timeline: Timeline::new(phases).unwrap(),
        seal: None,
        mirror_percent: 0,
        old_place: None,
    };
    let fleet = CutoverFleet {
        number,
        unenrolled: Pipeline::New,
        at: TimestampMs(0),
        heads: BTreeMap::from([(OrgId(7), head)]),
    };
    let key = ObjectKey::Cutover(CutoverKey::Fleet(number)).to_string();
    let id = WriteId::random();
    let bytes = fleet.encode(id);
    let created = bucket.create(&key, bytes, id).await.unwrap();
    assert_eq!(created, Created::Ours);
}

async fn summary(skein: &Skein, more: &[&str]) -> (Value, Value) {
    let arguments = [&["read", "--org", "7", "--format", "json"], more].concat();
    let last = skein.last_line(&arguments).await;
    let summary = &last["summary"];
    (summary["points"].clone(), summary["from_old"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_follows_the_timeline_and_says_what_it_takes_from_where() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let [bucket, old] = ["bucket", "old"].map(|name| directory.path().join(name));
    let skein = Skein::with_config(stack.config_file()).keeping_in(&bucket);
    let produce = ["produce", "--topic", "points", "--jsonl", "-"];
    skein.input(LINES.as_bytes()).report(&produce).await;
    skein.report(&["connect", "--until-end"]).await;
    skein.report(&["compact", "run"]).await;
    std::fs::create_dir(&old).unwrap();
    let file = old.join("points.parquet");
    let export = ["export", "--org", "7", "--format", "parquet", "--out"];
    let ended = skein
        .run(&[&export[..], &[file.to_str().unwrap()]].concat())
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let csv = ["read", "--org", "7", "--metric", "up", "--format", "csv"];
    let before = skein.run(&csv).await.stdout;
    assert_eq!(before.lines().count(), 3, "{before}");

    let begin = TimeSpan::ALL.from;
    decide(
        &bucket,
        (1, CutoverState::Shadow),
        &[(begin, Pipeline::Old)],
    )
    .await;
    let lost = skein.run(&csv).await;
    assert_eq!(
        (lost.code, lost.stdout.as_str()),
        (Some(2), ""),
        "{}",
        lost.stderr
    );
    assert!(lost.stderr.contains("cutover.old_place"), "{}", lost.stderr);
    let moving = skein.set(&format!("cutover.old_place=\"file://{}\"", old.display()));
    assert_eq!(moving.run(&csv).await.stdout, before);
    assert_eq!(summary(&moving, &[]).await, (2.into(), 2.into()));
    let early = moving.run(&["read", "--org", "7", "--owner", "new"]).await;
    assert_eq!(early.code, Some(2), "{}", early.stderr);
    assert!(
        early.stderr.contains("--for-comparison"),
        "{}",
        early.stderr
    );
    let compared = ["--owner", "new", "--for-comparison"];
    assert_eq!(summary(&moving, &compared).await, (2.into(), Value::Null));

    let switched = [
        (begin, Pipeline::Old),
        (TimestampMs(EDGE_MS), Pipeline::New),
    ];
    decide(&bucket, (2, CutoverState::Switched), &switched).await;
    assert_eq!(moving.run(&csv).await.stdout, before);
    assert_eq!(summary(&moving, &[]).await, (2.into(), 1.into()));
    assert_eq!(
        summary(&moving, &["--owner", "old"]).await,
        (2.into(), 2.into())
    );
    let spans = moving.report(&["read", "--org", "7", "--explain"]).await;
    assert_eq!(spans.as_array().unwrap().len(), 2);
    assert_eq!([&spans[0]["visible"], &spans[1]["visible"]], ["old", "new"]);
    assert_eq!(spans[0]["objects"][0]["key"], "points.parquet");
    assert_eq!(
        (&spans[1]["fleet"], &spans[1]["version"]),
        (&2.into(), &2.into())
    );
}
