//! A comparison that is interrupted anywhere goes on, and leaves the same report.

use std::cell::Cell;

use skein_config::cutover::timelines::Timelines;
use skein_reader::Error;
use skein_reader::diff::class_history::{ClassHistory, IgnoreRule};
use skein_reader::diff::comparison::{Sides, compare};
use skein_reader::diff::journal::Journal;
use skein_reader::diff::side::{Side, Table, TablePoint};

use super::bench::{definition, empty_bucket, lines, report, run, run_with, sides};
use crate::world::key;

const DAY: i64 = 86_400_000;

fn table(days: i64) -> Table {
    let mut table = Table::new("table");
    for org in [7, 9] {
        for metric in 0..3 {
            let series = table.series.entry(key(org, metric)).or_default();
            for at_ms in (0..days).map(|day| day * DAY + 60_000) {
                series.points.push(TablePoint::new(at_ms, 1.5));
            }
        }
    }
    table
}

async fn differing(dir: &std::path::Path) -> Sides {
    let bucket = empty_bucket(dir).await;
    let mut right = table(6);
    right.series.get_mut(&key(7, 1)).unwrap().points[4].value = 2.5;
    right.series.remove(&key(9, 2));
    let timelines = Timelines::new_owns_everything();
    sides(table(6), Side::Table(right.into()), &bucket, &timelines)
}

#[tokio::test]
async fn a_comparison_that_is_stopped_again_and_again_leaves_the_same_report() {
    let bucket_dir = tempfile::tempdir().unwrap();
    let sides = differing(bucket_dir.path()).await;
    let history = ClassHistory::default();
    let (whole, expected) = run(&sides, definition(&[7, 9])).await;
    assert_eq!(expected.len(), 7);
    let dir = tempfile::tempdir().unwrap();
    let places = ("left", "right");
    let mut journal = Journal::begin(dir.path(), definition(&[7, 9]), places).unwrap();
    let mut stops = 0;
    loop {
        let looks = Cell::new(0);
        let must_stop = || {
            looks.set(looks.get() + 1);
            looks.get() > 4
        };
        match compare(&mut journal, &sides, None, &must_stop, &mut |_| {}).await {
            Ok(()) => break,
            Err(Error::Stopped) => stops += 1,
            Err(error) => panic!("{error}"),
        }
        drop(journal);
        // A kill in the middle of a line.
        let path = dir.path().join("journal.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"0123abcd {\"wind");
        std::fs::write(&path, bytes).unwrap();
        journal = Journal::open(dir.path()).unwrap();
    }
    assert!(stops > 3, "{stops}");
    let resumed = report(&journal, &sides, &history);
    let text = |report| serde_json::to_string(report).unwrap();
    assert_eq!(text(&resumed), text(&whole));
    assert_eq!(lines(dir.path()), expected);
    let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    for words in ["<svg", ">fail<", "What to do", "missing right"] {
        assert!(page.contains(words), "{words}");
    }
    for elsewhere in ["<script", "http://", "https://", " src=", "<link"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    let again = Journal::begin(dir.path(), definition(&[7]), places).unwrap_err();
    assert!(again.to_string().contains("skein diff resume"), "{again}");
}

#[tokio::test]
async fn a_window_whose_file_was_changed_is_compared_again() {
    let bucket_dir = tempfile::tempdir().unwrap();
    let sides = differing(bucket_dir.path()).await;
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(dir.path(), definition(&[7, 9]), ("l", "r")).unwrap();
    compare(&mut journal, &sides, None, &|| false, &mut |_| {})
        .await
        .unwrap();
    let kept = journal.windows.clone();
    drop(journal);
    let counted = std::fs::read_dir(dir.path().join("windows")).unwrap();
    let mut counted: Vec<_> = counted.map(|entry| entry.unwrap().path()).collect();
    counted.sort();
    counted.retain(|path| path.to_str().unwrap().ends_with("-4.counted.jsonl"));
    std::fs::write(&counted[0], b"").unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.windows.len(), kept.len() - 1);
    compare(&mut journal, &sides, None, &|| false, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(journal.windows, kept);
}

#[tokio::test]
async fn a_class_is_ignored_until_its_rule_expires_and_fixed_when_it_is_gone() {
    let bucket_dir = tempfile::tempdir().unwrap();
    let sides = differing(bucket_dir.path()).await;
    let (first, _) = run(&sides, definition(&[7])).await;
    assert_eq!(
        (first.counts.different_value, first.verdict.as_str()),
        (1, "fail")
    );
    let class = first.classes[0].fingerprint.clone();
    let rule = |expires: &str, ticket: &str| IgnoreRule {
        class: class.clone(),
        expires: expires.to_owned(),
        ticket: ticket.to_owned(),
        reason: String::new(),
    };
    let mut history = ClassHistory::default();
    assert!(history.add_rule(rule("2030-01-01T00:00:00Z", " ")).is_err());
    assert!(history.add_rule(rule("soon", "OPS-1")).is_err());
    history
        .add_rule(rule("2020-01-01T00:00:00Z", "OPS-1"))
        .unwrap();
    let (expired, _) = run_with(&sides, definition(&[7]), &history).await;
    assert_eq!(
        (expired.counts.different_value, expired.counts.ignored),
        (1, 0)
    );
    history
        .add_rule(rule("2030-01-01T00:00:00Z", "OPS-2"))
        .unwrap();
    let (ignored, _) = run_with(&sides, definition(&[7]), &history).await;
    assert_eq!(
        (ignored.counts.different_value, ignored.counts.ignored),
        (0, 1)
    );
    assert_eq!(ignored.verdict, "pass (declared input)");
    assert_eq!(ignored.classes[0].ignored_by.as_deref(), Some("OPS-2"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("earlier.json");
    std::fs::write(&path, serde_json::to_string(&first).unwrap()).unwrap();
    let mut history = ClassHistory::default();
    history.read_report(&path).unwrap();
    let state = |report: &skein_reader::diff::report::Report| {
        let class = report.classes.iter().find(|it| it.fingerprint == class);
        format!("{:?}", class.unwrap().state)
    };
    assert_eq!(state(&first), "New");
    let (known, _) = run_with(&sides, definition(&[7]), &history).await;
    assert_eq!(
        (state(&known).as_str(), known.verdict.as_str()),
        ("Known", "fail")
    );
    let (fixed, _) = run_with(&sides, definition(&[9]), &history).await;
    assert_eq!(state(&fixed), "Fixed");
}
