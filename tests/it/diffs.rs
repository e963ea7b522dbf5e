//! `skein diff`: its exit codes, and what it leaves where.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::skein::{Ended, Skein};

/// An empty bucket, and an old side with one point in a CSV file.
struct Bench {
    dir: TempDir,
    skein: Skein,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let skein = Skein::default().keeping_in(&dir.path().join("bucket"));
        let points = "org,metric,timestamp,value\n7,1,0,1.0\n";
        std::fs::write(dir.path().join("old.csv"), points).unwrap();
        Self { dir, skein }
    }

    fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `skein diff` with the directory of the report.
    async fn diff(&self, arguments: &[&str]) -> Ended {
        let out = self.at("out");
        let head = ["diff", arguments[0], "--out", &out];
        self.skein.run(&[&head[..], &arguments[1..]].concat()).await
    }

    /// Compares the one point with the empty bucket.
    async fn create(&self, more: &[&str]) -> Ended {
        let csv = self.at("old.csv");
        let head = ["create", "--name", "first", "--org", "7"];
        let rest = ["--backoff", "1 ms", "--old-csv", &csv];
        self.diff(&[&head[..], &rest, more].concat()).await
    }
}

#[track_caller]
fn assert_ended(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}{}", ended.stdout, ended.stderr);
    for word in words {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn a_difference_ends_with_code_3_and_one_that_the_input_may_explain_with_4() {
    let bench = Bench::new();
    let ended = bench.create(&[]).await;
    assert_ended(&ended, 4, &["first: inconclusive"]);
    assert_ended(&bench.diff(&["delete"]).await, 0, &[]);
    assert_eq!(std::fs::read_dir(bench.path("out")).unwrap().count(), 0);
    let ended = bench.create(&["--declare-input", "stopped, OPS-3"]).await;
    let words = [
        "first: fail",
        "missing right",
        "all of the series",
        "declared equal: stopped, OPS-3",
    ];
    assert_ended(&ended, 3, &words);
    let lines = std::fs::read_to_string(bench.path("out/differences.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 1);
    assert_ended(&bench.diff(&["show"]).await, 3, &["skein.diff/v1"]);
    let verdict = ["diff", "show", "--name", "first", "--org", "7"];
    let ended = bench.skein.run(&verdict).await;
    assert_ended(&ended, 3, &["first of org 7: fail"]);
    let removed = bench
        .diff(&["delete", "--name", "first", "--org", "7"])
        .await;
    assert_ended(&removed, 0, &[]);
    let gone = bench.skein.run(&verdict).await;
    gone.refused(4, &["no comparison `first`"]);
}

#[tokio::test]
async fn a_comparison_is_begun_once_and_resumed_with_the_same_sides() {
    let bench = Bench::new();
    bench.create(&[]).await;
    bench.create(&[]).await.refused(2, &["skein diff resume"]);
    let csv = bench.at("old.csv");
    let other = bench
        .diff(&["resume", "--sides", "old-old", "--old-csv", &csv])
        .await;
    other.refused(2, &["name the same sides"]);
    let ended = bench.diff(&["resume", "--old-csv", &csv]).await;
    assert_ended(&ended, 4, &["first: inconclusive"]);
}

#[tokio::test]
async fn a_side_is_the_same_as_itself_and_nothing_never_passes() {
    let bench = Bench::new();
    let ended = bench.create(&["--sides", "old-old"]).await;
    assert_ended(&ended, 0, &["first: pass", "1 points match"]);
    assert_ended(&bench.diff(&["delete"]).await, 0, &[]);
    let other = format!("file://{}", bench.at("bucket"));
    let builds = ["--sides", "new-new", "--other-bucket", &other];
    let head = ["create", "--name", "builds", "--org", "7"];
    let ended = bench.diff(&[&head[..], &builds].concat()).await;
    assert_ended(&ended, 4, &["nothing was compared"]);
}
