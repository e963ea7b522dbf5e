//! Exports as their users read them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_local::{fetched, skipped};

use crate::skein::Skein;

const START_MS: i64 = 1_700_006_400_000;

/// A row as `duckdb_rows.py` prints it, without the metric's id of a named series.
fn row(org: u64, series: &str, ms: i64, value: f64) -> String {
    format!("{org}\t{series}\t{ms}\t{:016x}", value.to_bits())
}

/// CSV of named series and of one that has only an id, and the rows that come of it.
fn points() -> (String, BTreeSet<String>) {
    let mut csv = "org,metric,timestamp,value,host\n".to_owned();
    let mut rows = BTreeSet::new();
    let mut rng = fastrand::Rng::with_seed(11);
    let odd = [
        -0.0,
        5e-324,
        f64::INFINITY,
        f64::NAN,
        f64::from_bits(0x7ff8_0000_0000_0123),
        f64::from_bits(0xfff8_0000_0000_0001),
    ];
    for (metric, host) in [("cpu", "a"), ("cpu", "b"), ("42", "")] {
        for number in 0..4000 {
            let value = match odd.get(usize::try_from(number % 200).unwrap()) {
                Some(odd) => *odd,
                None => f64::from(rng.i32(-9999..9999)) / 100.0,
            };
            let ms = START_MS + number * 20_000;
            let text = skein_shared::format::points_csv::value_text(value);
            writeln!(csv, "7,{metric},{ms},{text},{host}").unwrap();
            let series = match host {
                "" => metric.to_owned(),
                host => format!("{metric}{{host=\"{host}\"}}"),
            };
            rows.insert(row(7, &series, ms, value));
        }
    }
    (csv, rows)
}

/// A bucket with closed windows, rollups and one late point.
async fn compacted(directory: &Path, csv: &str) -> (DevStack, Skein) {
    let stack = DevStack::start(&DevStackOptions::new(directory.join("dev"))).unwrap();
    let skein = Skein::with_config(stack.config_file());
    let late = csv.lines().last().unwrap();
    let (head, _) = csv.split_once('\n').unwrap();
    let most = csv.trim_end().strip_suffix(late).unwrap();
    for text in [most.to_owned(), format!("{head}\n{late}\n")] {
        let file = directory.join("points.csv");
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let produced = skein
            .report(&["produce", "--topic", "points", "--csv", &file])
            .await;
        assert_eq!(produced["bad_rows"], 0, "{produced}");
        skein.report(&["connect", "--until-end"]).await;
        skein.report(&["compact", "run"]).await;
    }
    (stack, skein)
}

async fn export(skein: &Skein, resolution: &str, file: &Path) {
    let file = file.display().to_string();
    let arguments = ["export", "--org", "7", "--resolution", resolution];
    let arguments = [&arguments[..], &["--format", "parquet", "--out", &file]].concat();
    let ended = skein.run(&arguments).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "a file is written and nothing else");
}

fn duckdb_says(module: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/duckdb_rows.py");
    let output = Command::new("python3")
        .arg(script)
        .args(arguments)
        .env("PYTHONPATH", module)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_system_reads_every_value_of_an_export_bit_by_bit_and_makes_the_same_hours() {
    let module: PathBuf = match fetched::duckdb().await {
        Ok(module) => module,
        Err(unavailable) => return skipped::report("exports::duckdb", &unavailable),
    };
    let directory = tempfile::tempdir().unwrap();
    let (csv, expected) = points();
    let (_stack, skein) = compacted(directory.path(), &csv).await;
    let (points, hours) = ["points.parquet", "hours.parquet"]
        .map(|name| directory.path().join(name))
        .into();
    export(&skein, "raw", &points).await;
    export(&skein, "1h", &hours).await;
    let (points, hours) = (points.display().to_string(), hours.display().to_string());
    let found = duckdb_says(&module, &["points", &points]);
    let named = |line: &str| {
        let [org, metric, series, ms, bits] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let series = if series == "-" { metric } else { series };
        [org, series, ms, bits].join("\t")
    };
    assert_eq!(found.lines().count(), expected.len());
    let found: BTreeSet<String> = found.lines().map(named).collect();
    assert_eq!(found.symmetric_difference(&expected).next(), None);
    let compared = duckdb_says(&module, &["hours", &points, &hours]);
    // 4,000 points at 20 s are 22 hours and two minutes and more.
    assert_eq!(compared.trim(), "69 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_read_from_rollups_and_what_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (csv, _) = points();
    let (_stack, skein) = compacted(directory.path(), &csv).await;
    let read = ["read", "--org", "7", "--resolution", "1h", "--stats"];
    let json = [&read[..], &["--format", "json"]].concat();
    let last = skein.last_line(&json).await;
    let summary = &last["summary"];
    assert_eq!(summary["buckets"], 69, "{last}");
    assert_eq!(
        (&summary["from_rollups"], &summary["from_raw"]),
        (&68.into(), &1.into())
    );
    assert!(summary["stats"]["gets"].as_u64().unwrap() > 5, "{last}");
    let text = skein.run(&read).await;
    assert!(
        text.stderr
            .contains("buckets: 68 from rollups, 1 from raw points"),
        "{}",
        text.stderr
    );
    assert!(text.stderr.contains(" GET, "), "{}", text.stderr);

    let file = directory.path().join("taken.csv");
    std::fs::write(&file, "mine").unwrap();
    let taken = file.display().to_string();
    let export = ["export", "--org", "7", "--format", "csv", "--out", &taken];
    skein
        .run(&export)
        .await
        .refused(2, &["taken.csv", "already"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let no_day = [
        "--resolution",
        "1d",
        "--from",
        "2023-11-15T03:00:00Z",
        "--to",
        "2023-11-15T04:00:00Z",
    ];
    for command in [&["read", "--org", "7"][..], &export] {
        let ended = skein.run(&[command, &no_day].concat()).await;
        ended.refused(2, &["no bucket of 1d begins", "finer --resolution"]);
    }
    let unknown = skein.run(&["read", "--all", "--resolution", "2h"]).await;
    unknown.refused(2, &["2h", "5m"]);
}
