//! What readers see of an old system's points of one org, series by series, beside the segments.

use std::collections::{BTreeMap, VecDeque};

use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::timeline::Pipeline;
use skein_shared::window::{TimeSpan, Window};

use crate::error::Result;
use crate::old_series::OldSeries;
use crate::old_source::OldSource;
use crate::snapshot::Snapshot;

/// The old side of one org.
#[derive(Debug)]
pub(crate) struct OldSide {
    source: OldSource,
    snapshot: Snapshot,
    /// Those that were not read yet, ascending.
    series: VecDeque<OldSeries>,
    fetch: MetadataFetch,
    metadata: Option<SeriesMetadata>,
    /// Event times of which the old side is visible, and all times from the first to the last of them.
    shown: Vec<TimeSpan>,
    hull: TimeSpan,
    /// Series and times that deletes take. The old system's points have no positions that all readers know, so a delete takes
    /// all of them: what was deleted is never seen again.
    struck: Vec<((SeriesKey, SeriesKey), TimeSpan)>,
    is_newest: IsNewest,
}

/// Whether the last word about a series is the old system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsNewest {
    Yes,
    No,
}

impl OldSide {
    /// The old side of `org` for event times in `span`; `None`, without a request, where readers see nothing of it.
    pub(crate) async fn open(
        snapshot: &Snapshot,
        org: OrgId,
        (span, fetch): (TimeSpan, MetadataFetch),
    ) -> Result<Option<Self>> {
        let shown = snapshot.old_shown(org, span);
        let (Some(first), Some(last)) = (shown.first(), shown.last()) else {
            return Ok(None);
        };
        let source = snapshot.old_source(org).await?;
        let hull = TimeSpan {
            from: first.from,
            to: last.to,
        };
        let selection = snapshot.selection_of(org);
        let keys = (selection.first(), selection.last());
        let series = source.series_within(keys, hull).await?;
        let struck = if series.is_empty() {
            Vec::new()
        } else {
            let deletes = snapshot.all_deletes().await?;
            let own = deletes.iter().filter(|delete| delete.selector.org == org);
            own.map(|delete| (delete.selector.series(), delete.selector.span))
                .collect()
        };
        let phases = snapshot.timelines().of(org).phases();
        let is_newest = match phases.last().map(|phase| phase.visible) {
            Some(Pipeline::Old) => IsNewest::Yes,
            Some(Pipeline::New) | None => IsNewest::No,
        };
        Ok(Some(Self {
            source,
            snapshot: snapshot.clone(),
            series: series.into(),
            fetch,
            metadata: None,
            shown,
            hull,
            struck,
            is_newest,
        }))
    }

    /// Begins `key`: ends what came before it, and adds the windows in which it has points that are seen to those, rising, in
    /// which others have some.
    pub(crate) async fn begin(&mut self, key: SeriesKey, windows: &mut Vec<Window>) -> Result<()> {
        while self.series.front().is_some_and(|own| own.key < key) {
            self.series.pop_front();
        }
        self.metadata = None;
        let Some(own) = self.series.front().filter(|series| series.key == key) else {
            return Ok(());
        };
        let entries = match self.fetch {
            MetadataFetch::Fetch => self.source.metadata(own, self.hull).await?,
            MetadataFetch::Skip => BTreeMap::new(),
        };
        if !entries.is_empty() {
            self.metadata = Some(SeriesMetadata {
                entries,
                ..SeriesMetadata::default()
            });
        }
        for times in &own.times {
            let parts = self.shown.iter().map(|shown| common(*shown, *times));
            windows.extend(parts.flat_map(windows_in));
        }
        windows.sort_unstable();
        windows.dedup();
        Ok(())
    }

    /// The least series that comes after `key`.
    pub(crate) fn peek_after(&self, key: Option<SeriesKey>) -> Option<SeriesKey> {
        let mut keys = self.series.iter().map(|series| series.key);
        keys.find(|own| key.is_none_or(|key| key < *own))
    }

    /// What is known about the series, by what the old and the new system know: by the side that is visible last, unless that
    /// one knows nothing.
    pub(crate) fn metadata(&self, new: Option<SeriesMetadata>) -> Option<SeriesMetadata> {
        let old = || self.metadata.clone();
        match self.is_newest {
            IsNewest::Yes => old().or(new),
            IsNewest::No => new.or_else(old),
        }
    }

    /// Appends the points of `key` in `window` that are seen, without orders.
    pub(crate) async fn read(
        &self,
        key: SeriesKey,
        window: Window,
        points: &mut SeriesBuffer,
    ) -> Result<()> {
        let Some(series) = self.series.front().filter(|series| series.key == key) else {
            return Ok(());
        };
        let own = window.span();
        let has_any = series.times.iter().any(|times| times.overlaps(own));
        if !has_any || self.snapshot.has_expired(key.org, window) {
            return Ok(());
        }
        for part in self.shown.iter().map(|shown| common(*shown, own)) {
            if !part.is_empty() {
                self.source.read(key, part, points).await?;
            }
        }
        points.orders.clear();
        self.strike(key, points);
        Ok(())
    }

    fn strike(&self, key: SeriesKey, points: &mut SeriesBuffer) {
        let names = |(first, last): (SeriesKey, SeriesKey)| first <= key && key <= last;
        for (_, span) in self.struck.iter().filter(|(series, _)| names(*series)) {
            let place = |ms: i64| points.timestamps_ms.partition_point(|own| *own < ms);
            let taken = place(span.from.0)..place(span.to.0);
            points.timestamps_ms.drain(taken.clone());
            points.values.drain(taken);
        }
    }
}

fn common(a: TimeSpan, b: TimeSpan) -> TimeSpan {
    TimeSpan {
        from: a.from.max(b.from),
        to: a.to.min(b.to),
    }
}

fn windows_in(span: TimeSpan) -> impl Iterator<Item = Window> {
    let last = skein_shared::window::TimestampMs(span.to.0.saturating_sub(1));
    let numbers = if span.is_empty() {
        0..0
    } else {
        Window::of(span.from).number()..Window::of(last).number() + 1
    };
    numbers.map(Window::from_number)
}
