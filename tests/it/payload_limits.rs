//! Payloads over each limit: kept in quarantine with the reason, and in nobody's way.

use std::fmt::Write as _;

use serde_json::{Value, json};
use skein_local::dev_stack::{DevStack, DevStackOptions};

use crate::skein::Skein;

/// One org that passes a limit and one that does not, each in one payload.
struct Round {
    /// What is set for the role that refuses.
    limit: &'static str,
    /// What is said of it: the name in the connector's report, or words in the compactor's list.
    reason: &'static str,
    rows: fn(u64, &mut String),
}

fn numbered(org: u64, points: i64, csv: &mut String) {
    for point in 0..points {
        writeln!(csv, "{org},42,{},{point}", 1_700_000_000_000 + point).unwrap();
    }
}

fn named(org: u64, csv: &mut String) {
    writeln!(csv, "{org},some_long_name,1700000000000,1").unwrap();
}

const ROUNDS: [Round; 5] = [
    Round {
        limit: "limits.payload_bytes=\"1 KiB\"",
        reason: "payload-bytes",
        rows: |org, csv| numbered(org, 500, csv),
    },
    Round {
        limit: "limits.points=10",
        reason: "11 points, 10 allowed",
        rows: |org, csv| numbered(org, 11, csv),
    },
    Round {
        limit: "limits.metadata_entries=0",
        reason: "1 metadata entries, 0 allowed",
        rows: named,
    },
    Round {
        limit: "limits.metadata_bytes=\"16 B\"",
        reason: "16 allowed",
        rows: named,
    },
    Round {
        limit: "limits.timestamp_past=\"7 d\"",
        reason: "too far before",
        rows: |org, csv| writeln!(csv, "{org},42,1700000000000,1").unwrap(),
    },
];

/// The last row of each round: an org that is within every limit.
fn harmless(org: u64, csv: &mut String) {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    writeln!(csv, "{org},42,{},1", now.as_millis()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_over_a_limit_is_kept_with_its_reason_and_blocks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
    let skein = Skein::with_config(stack.config_file());
    for (number, round) in (0_u64..).zip(&ROUNDS) {
        let (over, within) = (10 + 2 * number, 11 + 2 * number);
        let mut csv = "org,metric,timestamp,value\n".to_owned();
        (round.rows)(over, &mut csv);
        harmless(within, &mut csv);
        let produce = ["produce", "--topic", "points", "--csv", "-"];
        let produced = skein.input(csv.as_bytes()).report(&produce).await;
        assert_eq!(produced["records"], 2, "{produced}");
        let limited = skein.set(round.limit);
        if round.reason == "payload-bytes" {
            let report = limited.report(&["connect", "--until-end"]).await;
            assert_eq!(report["quarantined_records"], json!({ round.reason: 1 }));
            skein.report(&["compact", "run"]).await;
        } else {
            skein.report(&["connect", "--until-end"]).await;
            let compacted = limited.run(&["compact", "run"]).await;
            assert_eq!(compacted.code, Some(0), "{}", compacted.stderr);
            check_list(&skein, &compacted.stderr, round.reason).await;
        }
        assert_eq!(points_of(&skein, over).await, 0, "{}", round.reason);
        assert_eq!(points_of(&skein, within).await, 1, "{}", round.reason);
        // With today's limits, which are others.
        let verified = skein.report(&["verify"]).await;
        assert_eq!(verified["findings"], json!([]), "{verified}");
    }
    let listing = skein.report(&["ls"]).await;
    let quarantine = &listing["quarantine"];
    assert_eq!(quarantine["unroutable_records"], 1, "{quarantine}");
    assert_eq!(quarantine["undecodable_records"], 4, "{quarantine}");
}

async fn points_of(skein: &Skein, org: u64) -> u64 {
    let org = org.to_string();
    let summary = skein
        .last_line(&["read", "--org", &org, "--format", "json"])
        .await;
    summary["summary"]["points"].as_u64().unwrap()
}

/// The log names the list of what was refused; the list names the reason and one record.
async fn check_list(skein: &Skein, log: &str, reason: &str) {
    let words = log.split(|letter: char| letter.is_whitespace() || "\"=".contains(letter));
    let keys: Vec<&str> = words.filter(|word| word.contains("/quarantine/")).collect();
    assert_eq!(keys.len(), 1, "{log}");
    let shown = skein.run(&["cat", keys[0]]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let list: Value = serde_json::from_str(&shown.stdout).unwrap();
    let records = list["records"].as_array().unwrap();
    assert_eq!(records.len(), 1, "{list}");
    assert!(shown.stdout.contains(reason), "{list}");
}
