//! A series of an old system.

use std::collections::BTreeMap;

use skein_shared::ids::SeriesKey;
use skein_shared::window::{TimeSpan, TimestampMs, Window};

/// A series that an old system has points of, and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSeries {
    /// Which.
    pub key: SeriesKey,
    /// What the record said of it that was written last: under `skein.series` the text that names it.
    pub metadata: BTreeMap<String, String>,
    /// No point of it lies outside; the spans may overlap, and hold more.
    pub times: Vec<TimeSpan>,
}

/// The windows of ascending times, neighbours as one.
pub(crate) fn windows_of(timestamps_ms: &[i64]) -> Vec<TimeSpan> {
    let mut spans: Vec<TimeSpan> = Vec::new();
    let mut rest = timestamps_ms;
    while let Some(first) = rest.first() {
        let own = Window::of(TimestampMs(*first)).span();
        match spans.last_mut() {
            Some(last) if last.to == own.from => last.to = own.to,
            Some(_) | None => spans.push(own),
        }
        // The last instant of all lies in no span.
        let inside = rest.partition_point(|ms| *ms < own.to.0).max(1);
        rest = &rest[inside..];
    }
    spans
}
