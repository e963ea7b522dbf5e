//! `skein demo`: the whole path in one process, and its alarm.

use serde_json::Value;

use crate::skein::{Ended, PATIENCE, Skein};

async fn demo(extra: &[&str]) -> (Ended, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display().to_string();
    let arguments = [
        "demo", "--points", "200000", "--dir", &place, "--format", "json",
    ];
    let ended = Skein::default().run(&[&arguments, extra].concat()).await;
    (ended, directory)
}

#[tokio::test]
async fn the_demo_reads_back_every_point_it_made() {
    let (ended, _directory) = demo(&[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["points"], 200_000, "{report}");
    assert_eq!(report["points_read"], report["points"], "{report}");
    assert_eq!(report["findings"], serde_json::json!([]), "{report}");
}

#[tokio::test]
async fn a_demo_that_is_kept_serves_until_ctrl_c() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display().to_string();
    let arguments = ["demo", "--points", "100000", "--keep", "--dir", &place];
    let mut demo = Skein::default().start(&arguments, None);
    let told = demo.told("still serving").await;
    let line = told.lines().find(|line| line.contains("still serving"));
    let command = line.unwrap().split("skein ").last().unwrap();
    let arguments: Vec<&str> = command.split_whitespace().collect();
    let listed = Skein::default().run(&arguments).await;
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(listed.stdout.contains("org-mod-"), "{}", listed.stdout);

    demo.interrupt().await;
    let ended = demo.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("every one of 100000 points"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn damage_on_the_way_ends_the_demo_with_three() {
    for damage in ["flip", "drop", "dup"] {
        let (ended, _directory) = demo(&["--plant", damage]).await;
        assert_eq!(ended.code, Some(3), "{damage}: {}", ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(
            report["finding_count"].as_u64().unwrap() > 0,
            "{damage}: {report}"
        );
    }
}
