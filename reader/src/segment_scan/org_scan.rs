//! All series of one org, over the windows of its segments.

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
use crate::snapshot::{OpenSegment, Snapshot};
use crate::stitch::Stitch;

/// One org's series, each window by window.
#[derive(Debug)]
pub(super) struct OrgScan {
    windows: Vec<Vec<MaskedCursor>>,
    /// The series that is being read, and which window comes next.
    current: Option<(SeriesKey, usize)>,
    metadata: Option<SeriesMetadata>,
}

impl OrgScan {
    pub(super) fn open(
        snapshot: &Snapshot,
        segments: &[OpenSegment],
        org: OrgId,
        options: ScanOptions,
    ) -> Self {
        let mut by_window: BTreeMap<Window, Vec<&OpenSegment>> = BTreeMap::new();
        for segment in segments {
            if snapshot.counting_runs(segment).any(|run| run.org == org) {
                let window = segment.file.footer().identity.window;
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
        let windows = by_window.values();
        Self {
            windows: windows
                .map(|segments| segments.iter().map(|segment| cursor(segment)).collect())
                .collect(),
            current: None,
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
        let (key, window) = match self.current {
            Some(current) => current,
            None => match self.begin_series().await? {
                Some(key) => (key, 0),
                None => return Ok(None),
            },
        };
        for cursor in &mut self.windows[window] {
            if cursor.peek().await? == Some(key) {
                cursor.next(stitch.part()).await?;
            }
        }
        let next = window + 1;
        self.current = (next < self.windows.len()).then_some((key, next));
        Ok(Some(key))
    }

    /// Finds the smallest series that a cursor stands at, and its newest metadata.
    async fn begin_series(&mut self) -> Result<Option<SeriesKey>> {
        let cursors = self.windows.iter_mut().flatten();
        let peeked = try_join_all(cursors.map(MaskedCursor::peek)).await?;
        let key = peeked.iter().flatten().min().copied();
        let mut peeked = peeked.iter();
        let newest = self.windows.iter().filter_map(|window| {
            let standing = window.iter().zip(peeked.by_ref());
            let standing = standing.filter(|(_, peeked)| **peeked == key);
            let metadata = standing.filter_map(|(cursor, _)| cursor.peeked_metadata());
            metadata.max_by_key(|metadata| metadata.order)
        });
        // Orders of two windows do not compare; of those that were sent at one time that of the last window counts.
        let newest = newest.max_by_key(|metadata| metadata.order.record_timestamp);
        self.metadata = newest.cloned();
        Ok(key)
    }
}
