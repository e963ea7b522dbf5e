//! The memory promise in a process of its own, limited by the kernel where that may be had: a short form of
//! `skein loadtest memory`.

use std::time::Duration;

use serde_json::Value;

use crate::skein::Skein;

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
        "--budgets-of-records",
        "2",
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
