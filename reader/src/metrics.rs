//! What a read tells the operator.

use metrics::counter;
use tracing::{debug, info};

/// A segment was opened.
pub(crate) fn segment_opened(key: &str, points: u64) {
    counter!("skein_reader_segments_opened_total").increment(1);
    debug!(key, points, "opened segment");
}

/// A scan has come to its end.
pub(crate) fn scan_finished(
    points: u64,
    series: u64,
    superseded: u64,
    requests: u64,
    received_bytes: u64,
) {
    counter!("skein_reader_points_total").increment(points);
    counter!("skein_reader_series_total").increment(series);
    info!(
        points,
        series, superseded, requests, received_bytes, "read points"
    );
}
