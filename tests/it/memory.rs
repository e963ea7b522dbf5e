//! The memory promise in a process of its own, limited by the kernel where that may be had: a short form of
//! `skein loadtest memory`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use skein_local::skipped;
use skein_local::unavailable::Unavailable;
use skein_shared::units::ByteCount;
use tokio::time::{sleep, timeout};

use crate::skein::Skein;

const LOOK: Duration = Duration::from_millis(50);

/// Runs the scenarios; gives what they measured.
async fn measured(arguments: &[&str]) -> Vec<Value> {
    let skein = Skein::default().within(Duration::from_mins(5));
    let short = [
        "loadtest",
        "memory",
        "--session",
        "2 s",
        "--stall",
        "3 s",
        // What is read before the bucket stalls is not enough to prove anything.
        "--budgets-of-records",
        "4",
    ];
    let report = skein.report(&[&short, arguments].concat()).await;
    report.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_within_the_budget_while_the_bucket_does_not_answer() {
    let few = ["--partitions", "1", "--shards", "70", "--skew", "even"];
    let many = [
        "--partitions",
        "2000",
        "--shards",
        "70",
        "--skew",
        "hot-partition",
    ];
    for arguments in [few, many] {
        for one in measured(&arguments).await {
            assert_eq!(one["broken_promises"], serde_json::json!([]), "{one}");
            assert!(one["stalled_ms"].as_u64() >= Some(3000), "{one}");
        }
    }
}

/// What `config check` says of settings.
async fn checked(skein: &Skein, key: &str) -> ByteCount {
    let report = skein.report(&["config", "check"]).await;
    report[key].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_the_smallest_budget_that_a_check_lets_pass_takes_no_more_than_it_tells() {
    let routed = Skein::default().set("shards.modulus=999");
    let floor = checked(&routed, "connector_memory_floor").await;
    let budget = |bytes: u64| routed.set(&format!("connector.memory_budget=\"{bytes} B\""));
    let ended = budget(floor.0 - 1).run(&["config", "check"]).await;
    ended.refused(2, &["connector.memory_budget"]);
    let limit = checked(&budget(floor.0), "connector_resident_limit").await;
    let floor = floor.to_string();
    let scenario = [
        "--partitions",
        "1",
        "--shards",
        "999",
        "--skew",
        "even",
        "--budget",
        &floor,
    ];
    for one in measured(&scenario).await {
        assert_eq!(one["broken_promises"], serde_json::json!([]), "{one}");
        assert_eq!(one["promised_bytes"].as_u64(), Some(limit.0));
        assert!(one["last"]["peak_bytes"].as_u64() <= Some(limit.0), "{one}");
    }
}

/// The processes that a process has started.
fn children_of(parent: u32) -> Vec<PathBuf> {
    let is_child = |process: &Path| {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        // The name before it may hold anything but this.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.map(|entry| entry.path());
    processes.filter(|process| is_child(process)).collect()
}

/// The control groups that a process has made.
fn cages_of(process: u32) -> Vec<PathBuf> {
    let name = format!("skein-memory-{process}-");
    let places = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok());
    let cages = entries.flat_map(Iterator::flatten);
    let cages = cages.filter(|entry| entry.file_name().to_string_lossy().starts_with(&name));
    cages.map(|entry| entry.path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_test_that_is_killed_takes_its_worker_along_and_the_next_one_its_cage() {
    let arguments = [
        "loadtest",
        "memory",
        "--partitions",
        "1",
        "--shards",
        "1",
        "--skew",
        "even",
        "--stall",
        "60 s",
    ];
    let running = Skein::default().start(&arguments, None);
    let process = running.process_id();
    let started = async {
        while children_of(process).is_empty() {
            sleep(LOOK).await;
        }
    };
    timeout(Duration::from_secs(30), started).await.unwrap();
    let workers = children_of(process);
    let caged = !cages_of(process).is_empty();
    running.kill().await;
    let gone = async {
        while workers.iter().any(|worker| worker.exists()) {
            sleep(LOOK).await;
        }
    };
    timeout(Duration::from_secs(30), gone)
        .await
        .expect("the worker ends by itself");
    if !caged {
        let reason = Unavailable::because("no control group may be made here");
        return skipped::report("a_load_test_that_is_killed", &reason);
    }
    measured(&["--partitions", "1", "--shards", "1", "--skew", "even"]).await;
    assert_eq!(cages_of(process), Vec::<PathBuf>::new());
}
