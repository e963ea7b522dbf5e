//! What the demo came to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::demo::progress::Stage;
use crate::generator::Kind;

/// What the demo came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DemoReport {
    /// Points that had to be there, each `(org, metric, timestamp)` once.
    pub points: u64,
    /// Points read back.
    pub points_read: u64,
    /// Series.
    pub series: u64,
    /// Orgs.
    pub orgs: u32,
    /// Records sent.
    pub records: u64,
    /// Points sent; duplicates count.
    pub points_sent: u64,
    /// Points that were sent again, or corrected, and merged into one.
    pub duplicates: u64,
    /// Bytes of the payloads.
    pub payload_bytes: u64,
    /// What each stage took, in their order.
    pub stages: Vec<StageReport>,
    /// State objects.
    pub state_objects: u64,
    /// Their bytes.
    pub state_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Bytes of segment for each point, by kind of series: measured on the orgs that have one kind only.
    pub bytes_per_point: BTreeMap<Kind, f64>,
    /// Requests to the bucket that write.
    pub write_requests: u64,
    /// Requests to the bucket that read.
    pub read_requests: u64,
    /// Records in quarantine that had to be there, by reason.
    pub quarantined: BTreeMap<&'static str, u64>,
    /// Most memory that the process ever had resident, the embedded services included.
    pub peak_memory_bytes: Option<u64>,
    /// Where everything lies.
    pub directory: PathBuf,
    /// How many findings there are.
    pub finding_count: u64,
    /// The first of them; empty when all is well.
    pub findings: Vec<Finding>,
}

/// What a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StageReport {
    /// Which.
    pub stage: Stage,
    /// Wall time.
    pub seconds: f64,
    /// Points of the demo for each second of it.
    pub points_per_second: f64,
}

/// Something that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What found it.
    pub stage: Stage,
    /// Where it is, and what is wrong.
    pub what: String,
}

impl DemoReport {
    /// How many findings are kept; all are counted.
    pub const KEPT: usize = 20;

    /// Bytes of all segments for each point.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio for people needs no more than 53 bits"
    )]
    pub fn overall_bytes_per_point(&self) -> f64 {
        self.segment_bytes as f64 / self.points.max(1) as f64
    }

    pub(super) fn find(&mut self, stage: Stage, what: impl Into<String>) {
        self.finding_count += 1;
        if self.findings.len() < Self::KEPT {
            let what = what.into();
            self.findings.push(Finding { stage, what });
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.what)
    }
}
