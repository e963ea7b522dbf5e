//! What a read tells the operator.

use std::time::Duration;

use metrics::{counter, gauge};
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::window::TimeSpan;
use tracing::{debug, error, info, warn};

use crate::error::Error;

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

/// Which pipeline's reads are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MirrorVariant {
    /// Whoever is visible.
    Visible,
    /// The new one.
    New,
}

/// Bounds of a read, in seconds, and what Prometheus calls them.
const READ_BOUNDS: [(f64, &str); 9] = [
    (0.001, "0.001"),
    (0.005, "0.005"),
    (0.02, "0.02"),
    (0.1, "0.1"),
    (0.5, "0.5"),
    (2.0, "2"),
    (10.0, "10"),
    (60.0, "60"),
    (f64::INFINITY, "+Inf"),
];

/// A series was compared on both pipelines; `differences` are rows by their kind.
pub(crate) fn mirrored(key: SeriesKey, alike: u64, differences: &[(&'static str, u64)]) {
    counter!("skein_reader_mirrored_series_total").increment(1);
    counter!("skein_reader_mirrored_rows_total", "found" => "alike").increment(alike);
    for (kind, rows) in differences {
        counter!("skein_reader_mirrored_rows_total", "found" => *kind).increment(*rows);
    }
    if differences.iter().any(|(_, rows)| *rows > 0) {
        let (org, metric) = (key.org, key.metric);
        warn!(%org, %metric, ?differences, "the new pipeline would have answered otherwise");
    }
}

/// A series differed, and no more when both pipelines were read again.
pub(crate) fn mirror_resolved() {
    counter!("skein_reader_mirror_resolved_series_total").increment(1);
}

/// There was no room to compare series.
pub(crate) fn mirror_dropped(series: usize) {
    counter!("skein_reader_mirror_dropped_series_total").increment(series as u64);
    debug!(series, "too many reads to compare: these are not");
}

/// A read could not be compared.
pub(crate) fn mirror_failed(error: &Error) {
    counter!("skein_reader_failed_mirrors_total").increment(1);
    warn!(%error, "a read could not be compared; its answer was given");
}

/// A read of one series took so long.
pub(crate) fn mirror_timed(variant: MirrorVariant, elapsed: Duration) {
    let variant = match variant {
        MirrorVariant::Visible => "visible",
        MirrorVariant::New => "new",
    };
    let seconds = elapsed.as_secs_f64();
    gauge!("skein_reader_mirror_seconds_sum", "variant" => variant).increment(seconds);
    counter!("skein_reader_mirror_seconds_count", "variant" => variant).increment(1);
    for (bound, le) in READ_BOUNDS {
        let bucket =
            counter!("skein_reader_mirror_seconds_bucket", "variant" => variant, "le" => le);
        bucket.increment(u64::from(seconds <= bound));
    }
}

/// A read that found nothing found nothing in the old pipeline either.
pub(crate) fn not_found_in_old() {
    counter!("skein_reader_dual_lookups_total", "found" => "no").increment(1);
}

/// A read found nothing where the old pipeline has something.
pub(crate) fn found_in_old(org: OrgId, metric: Option<MetricId>, span: TimeSpan) {
    counter!("skein_reader_dual_lookups_total", "found" => "yes").increment(1);
    let (from, to) = (span.from, span.to);
    warn!(%org, ?metric, %from, %to, "nothing was found where the old pipeline has points");
}

/// A page was given.
pub(crate) fn page_given(form: &'static str, rows: usize, bytes: usize) {
    counter!("skein_reader_pages_total", "form" => form).increment(1);
    counter!("skein_reader_page_rows_total").increment(rows as u64);
    counter!("skein_reader_page_bytes_total").increment(bytes as u64);
}

/// A request was answered with this status, which is not 200.
pub(crate) fn request_refused(status: u16) {
    let status = status.to_string();
    counter!("skein_reader_refused_requests_total", "status" => status).increment(1);
}

/// A request failed, for a reason that is ours.
pub(crate) fn request_failed(error: &Error) {
    error!(%error, "a request failed");
}
