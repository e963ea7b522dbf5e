//! `skein compact run --watch`: round after round, until it is asked to end.

use serde_json::Value;
use skein_local::dev_stack::{DevStack, DevStackOptions};

use crate::skein::{PATIENCE, Skein};

async fn produce(skein: &Skein, start: &str) {
    let produce = [
        "produce", "--topic", "points", "--orgs", "1", "--series", "4",
    ];
    let load = ["--points", "1000", "--start", start];
    skein.report(&[&produce[..], &load].concat()).await;
    skein.report(&["connect", "--until-end"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watching_compactor_takes_what_comes_and_ends_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
    let skein = Skein::with_config(stack.config_file());
    produce(&skein, "2026-01-01T00:00:00Z").await;
    let watch = [
        "compact", "run", "--watch", "--every", "100 ms", "--format", "json",
    ];
    let mut running = skein.start(&watch, None);
    let printed = running.printed("}\n").await;
    let first: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(first["points_out"], 1000);

    produce(&skein, "2026-01-02T00:00:00Z").await;
    running.printed("}\n{").await;
    running.signal("TERM").await;
    let ended = running.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let points = ended.stdout.lines().map(|line| {
        let report: Value = serde_json::from_str(line).unwrap();
        report["points_in"].as_u64().unwrap()
    });
    assert!(points.sum::<u64>() >= 2000, "{}", ended.stdout);
    let left = skein.report(&["compact", "plan"]).await;
    assert_eq!(left["plan"], Value::Null, "nothing is left to do");
    let refused = skein.run(&["compact", "run", "--every", "1 s"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}
