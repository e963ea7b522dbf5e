//! Rows of CSV through Kafka, state and segments, and out again, bit for bit.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use skein_local::Unavailable;
use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_local::skipped;

use crate::real_services::RealServices;
use crate::skein::Skein;

/// One point: org, metric, tags that are present, timestamp, the value's bits.
type Row = (String, String, Vec<(String, String)>, String, u64);

/// Everything that a CSV of points says, whatever the order of its rows and columns.
fn rows(csv: &str) -> BTreeSet<Row> {
    let mut lines = csv.lines().map(fields);
    let header = lines.next().unwrap();
    assert_eq!(header[..4], ["org", "metric", "timestamp", "value"]);
    let mut rows = BTreeSet::new();
    for fields in lines {
        let tags = header.iter().zip(&fields).skip(4);
        let mut tags: Vec<_> = tags
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        tags.sort();
        let [org, metric, timestamp, value] = [0, 1, 2, 3].map(|at: usize| fields[at].clone());
        assert!(
            rows.insert((org, metric, tags, timestamp, bits(&value))),
            "a row comes twice"
        );
    }
    rows
}

fn bits(value: &str) -> u64 {
    match value.strip_prefix("nan:0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => value.parse::<f64>().unwrap().to_bits(),
    }
}

/// Splits one line at its commas, outside of quotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}

fn fixture() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prometheus.csv");
    path.display().to_string()
}

/// Produces `file`, takes it all the way, and gives what is read back.
async fn through(skein: &Skein, file: &str) -> String {
    let produced = skein
        .report(&["produce", "--topic", "points", "--csv", file])
        .await;
    assert_eq!(produced["bad_rows"], 0, "{produced}");
    skein.report(&["connect", "--until-end"]).await;
    skein.report(&["compact", "run"]).await;
    let verified = skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], serde_json::json!([]), "{verified}");
    let read = skein.run(&["read", "--all", "--format", "csv"]).await;
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    read.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_scrape_comes_back_bit_for_bit_from_the_embedded_services() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
    let skein = Skein::with_config(stack.config_file());
    let read = through(&skein, &fixture()).await;
    let expected = rows(&std::fs::read_to_string(fixture()).unwrap());
    assert!(rows(&read) == expected, "the points differ");
    kcat_sees_the_topic(stack.broker().bootstrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_scrape_comes_back_bit_for_bit_from_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let bucket = directory.path().join("bucket");
    let skein = Skein::with_config(stack.config_file()).keeping_in(&bucket);
    let read = through(&skein, &fixture()).await;
    let expected = rows(&std::fs::read_to_string(fixture()).unwrap());
    assert!(rows(&read) == expected, "the points differ");
    let file = directory.path().join("verify.journal");
    let resuming = ["verify", "--resume", file.to_str().unwrap()];
    let first = skein.report(&resuming).await;
    let again = skein.report(&resuming).await;
    let (read, before) = (&first["checked"], &again["checked_before"]);
    let objects = ["state_objects", "segments", "rollups"];
    let objects = objects.iter().map(|it| read[it].as_u64().unwrap());
    assert_eq!(before["objects"], objects.sum::<u64>(), "{again}");
    let elsewhere = Skein::with_config(stack.config_file());
    let elsewhere = elsewhere.keeping_in(&directory.path().join("other"));
    elsewhere
        .run(&resuming)
        .await
        .refused(2, &["verify.journal", "name another file"]);
    let collected = skein.report(&["compact", "gc"]).await;
    assert_eq!(collected["objects"], 0, "{collected}");
    let rebuilt = skein.report(&["compact", "rebuild", "--dry-run"]).await;
    let windows = rebuilt.as_array().unwrap();
    assert!(!windows.is_empty(), "{rebuilt}");
    assert!(
        windows.iter().all(|row| row["found"] == "same"),
        "{rebuilt}"
    );
    let config = skein.run(&["config", "check"]).await;
    assert_eq!(config.code, Some(0), "{}", config.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_scrape_comes_back_bit_for_bit_from_real_servers() {
    let Some(services) = RealServices::start("csv_round_trip", "").await else {
        return;
    };
    services.kafka.create_topic("points", 8).await.unwrap();
    let read = through(&services.skein(), &fixture()).await;
    let expected = rows(&std::fs::read_to_string(fixture()).unwrap());
    assert!(rows(&read) == expected, "the points differ");
    kcat_sees_the_topic(services.kafka.bootstrap());
}

/// What was read can be produced again, and comes to the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_float_survives_being_read_and_produced_again() {
    const CSV: &str = "org,metric,timestamp,value,host\n\
        7,cpu,1700000000000,-0,a\n\
        7,cpu,1700000001000,5e-324,a\n\
        7,cpu,1700000002000,inf,a\n\
        7,cpu,1700000003000,nan:0x7ff8000000000123,a\n\
        7,cpu,1700000000000,0.1,\n\
        8,42,1700000000000,1e308,\n";
    let mut read = CSV.to_owned();
    for _ in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("points.csv");
        std::fs::write(&place, &read).unwrap();
        let options = DevStackOptions::new(directory.path().join("stack"));
        let stack = DevStack::start(&options).unwrap();
        let skein = Skein::with_config(stack.config_file());
        read = through(&skein, &place.display().to_string()).await;
        assert_eq!(rows(&read), rows(CSV));
    }
}

/// A client that nobody here wrote, where it is installed.
fn kcat_sees_the_topic(bootstrap: &str) {
    match Command::new("kcat")
        .args(["-b", bootstrap, "-L", "-t", "points"])
        .output()
    {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("topic \"points\""), "{text}");
        }
        Err(error) => {
            let reason = format!("`kcat` cannot be run: {error}");
            skipped::report("csv_round_trip::kcat", &Unavailable::because(reason));
        }
    }
}
