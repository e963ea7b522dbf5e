//! Rows of points, whatever file they come from, grouped into payloads.

use std::collections::BTreeMap;

use skein_shared::format::digest::ContentDigest;
use skein_shared::format::points_csv::{BadRow, Metric, PointRow};
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::payload::{Limits, Payload, Refusal};
use skein_shared::series::SERIES_METADATA_KEY;
use skein_shared::window::TimestampMs;

use crate::error::Result;
use crate::generator::OutgoingRecord;
use crate::metrics;
use crate::producer::report::BadRows;
use crate::producer::sender::Sender;

/// A series is sent when so many of its points are waiting.
const PAYLOAD_POINTS: usize = 1000;
/// Everything is sent when so many points of all series are waiting.
const WAITING_POINTS: usize = 1_000_000;

pub(super) struct Rows {
    limits: Limits,
    now: TimestampMs,
    waiting: BTreeMap<(OrgId, Metric), Payload>,
    waiting_points: usize,
    bad: BadRows,
    digest: ContentDigest,
    record: OutgoingRecord,
}

impl Rows {
    pub(super) fn new(limits: Limits, now: TimestampMs) -> Self {
        Self {
            limits,
            now,
            waiting: BTreeMap::new(),
            waiting_points: 0,
            bad: BadRows::default(),
            digest: ContentDigest::EMPTY,
            record: OutgoingRecord::default(),
        }
    }

    pub(super) fn push(
        &mut self,
        row: std::result::Result<PointRow, BadRow>,
        sender: &mut Sender<'_>,
    ) -> Result<()> {
        match row {
            Ok(row) => match self.check(&row) {
                Ok(()) => return self.push_row(row, sender),
                Err(refusal) => self.refuse(BadRow {
                    line: row.line,
                    reason: refusal.to_string(),
                }),
            },
            Err(bad) => self.refuse(bad),
        }
        Ok(())
    }

    /// Sends what is waiting; gives the rows left out and the digest of those sent.
    pub(super) fn finish(mut self, sender: &mut Sender<'_>) -> Result<(BadRows, ContentDigest)> {
        self.send_all(sender)?;
        Ok((self.bad, self.digest))
    }

    /// What a compactor would refuse is a bad row here, where someone can still mend it.
    fn check(&self, row: &PointRow) -> std::result::Result<(), Refusal> {
        let text_bytes = match &row.metric {
            Metric::Id(_) => return self.check_time(row),
            Metric::Named(series) => SERIES_METADATA_KEY.len() + series.to_string().len(),
        };
        self.limits.check_metadata(1, text_bytes)?;
        self.check_time(row)
    }

    fn check_time(&self, row: &PointRow) -> std::result::Result<(), Refusal> {
        self.limits
            .check_times(row.timestamp, row.timestamp, Some(self.now))
    }

    fn refuse(&mut self, bad: BadRow) {
        metrics::bad_row(&bad);
        self.bad.push(bad);
    }

    fn push_row(&mut self, row: PointRow, sender: &mut Sender<'_>) -> Result<()> {
        let payload = self
            .waiting
            .entry((row.org, row.metric))
            .or_insert_with_key(|(org, metric)| empty_payload(*org, metric));
        let series = SeriesKey {
            org: payload.org,
            metric: payload.metric,
        };
        payload.timestamps.push(row.timestamp);
        payload.values.push(row.value);
        self.digest.add_point(series, row.timestamp.0, row.value);
        self.waiting_points += 1;
        if payload.values.len() >= PAYLOAD_POINTS {
            self.waiting_points -= payload.values.len();
            send(payload, self.now, &mut self.record, sender)?;
        }
        if self.waiting_points >= WAITING_POINTS {
            self.send_all(sender)?;
        }
        Ok(())
    }

    fn send_all(&mut self, sender: &mut Sender<'_>) -> Result<()> {
        self.waiting_points = 0;
        for mut payload in std::mem::take(&mut self.waiting).into_values() {
            if !payload.values.is_empty() {
                send(&mut payload, self.now, &mut self.record, sender)?;
            }
        }
        Ok(())
    }
}

/// Sends the payload's points and empties it.
fn send(
    payload: &mut Payload,
    now: TimestampMs,
    record: &mut OutgoingRecord,
    sender: &mut Sender<'_>,
) -> Result<()> {
    record.set_payload(payload);
    record.timestamp = now;
    record.org_header = Some(payload.org.to_string());
    payload.timestamps.clear();
    payload.values.clear();
    sender.send(record)
}

fn empty_payload(org: OrgId, metric: &Metric) -> Payload {
    let metadata = match metric {
        Metric::Id(_) => Vec::new(),
        Metric::Named(series) => vec![(SERIES_METADATA_KEY.to_owned(), series.to_string())],
    };
    Payload {
        org,
        metric: metric.id(),
        metadata,
        ..Payload::default()
    }
}
