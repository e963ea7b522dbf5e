//! What a read says of itself when it is done.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;
use skein_reader::bucket_scan::BucketSummary;
use skein_reader::segment_scan::ScanSummary;
use skein_shared::bucket::{Operation, RequestCounts};
use skein_shared::window::Resolution;

use crate::failure::Failure;

/// What was read.
pub(super) enum Found {
    Points(ScanSummary),
    Buckets(BucketSummary, Resolution),
}

/// The summary, on stderr or as a stream's last line.
#[derive(Serialize)]
pub(super) struct Summary {
    #[serde(flatten)]
    found: FoundSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum FoundSummary {
    Points {
        points: u64,
        series: u64,
        digest: String,
        superseded: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        from_old: Option<u64>,
        segments: u64,
        requests: u64,
        received_bytes: u64,
    },
    Buckets {
        resolution: Resolution,
        buckets: u64,
        series: u64,
        digest: String,
        from_rollups: u64,
        from_raw: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        from_old: Option<u64>,
        rollups: u64,
        segments: u64,
        requests: u64,
        received_bytes: u64,
    },
}

/// All that the command asked of the bucket: manifests and names as well.
#[derive(Serialize)]
struct Stats {
    gets: u64,
    lists: u64,
    other_requests: u64,
    retries: u64,
    received_bytes: u64,
}

#[derive(Serialize)]
struct LastLine<'a> {
    summary: &'a Summary,
}

impl Summary {
    /// With the costs, if they are given.
    pub(super) fn new(found: &Found, costs: Option<&RequestCounts>) -> Self {
        let found = match found {
            Found::Points(found) => FoundSummary::Points {
                points: found.points,
                series: found.series,
                digest: found.digest.to_string(),
                superseded: found.superseded,
                from_old: (found.from_old > 0).then_some(found.from_old),
                segments: found.segments,
                requests: found.requests,
                received_bytes: found.received_bytes,
            },
            Found::Buckets(found, resolution) => FoundSummary::Buckets {
                resolution: *resolution,
                buckets: found.buckets(),
                series: found.series,
                digest: found.digest.to_string(),
                from_rollups: found.from_rollups,
                from_raw: found.from_raw,
                from_old: (found.from_old > 0).then_some(found.from_old),
                rollups: found.rollups,
                segments: found.segments,
                requests: found.requests,
                received_bytes: found.received_bytes,
            },
        };
        let stats = costs.map(|counts| {
            let (gets, lists) = (counts.of(Operation::Get), counts.of(Operation::List));
            Stats {
                gets,
                lists,
                other_requests: counts.reads() + counts.writes() - gets - lists,
                retries: counts.retried(),
                received_bytes: counts.received_bytes,
            }
        });
        Self { found, stats }
    }

    /// Ends a stream of JSON lines.
    pub(super) fn as_last_line(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &LastLine { summary: self })?;
        Ok(writeln!(out)?)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            FoundSummary::Points {
                points,
                series,
                digest,
                segments,
                requests,
                received_bytes,
                ..
            } => writeln!(
                f,
                "{points} points of {series} series, digest {digest}; \
                 {segments} segments, {requests} requests, {received_bytes} bytes"
            ),
            FoundSummary::Buckets {
                resolution,
                buckets,
                series,
                digest,
                rollups,
                segments,
                requests,
                received_bytes,
                ..
            } => writeln!(
                f,
                "{buckets} buckets of {resolution} of {series} series, digest {digest}; \
                 {rollups} rollups, {segments} segments, {requests} requests, {received_bytes} bytes"
            ),
        }?;
        let (FoundSummary::Points { from_old, .. } | FoundSummary::Buckets { from_old, .. }) =
            &self.found;
        if let Some(from_old) = from_old {
            writeln!(f, "points of the old pipeline: {from_old}")?;
        }
        let Some(stats) = &self.stats else {
            return Ok(());
        };
        if let FoundSummary::Buckets {
            from_rollups,
            from_raw,
            ..
        } = &self.found
        {
            writeln!(
                f,
                "buckets: {from_rollups} from rollups, {from_raw} from raw points"
            )?;
        }
        let Stats {
            gets,
            lists,
            other_requests,
            retries,
            received_bytes,
        } = stats;
        writeln!(
            f,
            "requests: {gets} GET, {lists} LIST, {other_requests} others, {retries} retries; \
             {received_bytes} bytes received, manifests and names included"
        )
    }
}
