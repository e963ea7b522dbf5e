//! What a command makes of the points of each side is compared.

use skein_reader::diff::dependents::{Feed, run_dependent};
use skein_reader::diff::side::{Side, TablePoint};
use skein_shared::ids::OrgId;
use skein_shared::window::{TimeSpan, TimestampMs};

use super::bench::{empty_bucket, sides};
use super::pipelines::{EDGE, table, timelines};
use crate::world::key;

#[tokio::test]
async fn a_command_whose_output_differs_is_told_with_its_first_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("bucket")).unwrap();
    let bucket = empty_bucket(&dir.path().join("bucket")).await;
    let old = table(&[7]);
    let mut new = old.clone();
    let series = new.series.get_mut(&key(7, 2)).unwrap();
    series.points[3].value = 8.5;
    series.points.push(TablePoint::new(EDGE - 1, 1.0));
    let sides = sides(old, Side::Table(new.into()), &bucket, &timelines(&[7]));
    let of = (OrgId(7), TimeSpan::ALL);
    let out = dir.path().join("out");
    let run = async |command: &str| run_dependent(&sides, of, command, &out).await.unwrap();

    let report = run("cat").await;
    let points: Vec<u64> = report.outputs.iter().map(|output| output.points).collect();
    assert_eq!(points, [points[0], points[0] + 1, points[0]]);
    assert!(!report.is_same() && report.differences.len() == 1);
    let found = &report.differences[0];
    assert_eq!(found.feed, Feed::New, "readers still see the old side");
    let line = format!("7,2,{},1.0", EDGE - 1);
    assert_eq!(found.other.as_deref(), Some(line.as_str()));

    // What does not depend on these points is the same, also where the command does not read to the end.
    assert!(run("head -n 1").await.is_same());
    assert!(!run("cat > /dev/null; exit 3").await.is_same());
    assert!(!run("echo $SKEIN_DIFF_FEED").await.is_same());
    let until_edge = TimeSpan {
        from: TimestampMs(EDGE + 86_400_000),
        to: TimeSpan::ALL.to,
    };
    let later = run_dependent(&sides, (OrgId(7), until_edge), "cat", &out).await;
    assert!(later.unwrap().is_same());
}
