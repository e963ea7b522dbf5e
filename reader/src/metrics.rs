//! What a read tells the operator.

use metrics::counter;
use tracing::{debug, info};

use crate::segment_scan::ScanSummary;

/// A segment was opened.
pub(crate) fn segment_opened(key: &str, points: u64) {
    counter!("skein_reader_segments_opened_total").increment(1);
    debug!(key, points, "opened segment");
}

/// A scan has come to its end.
pub(crate) fn scan_finished(summary: &ScanSummary) {
    counter!("skein_reader_points_total").increment(summary.points);
    counter!("skein_reader_series_total").increment(summary.series);
    info!(
        points = summary.points,
        series = summary.series,
        superseded = summary.superseded,
        requests = summary.requests,
        received_bytes = summary.received_bytes,
        "read points"
    );
}
