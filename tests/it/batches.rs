//! Batches of generated points: what they are made of, and what they add up to.

use std::time::Duration;

use serde_json::Value;
use skein_shared::format::digest::ContentDigest;
use tokio::time::{Instant, sleep};

use crate::skein::Skein;

const SERIES: u64 = 2000;
/// A batch of 150 points of 15 s each lies within it.
const SPAN_MS: i64 = 3_600_000;
const FIRST_START_MS: i64 = 1_704_132_000_000;

/// Everything that was sent so far.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) records: u64,
    points: u64,
    digest: ContentDigest,
}

impl Sent {
    pub(crate) const NOTHING: Self = Self {
        records: 0,
        points: 0,
        digest: ContentDigest::EMPTY,
    };

    /// Adds what `produce` reports.
    pub(crate) fn count(&mut self, report: &str) {
        let report: Value = serde_json::from_str(report).unwrap();
        self.records += report["records"].as_u64().unwrap();
        self.points += report["expected"]["points"].as_u64().unwrap();
        let digest = report["expected"]["digest"].as_str().unwrap();
        self.digest.add(digest.parse().unwrap());
    }

    /// Waits until all of it is durable; at no moment may the bucket hold a fault, or more than was sent.
    pub(crate) async fn until_durable(&self, skein: &Skein, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.is_durable(skein).await.is_none() {
            assert!(Instant::now() < deadline, "not durable within {patience:?}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether all of it is; the bucket holds no fault.
    pub(crate) async fn is_durable(&self, skein: &Skein) -> Option<()> {
        let verified = skein.report(&["verify"]).await;
        assert_eq!(verified["findings"], serde_json::json!([]), "{verified}");
        let records = verified["checked"]["records"].as_u64().unwrap();
        assert!(records <= self.records, "{verified}");
        (records == self.records).then_some(())
    }

    /// Makes segments, and compares every point that they hold with what was sent.
    pub(crate) async fn compare_points(&self, skein: &Skein) {
        skein.report(&["compact", "run"]).await;
        let read = skein
            .last_line(&["read", "--all", "--format", "json"])
            .await;
        let (points, digest) = (&read["summary"]["points"], &read["summary"]["digest"]);
        assert_eq!(*points, self.points, "{read}");
        assert_eq!(*digest, self.digest.to_string().as_str(), "{read}");
    }
}

/// How to produce the batch of a number, which has values and times of its own.
pub(crate) fn arguments_of(number: u64, points: u64) -> Vec<String> {
    let start = FIRST_START_MS + SPAN_MS * i64::try_from(number).unwrap();
    let numbers = [
        ("--orgs", "12".to_owned()),
        ("--series", SERIES.to_string()),
        ("--points", points.to_string()),
        ("--seed", number.to_string()),
        ("--start", start.to_string()),
        ("--late", "20".to_owned()),
        ("--duplicates", "20".to_owned()),
        ("--payload-points", "20".to_owned()),
    ];
    let mut arguments = ["produce", "--topic", "points", "--format", "json"]
        .map(str::to_owned)
        .to_vec();
    for (flag, number) in numbers {
        arguments.extend([flag.to_owned(), number]);
    }
    arguments
}

pub(crate) fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}
