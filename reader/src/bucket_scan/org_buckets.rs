//! All series of one org, over the windows of its segments and of the old system's points.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use skein_config::cutover::timelines::Timelines;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::segment_fetch::{CursorRange, FETCH_BYTES, SegmentCursor, SeriesLookup};
use skein_shared::timeline::Pipeline;
use skein_shared::window::{Resolution, Window};

use super::window_buckets::{RollupSource, Sides, WindowBuckets, WindowSources};
use super::{BucketOptions, OpenSource};
use crate::error::Result;
use crate::masked_cursor::MaskedCursor;
use crate::old_side::OldSide;
use crate::segment_scan::CURSOR_BYTES;
use crate::snapshot::{OpenSegment, Selection, Snapshot};
use crate::visible::{is_new_alone, may_show_new};

/// One org's series, each window by window.
#[derive(Debug)]
pub(super) struct OrgBuckets {
    windows: BTreeMap<Window, WindowSources>,
    old: Option<OldSide>,
    /// The series that is being read, and which of the windows comes next.
    current: Option<(SeriesKey, usize)>,
    /// The windows that the current series is read in, rising; memory is kept from one series to the next.
    steps: Vec<Window>,
    /// The series that was read last.
    last: Option<SeriesKey>,
    metadata: Option<SeriesMetadata>,
}

/// The files of one window.
#[derive(Default)]
struct WindowFiles<'a> {
    sources: Vec<&'a OpenSource>,
    /// The raw segments that must be open: all of them, unless a rollup is the window's only source.
    raw: BTreeMap<&'a str, OpenSegment>,
    use_of_rollups: UseOfRollups,
}

/// What a window's rollups are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum UseOfRollups {
    /// They are read.
    #[default]
    Serve,
    /// The org has points in them that readers do not see, deleted ones, or they stand where the old pipeline is visible.
    PassOver,
    /// They are all that is left of the org's points: but for the buckets that deletes touch they are read.
    Alone,
    /// They are all that is left, and may be made of another pipeline's points.
    Withhold,
}

impl OrgBuckets {
    pub(super) async fn open(
        snapshot: &Snapshot,
        sources: &[OpenSource],
        org: OrgId,
        options: BucketOptions,
    ) -> Result<Self> {
        let wanted = (options.span, options.metadata);
        let old = OldSide::open(snapshot, org, wanted).await?;
        let windows = window_files(snapshot, sources, org).await?;
        let raw = || windows.values().flat_map(|files| files.raw.values());
        let chains = raw().flat_map(|raw| raw.file.chains().chains().iter().cloned());
        let chains = ChainTable::new(chains.collect());
        let count: usize = windows.values().map(|files| files.sources.len()).sum();
        let selection = snapshot.selection_of(org);
        let range = CursorRange {
            first: selection.first(),
            last: selection.last(),
            span: options.span,
            fetch_bytes: (CURSOR_BYTES / 2 / count.max(1) as u64).min(FETCH_BYTES),
            metadata: options.metadata,
        };
        let open = |files: &WindowFiles<'_>| files.sources((snapshot, selection), &chains, range);
        Ok(Self {
            windows: windows
                .iter()
                .map(|(it, files)| (*it, open(files)))
                .collect(),
            old,
            current: None,
            steps: Vec::new(),
            last: None,
            metadata: None,
        })
    }

    /// Metadata of the series that was read last, the newest of all segments.
    pub(super) fn metadata(&self) -> Option<&SeriesMetadata> {
        self.metadata.as_ref()
    }

    /// Makes the buckets of the current series' next window, or of the next series; `None` when the org is at its end.
    pub(super) async fn read_next(
        &mut self,
        buckets: &mut WindowBuckets,
        timelines: &Timelines,
    ) -> Result<Option<SeriesKey>> {
        let (key, step) = match self.current {
            Some(current) => current,
            None => match self.begin_series().await? {
                Some(key) => (key, 0),
                None => return Ok(None),
            },
        };
        let window = self.steps[step];
        let mut none = WindowSources::default();
        let sources = self.windows.get_mut(&window).unwrap_or(&mut none);
        let sides = Sides {
            timelines,
            window,
            old: self.old.as_ref(),
        };
        buckets.read(key, sources, sides).await?;
        let next = step + 1;
        self.current = (next < self.steps.len()).then_some((key, next));
        Ok(Some(key))
    }

    /// Finds the smallest series that a cursor or the old side stands at, its windows, and its newest metadata.
    async fn begin_series(&mut self) -> Result<Option<SeriesKey>> {
        let windows = self.windows.values_mut().map(WindowSources::least);
        let least = try_join_all(windows).await?;
        let of_old = self.old.as_ref().and_then(|old| old.peek_after(self.last));
        let Some(key) = least.into_iter().chain([of_old]).flatten().min() else {
            return Ok(None);
        };
        let newest = self.windows.values().filter_map(|window| {
            let metadata = window.metadata_of(Some(key));
            metadata.max_by_key(|metadata| metadata.order)
        });
        // As of points: orders of two windows do not compare.
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

/// The sources that hold points of `org`, by window, with the raw segments open that are needed beside rollups.
async fn window_files<'a>(
    snapshot: &Snapshot,
    sources: &'a [OpenSource],
    org: OrgId,
) -> Result<BTreeMap<Window, WindowFiles<'a>>> {
    let mut windows: BTreeMap<Window, WindowFiles<'_>> = BTreeMap::new();
    for source in sources {
        let is_seen = may_show_new(snapshot.timelines(), org, source.window.span());
        let mut runs = snapshot.counting_runs(&source.opened);
        if is_seen && runs.any(|run| run.org == org) {
            let files = windows.entry(source.window).or_default();
            files.sources.push(source);
        }
    }
    let timelines = snapshot.timelines();
    let selection = snapshot.selection_of(org);
    let mut entries = Vec::new();
    for (window, files) in &mut windows {
        let is_whole = is_new_alone(timelines, org, window.span());
        let mut phases = timelines.of(org).phases_in(window.span());
        let is_visible = phases.any(|(_, phase)| phase.visible == Pipeline::New);
        let mut opened = files.sources.iter().map(|source| &source.opened);
        let has_deleted = opened.clone().any(|o| snapshot.is_masked(o, selection));
        // In all segments of a window or in none: it has one owner.
        let has_expired =
            opened.any(|o| snapshot.is_expired(o.shard, Resolution::Raw, (org, *window)));
        files.use_of_rollups = match has_expired {
            true if is_whole => UseOfRollups::Alone,
            true => UseOfRollups::Withhold,
            false if is_visible && !has_deleted => UseOfRollups::Serve,
            false => UseOfRollups::PassOver,
        };
        // Beside an edge of the org some buckets are made of points, whatever is stored.
        let is_enough =
            |source: &OpenSource| source.is_rollup() && files.sources.len() == 1 && is_whole;
        let needs_raw = |source: &&&OpenSource| match files.use_of_rollups {
            UseOfRollups::Serve => !is_enough(source),
            UseOfRollups::PassOver => true,
            UseOfRollups::Alone | UseOfRollups::Withhold => false,
        };
        let needed = files.sources.iter().filter(needs_raw);
        entries.extend(needed.filter_map(|source| {
            let raw = source.raw.as_ref()?;
            Some((source.opened.shard, raw))
        }));
    }
    for opened in snapshot
        .open_all(entries.clone())
        .await?
        .iter()
        .zip(entries)
    {
        let (opened, (_, raw)) = opened;
        let files = windows.entry(raw.window).or_default();
        files.raw.insert(&raw.key, opened.clone());
    }
    Ok(windows)
}

impl WindowFiles<'_> {
    fn sources(
        &self,
        (snapshot, selection): (&Snapshot, Selection),
        chains: &ChainTable,
        range: CursorRange,
    ) -> WindowSources {
        let mut opened = WindowSources::default();
        for source in &self.sources {
            let raw = source.raw.as_ref();
            let raw = raw.and_then(|raw| self.raw.get(raw.key.as_str()));
            let rollup = || {
                let file = Arc::clone(&source.opened.file);
                SegmentCursor::within(file, &ChainTable::default(), range)
            };
            match self.use_of_rollups {
                UseOfRollups::Serve if source.is_rollup() => {
                    let raw = raw.map(|raw| SeriesLookup::new(Arc::clone(&raw.file), chains));
                    opened.rollups.push(RollupSource::new(rollup(), raw));
                }
                UseOfRollups::Alone if source.is_rollup() => {
                    let struck = snapshot.struck(&source.opened, selection);
                    opened.rollups.push(RollupSource::alone(rollup(), struck));
                }
                UseOfRollups::Alone | UseOfRollups::Withhold => {}
                UseOfRollups::Serve | UseOfRollups::PassOver => {
                    let raw = raw.unwrap_or(&source.opened);
                    let cursor = MaskedCursor::new(snapshot, raw, selection, (chains, range));
                    opened.points.push(cursor);
                }
            }
        }
        opened
    }
}
