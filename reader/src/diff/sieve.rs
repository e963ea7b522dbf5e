//! Takes out of a series what is not compared: rows that are one side's alone, that a record may have touched which only
//! one side has read, or that were deleted.

use std::collections::BTreeMap;

use skein_shared::format::delete_entry::DeleteSelector;
use skein_shared::ids::SeriesKey;
use skein_shared::timeline::Pipeline;
use skein_shared::window::{Resolution, TimestampMs, Window};

use crate::diff::discrepancy::{Class, Difference, Hand, Kind, Near, cells_text};
use crate::diff::input_proof::Touched;
use crate::diff::ownership::{Ownership, Standing, covered};
use crate::diff::side::SideSeries;

/// How far from an edge a difference counts as near to it.
const NEAR_MS: u64 = 60_000;

/// What decides about the rows of one window of an org.
#[derive(Debug)]
pub(super) struct Sieve<'a> {
    pub(super) window: Window,
    pub(super) resolution: Resolution,
    pub(super) ownership: &'a Ownership,
    /// Of the left and the right side.
    pub(super) pipelines: (Pipeline, Pipeline),
    pub(super) touched: Option<&'a Touched>,
    /// Of the org.
    pub(super) deletes: &'a [DeleteSelector],
    /// Which shard holds the window.
    pub(super) shard: String,
}

/// What was taken out of a series.
#[derive(Debug, Default)]
pub(super) struct Sieved {
    /// Rows of times that the side does not write, with their cells.
    pub(super) wrong_owner: Vec<(i64, String)>,
    /// Rows that are the side's alone.
    pub(super) one_sided: u64,
    /// Rows that were deleted.
    pub(super) deleted: u64,
}

impl Sieve<'_> {
    /// Leaves the rows of `series` that the other side has to have as well.
    pub(super) fn apply(&self, hand: Hand, series: &mut SideSeries) -> Sieved {
        let mut sieved = Sieved::default();
        let (side, other) = match hand {
            Hand::Left => self.pipelines,
            Hand::Right => (self.pipelines.1, self.pipelines.0),
        };
        let times = self.touched.map_or(&[][..], |it| it.times(series.key));
        let deletes = self.deletes_of(series.key);
        let is_plain = self.ownership.is_plain(side, other);
        if is_plain && times.is_empty() && deletes.is_empty() {
            return sieved;
        }
        let mut verdicts = Vec::with_capacity(series.rows.len());
        for (index, at_ms) in series.rows.times_ms.iter().enumerate() {
            let span = covered(self.resolution, *at_ms);
            let is_deleted = deletes.iter().any(|it| it.span.overlaps(span));
            let standing = self.ownership.standing(span, side, other);
            if is_deleted {
                sieved.deleted += 1;
            } else if standing == Standing::WrongOwner {
                let cells = cells_text(series.rows.row(index));
                sieved.wrong_owner.push((*at_ms, cells));
            } else if standing == Standing::OneSided {
                sieved.one_sided += 1;
            }
            let is_compared = !is_deleted && standing == Standing::Compared;
            verdicts.push(is_compared && !Touched::touches(times, span));
        }
        let mut verdicts = verdicts.into_iter();
        series.rows.retain(|_| verdicts.next().unwrap_or(false));
        sieved
    }

    fn deletes_of(&self, key: SeriesKey) -> Vec<&DeleteSelector> {
        let takes = |it: &&DeleteSelector| {
            let (first, last) = it.series();
            first <= key && key <= last
        };
        self.deletes.iter().filter(takes).collect()
    }

    /// Whether a record that only one side has read may have changed the series' metadata.
    pub(super) fn is_named(&self, key: SeriesKey) -> bool {
        self.touched.is_some_and(|touched| touched.names(key))
    }

    fn near(&self, at_ms: Option<i64>) -> Near {
        let Some(at_ms) = at_ms else {
            return Near::Nothing;
        };
        let is_near = |edge: TimestampMs| edge.0.abs_diff(at_ms) <= NEAR_MS;
        let span = self.window.span();
        if self.ownership.edges().into_iter().any(is_near) {
            Near::TimelineEdge
        } else if is_near(span.from) || is_near(span.to) {
            Near::WindowEdge
        } else {
            Near::Nothing
        }
    }

    /// A difference of the series, with its class.
    pub(super) fn difference(
        &self,
        (key, metadata): (SeriesKey, Option<&BTreeMap<String, String>>),
        (kind, side): (Kind, Option<Hand>),
        how: &str,
        at_ms: Option<i64>,
    ) -> Difference {
        let said = |name: &str| metadata.and_then(|it| it.get(name)).cloned();
        let of = Class {
            kind,
            side,
            how: how.to_owned(),
            metric_type: said("type").unwrap_or_default(),
            shard: self.shard.clone(),
            near: self.near(at_ms),
        };
        Difference {
            class: of.fingerprint(),
            of,
            org: key.org.0,
            metric: key.metric.0,
            series: said(skein_shared::series::SERIES_METADATA_KEY).unwrap_or_default(),
            window: self.window.number(),
            at_ms,
            left: None,
            right: None,
            detail: None,
        }
    }
}
