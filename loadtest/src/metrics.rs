//! What is logged and counted, one function for each event.

use metrics::counter;
use skein_shared::format::points_csv::BadRow;

use crate::producer::ProduceReport;

pub(crate) fn produced(report: &ProduceReport) {
    counter!("skein_loadtest_records_total").increment(report.records);
    counter!("skein_loadtest_points_total").increment(report.points);
    tracing::info!(
        topic = %report.topic,
        records = report.records,
        points = report.points,
        bad_rows = report.bad_rows.count,
        "produced"
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
