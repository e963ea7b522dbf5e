//! All series of one org, over the windows of its segments and of the old system's points.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::segment_fetch::{CursorRange, FETCH_BYTES};
use skein_shared::window::Window;

use super::{CURSOR_BYTES, ScanOptions};
use crate::error::Result;
use crate::masked_cursor::MaskedCursor;
use crate::old_side::OldSide;
use crate::snapshot::{OpenSegment, Snapshot};
use crate::stitch::Stitch;
use crate::visible::may_show_new;

/// One org's series, each window by window.
#[derive(Debug)]
pub(super) struct OrgScan {
    windows: BTreeMap<Window, Vec<MaskedCursor>>,
    old: Option<OldSide>,
    /// The series that is being read, and which of the windows comes next.
    current: Option<(SeriesKey, usize)>,
    /// The windows that the current series is read in, rising; memory is kept from one series to the next.
    steps: Vec<Window>,
    /// The series that was read last.
    last: Option<SeriesKey>,
    metadata: Option<SeriesMetadata>,
}

impl OrgScan {
    pub(super) fn open(
        (snapshot, old): (&Snapshot, Option<OldSide>),
        segments: &[OpenSegment],
        org: OrgId,
        options: ScanOptions,
    ) -> Self {
        let mut by_window: BTreeMap<Window, Vec<&OpenSegment>> = BTreeMap::new();
        for segment in segments {
            let window = segment.file.footer().identity.window;
            let is_seen = may_show_new(snapshot.timelines(), org, window.span());
            if is_seen && snapshot.counting_runs(segment).any(|run| run.org == org) {
                by_window.entry(window).or_default().push(segment);
            }
        }
        let all = || by_window.values().flatten();
        let chains = all().flat_map(|segment| segment.file.chains().chains().iter().cloned());
        let chains = ChainTable::new(chains.collect());
        let selection = snapshot.selection_of(org);
        let range = CursorRange {
            first: selection.first(),
            last: selection.last(),
            span: options.span,
            fetch_bytes: (CURSOR_BYTES / 2 / all().count().max(1) as u64).min(FETCH_BYTES),
            metadata: options.metadata,
        };
        let cursor = |segment: &OpenSegment| {
            MaskedCursor::new(snapshot, segment, selection, (&chains, range))
        };
        let windows = by_window.iter();
        let cursors = |segments: &[&OpenSegment]| segments.iter().map(|it| cursor(it)).collect();
        Self {
            windows: windows
                .map(|(window, segments)| (*window, cursors(segments)))
                .collect(),
            old,
            current: None,
            steps: Vec::new(),
            last: None,
            metadata: None,
        }
    }

    /// Metadata of the series that was read last, the newest of all segments.
    pub(super) fn metadata(&self) -> Option<&SeriesMetadata> {
        self.metadata.as_ref()
    }

    /// Reads the next window of the current series, or the next series, into parts of `stitch`; `None`
    /// when the org is at its end. There may be no points where all lie outside the span.
    pub(super) async fn read_next(&mut self, stitch: &mut Stitch) -> Result<Option<SeriesKey>> {
        let (key, step) = match self.current {
            Some(current) => current,
            None => match self.begin_series().await? {
                Some(key) => (key, 0),
                None => return Ok(None),
            },
        };
        let window = self.steps[step];
        for cursor in self.windows.get_mut(&window).into_iter().flatten() {
            if cursor.peek().await? == Some(key) {
                cursor.next(stitch.part()).await?;
            }
        }
        if let Some(old) = &self.old {
            old.read(key, window, stitch.old_part()).await?;
        }
        let next = step + 1;
        self.current = (next < self.steps.len()).then_some((key, next));
        Ok(Some(key))
    }

    /// Finds the smallest series that a cursor or the old side stands at, its windows, and its newest metadata.
    async fn begin_series(&mut self) -> Result<Option<SeriesKey>> {
        let cursors = self.windows.values_mut().flatten();
        let peeked = try_join_all(cursors.map(MaskedCursor::peek)).await?;
        let of_old = self.old.as_ref().and_then(|old| old.peek_after(self.last));
        let key = peeked.iter().flatten().copied().chain(of_old).min();
        let Some(key) = key else {
            return Ok(None);
        };
        let mut peeked = peeked.iter();
        let newest = self.windows.values().filter_map(|window| {
            let standing = window.iter().zip(peeked.by_ref());
            let standing = standing.filter(|(_, peeked)| **peeked == Some(key));
            let metadata = standing.filter_map(|(cursor, _)| cursor.peeked_metadata());
            metadata.max_by_key(|metadata| metadata.order)
        });
        // Orders of two windows do not compare; of those that were sent at one time that of the last window counts.
        let newest = newest.max_by_key(|metadata| metadata.order.record_timestamp);
        self.metadata = newest.cloned();
        self.steps.clear();
        self.steps.extend(self.windows.keys());
        if let Some(old) = &mut self.old {
            old.begin(key, &mut self.steps).await?;
            self.metadata = old.metadata(self.metadata.take());
        }
        self.last = Some(key);
        Ok(Some(key))
    }
}
