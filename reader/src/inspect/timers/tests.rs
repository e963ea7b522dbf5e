use skein_shared::format::run_record::RunTotals;
use skein_shared::stage_time::StageTime;
use skein_shared::window::TimestampMs;

use super::*;

fn stage(name: &str, place: StagePlace, micros: &[u64]) -> RecordedStage {
    let mut time = StageTime::default();
    for micros in micros {
        time.record(Duration::from_micros(*micros));
    }
    RecordedStage {
        name: name.to_owned(),
        place,
        time,
    }
}

/// A run of `points` points whose tasks took 100 µs.
fn run(points: u64, stages: Vec<RecordedStage>) -> RunRow {
    RunRow::of(&RunRecord {
        run: Attempt(1),
        at: TimestampMs(0),
        of: RunKind::Run,
        ended: RunEnd::Done,
        software: "skein".to_owned(),
        encoder: 1,
        threads: 1,
        did: RunTotals {
            points_in: points / 2,
            points_merged: points / 2,
            tasks: Duration::from_micros(100),
            ..RunTotals::default()
        },
        stages,
    })
}

#[test]
fn shares_are_of_the_tasks_time_and_stages_beside_them_have_none() {
    let row = run(
        1000,
        vec![
            stage("fetch", StagePlace::Beside, &[500, 400]),
            stage("decode", StagePlace::InTask, &[10, 10]),
            stage("merge", StagePlace::InTask, &[40]),
            stage("encode", StagePlace::InTask, &[15, 15]),
            stage("commit", StagePlace::InTask, &[5]),
        ],
    );
    let shares: Vec<_> = row.stages.iter().map(|stage| stage.share).collect();
    assert_eq!(shares, [None, Some(0.2), Some(0.4), Some(0.3), Some(0.05)]);
    assert_eq!(row.slowest, ["merge", "encode", "decode"]);
    assert_eq!(row.other_ns(), 5_000);
    assert_eq!(row.ns_per_point, Some(100.0));
    assert_eq!(row.stages[2].ns_per_point, Some(40.0));
}

#[test]
fn runs_are_compared_point_by_point_whatever_their_sizes() {
    let small = run(
        1000,
        vec![
            stage("merge", StagePlace::InTask, &[40]),
            stage("sort", StagePlace::InTask, &[1]),
        ],
    );
    let large = run(
        4000,
        vec![
            stage("merge", StagePlace::InTask, &[40, 40]),
            stage("encode", StagePlace::InTask, &[1]),
        ],
    );
    let comparison = compare(large, small);
    let merge = &comparison.stages[0];
    assert_eq!((merge.stage.as_str(), merge.ratio), ("merge", Some(0.5)));
    assert_eq!(merge.p50_ratio, Some(1.0));
    let of_one = &comparison.stages[1..];
    let names: Vec<_> = of_one.iter().map(|row| row.stage.as_str()).collect();
    assert_eq!(names, ["encode", "sort"]);
    assert!(of_one.iter().all(|row| row.ratio.is_none()));
    assert_eq!(comparison.ratio, Some(0.25));
}

#[test]
fn a_run_without_points_has_no_time_for_each() {
    let row = run(0, vec![stage("merge", StagePlace::InTask, &[40])]);
    assert_eq!(row.ns_per_point, None);
    assert_eq!(row.stages[0].ns_per_point, None);
}
