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

/// A scan of buckets has come to its end.
pub(crate) fn bucket_scan_finished(
    from_rollups: u64,
    from_raw: u64,
    requests: u64,
    received_bytes: u64,
) {
    counter!("skein_reader_buckets_total", "from" => "rollups").increment(from_rollups);
    counter!("skein_reader_buckets_total", "from" => "raw").increment(from_raw);
    info!(
        from_rollups,
        from_raw, requests, received_bytes, "read buckets"
    );
}
