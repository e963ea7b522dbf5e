use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skein_loadtest::demo::plant::Plant;
use skein_loadtest::demo::progress::Stage;
use skein_loadtest::demo::{Demo, DemoOptions, run};
use skein_loadtest::generator::{GeneratorSettings, Kind};
use tokio_util::sync::CancellationToken;

fn demo(plant: Option<Plant>) -> (Demo, u64, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let options = DemoOptions {
        directory: directory.path().join("demo"),
        load: GeneratorSettings {
            series: 200,
            points: 200 * 600,
            late_permille: 100,
            duplicate_permille: 200,
            out_of_order_permille: 100,
            ..GeneratorSettings::demo()
        },
        plant,
        cancel: CancellationToken::new(),
        progress: Arc::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        }),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let demo = runtime.block_on(run(options)).unwrap();
    (demo, told.load(Ordering::Relaxed), directory)
}

#[test]
fn what_is_read_back_is_what_was_generated() {
    let (demo, told, directory) = demo(None);
    let report = demo.report;
    assert_eq!(report.findings, []);
    assert_eq!(
        (report.finding_count, report.points_read),
        (0, report.points)
    );
    assert_eq!(report.quarantined.values().sum::<u64>(), 8);
    assert!(report.duplicates > 0);
    assert_eq!(report.bytes_per_point.len(), Kind::ALL.len());
    assert!(report.bytes_per_point[&Kind::Constant] < report.bytes_per_point[&Kind::Noise]);
    let stages: Vec<Stage> = report.stages.iter().map(|stage| stage.stage).collect();
    let all = [
        Stage::Produce,
        Stage::Connect,
        Stage::Compact,
        Stage::Read,
        Stage::Verify,
    ];
    assert_eq!(stages, all);
    assert!(told >= 4, "{told}");
    assert!(report.directory.starts_with(directory.path()) && report.directory.is_dir());
}

#[test]
fn more_points_than_the_embedded_broker_keeps_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = DemoOptions {
        directory: directory.path().join("demo"),
        load: GeneratorSettings {
            series: 2,
            orgs: 1,
            points: 1_200_000,
            ..GeneratorSettings::demo()
        },
        plant: None,
        cancel: CancellationToken::new(),
        progress: Arc::new(|_| {}),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(run(options)).unwrap_err().to_string();
    assert!(error.contains("points=`1200000`"), "{error}");
}

#[track_caller]
fn check_found(plant: Plant, stage: Stage, words: &str) {
    let (demo, _, _directory) = demo(Some(plant));
    let found = demo.report.findings.iter();
    let found = found.filter(|finding| finding.stage == stage && finding.what.contains(words));
    assert!(found.count() > 0, "{:#?}", demo.report.findings);
}

#[test]
fn a_flipped_bit_is_found_and_located() {
    check_found(Plant::Flip, Stage::Verify, "/segment/");
}

#[test]
fn a_dropped_ledger_entry_is_found_as_points_that_are_missing() {
    check_found(Plant::Drop, Stage::Read, "missing, expected");
}

#[test]
fn a_ledger_entry_that_covers_another_is_found_and_located() {
    check_found(Plant::Dup, Stage::Verify, "ledger/embedded-");
}
