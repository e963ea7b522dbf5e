//! Row groups that were decoded, and what each one holds.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use skein_shared::ids::SeriesKey;
use skein_shared::window::{TimeSpan, TimestampMs};

use super::row_group::{GroupSeries, RowGroup};
use crate::old_series::windows_of;

/// Decoded row groups that are kept, so that series which lie in the same one do not decode it anew.
const HELD_BYTES: usize = 192 * 1024 * 1024;

/// Which file, and which row group of it.
pub(super) type GroupId = (usize, usize);

/// Row groups that were decoded.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// The one that was used last stands last.
    held: VecDeque<(GroupId, Arc<RowGroup>)>,
    held_bytes: usize,
    /// What each one holds, kept for good: names are texts that its neighbours share.
    pub(super) series: BTreeMap<GroupId, Arc<[HeldSeries]>>,
}

/// One series of a row group, without its points.
#[derive(Debug, Clone)]
pub(super) struct HeldSeries {
    pub(super) key: SeriesKey,
    pub(super) text: Option<Arc<str>>,
    /// The windows that its points lie in, neighbours as one.
    pub(super) times: Vec<TimeSpan>,
}

impl Decoded {
    pub(super) fn take(&mut self, id: GroupId) -> Option<Arc<RowGroup>> {
        let at = self.held.iter().position(|(held, _)| *held == id)?;
        let entry = self.held.remove(at)?;
        let group = Arc::clone(&entry.1);
        self.held.push_back(entry);
        Some(group)
    }

    pub(super) fn hold(&mut self, id: GroupId, group: Arc<RowGroup>) {
        self.held_bytes += group.held_bytes();
        self.held.push_back((id, group));
        while self.held_bytes > HELD_BYTES && self.held.len() > 1 {
            let oldest = self.held.pop_front();
            self.held_bytes -= oldest.map_or(0, |(_, group)| group.held_bytes());
        }
    }
}

impl RowGroup {
    pub(super) fn held_series(&self) -> impl Iterator<Item = HeldSeries> {
        self.series.iter().map(|series| HeldSeries {
            key: series.key,
            text: series.text.clone(),
            times: windows_of(&self.timestamps_ms[series.points.clone()]),
        })
    }

    /// Where its points in `span` stand; `None` when there are none.
    pub(super) fn points_in(&self, series: &GroupSeries, span: TimeSpan) -> Option<Range<usize>> {
        let times = &self.timestamps_ms[series.points.clone()];
        let place = |at: TimestampMs| series.points.start + times.partition_point(|ms| *ms < at.0);
        let range = place(span.from)..place(span.to);
        (!range.is_empty()).then_some(range)
    }

    pub(super) fn points(&self, range: Range<usize>) -> impl Iterator<Item = (i64, f64)> {
        let times = self.timestamps_ms[range.clone()].iter().copied();
        times.zip(self.values[range].iter().copied())
    }
}

impl HeldSeries {
    pub(super) fn overlaps(&self, span: TimeSpan) -> bool {
        self.times.iter().any(|times| times.overlaps(span))
    }
}
