//! What is logged and counted, one function for each event.

use metrics::counter;
use skein_shared::format::points_csv::BadRow;
use skein_shared::ids::TopicName;

pub(crate) fn produced(topic: &TopicName, records: u64, points: u64, bad_rows: u64) {
    counter!("skein_loadtest_records_total").increment(records);
    counter!("skein_loadtest_points_total").increment(points);
    tracing::info!(
        %topic,
        records, points, bad_rows, "produced"
    );
}

pub(crate) fn delivery_failed(reason: &str) {
    counter!("skein_loadtest_delivery_failures_total").increment(1);
    tracing::error!(reason, "a record was not delivered");
}

pub(crate) fn bad_row(row: &BadRow) {
    counter!("skein_loadtest_bad_rows_total").increment(1);
    tracing::debug!(line = row.line, reason = row.reason, "left out a row");
}
