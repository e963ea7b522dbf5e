//! The raw points of a window out of its segments: as a read would merge them, and what it would pass over.

use std::collections::BTreeSet;

use skein_shared::format::order_column::{ChainTable, Order};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::format::shard_manifest::SegmentEntry;
use skein_shared::ids::{OrgId, SeriesKey, ShardId};
use skein_shared::segment_fetch::{CursorRange, FETCH_BYTES, MetadataFetch};
use skein_shared::units::MIB;
use skein_shared::window::{TimeSpan, TimestampMs, Window};

use super::rows::{Fault, Gap, Rows, SideSeries, after};
use super::{UnitScope, damage_of};
use crate::error::{Error, Result};
use crate::masked_cursor::MaskedCursor;
use crate::snapshot::{OpenSegment, Selection, Snapshot};

/// Bytes that all cursors of a window may hold together.
const CURSOR_BYTES: u64 = 64 * MIB;

/// The series of a window, merged from its segments.
#[derive(Debug)]
pub(crate) struct SegmentStream {
    snapshot: Snapshot,
    scope: UnitScope,
    chains: ChainTable,
    heads: Vec<Head>,
    gaps: Vec<Gap>,
    buffer: SeriesBuffer,
}

/// One segment, and where its cursor stands.
#[derive(Debug)]
struct Head {
    segment: OpenSegment,
    /// `None` at its end.
    cursor: Option<MaskedCursor>,
    /// Everything before it was read.
    next: SeriesKey,
}

/// A point and the record that it came in.
#[derive(Debug, Clone, Copy)]
struct Placed {
    at_ms: i64,
    order: Order,
    value: f64,
}

/// The segments that may hold points of `org` in `window`: whatever they say about their times.
pub(super) fn entries(
    snapshot: &Snapshot,
    org: OrgId,
    window: Window,
) -> impl Iterator<Item = (ShardId, &SegmentEntry)> {
    let owner = snapshot.owner_of(org, window);
    let manifest = owner.and_then(|shard| Some((shard, snapshot.manifests().get(&shard)?)));
    let segments = manifest
        .into_iter()
        .flat_map(|(shard, manifest)| manifest.raw_segments().map(move |entry| (shard, entry)));
    segments.filter(move |(_, entry)| entry.window == window && may_hold(entry, org))
}

/// The windows whose segments may hold points of `org`.
pub(super) fn windows(snapshot: &Snapshot, org: OrgId) -> BTreeSet<Window> {
    let of_shards = snapshot.manifests().iter().flat_map(|(shard, manifest)| {
        let held = manifest
            .segments
            .iter()
            .filter(|entry| may_hold(entry, org));
        held.map(move |entry| (*shard, entry.window))
    });
    let owned = of_shards.filter(|(shard, window)| snapshot.owner_of(org, *window) == Some(*shard));
    owned.map(|(_, window)| window).collect()
}

fn may_hold(entry: &SegmentEntry, org: OrgId) -> bool {
    entry.summary.first_series.org <= org && org <= entry.summary.last_series.org
}

impl SegmentStream {
    pub(super) async fn open(snapshot: Snapshot, scope: UnitScope) -> Result<Self> {
        let mut gaps = Vec::new();
        let mut segments = Vec::new();
        for (shard, entry) in entries(&snapshot, scope.org, scope.window) {
            match snapshot.open(entry).await {
                Ok(file) => {
                    let manifest = snapshot.manifests().get(&shard);
                    let applied = manifest.map(|manifest| manifest.applied_in(entry));
                    segments.push(OpenSegment {
                        shard,
                        file,
                        deletes_applied: applied.unwrap_or(entry.deletes_applied),
                        filter: entry.filter,
                    });
                }
                Err(error) => {
                    let (_, reason) = damage_of(error)?;
                    gaps.push(Gap {
                        first: scope.keys.0.max(entry.summary.first_series),
                        last: scope.keys.1.min(entry.summary.last_series),
                        object: entry.key.clone(),
                        reason,
                    });
                }
            }
        }
        segments.retain(|segment| snapshot.counting_runs(segment).next().is_some());
        let chains = segments
            .iter()
            .flat_map(|it| it.file.chains().chains().iter().cloned());
        let mut stream = Self {
            chains: ChainTable::new(chains.collect()),
            snapshot,
            scope,
            heads: Vec::new(),
            gaps,
            buffer: SeriesBuffer::default(),
        };
        let share = CURSOR_BYTES / 2 / segments.len().max(1) as u64;
        for segment in segments {
            let cursor = stream.cursor(&segment, scope.keys, share);
            let head = Head {
                cursor: Some(cursor),
                next: scope.keys.0,
                segment,
            };
            stream.heads.push(head);
        }
        Ok(stream)
    }

    fn cursor(
        &self,
        segment: &OpenSegment,
        (first, last): (SeriesKey, SeriesKey),
        share: u64,
    ) -> MaskedCursor {
        let range = CursorRange {
            first,
            last,
            // Also what should not be there.
            span: TimeSpan::ALL,
            fetch_bytes: share.min(FETCH_BYTES),
            metadata: MetadataFetch::Fetch,
        };
        let selection = Selection::Org(self.scope.org);
        MaskedCursor::new(&self.snapshot, segment, selection, (&self.chains, range))
    }

    pub(super) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(super) async fn next(&mut self) -> Result<Option<SideSeries>> {
        loop {
            let mut standing = Vec::with_capacity(self.heads.len());
            for index in 0..self.heads.len() {
                standing.push(self.peek(index).await?);
            }
            let Some(key) = standing.iter().flatten().min().copied() else {
                return Ok(None);
            };
            let at_key = (0..standing.len()).filter(|index| standing[*index] == Some(key));
            let series = self.read(key, &at_key.collect::<Vec<_>>()).await?;
            if self.scope.sample.takes(key) && !series.is_empty() {
                return Ok(Some(series));
            }
        }
    }

    /// The series that a segment comes to next. Runs that do not read back are passed over and told of.
    async fn peek(&mut self, index: usize) -> Result<Option<SeriesKey>> {
        loop {
            let Some(cursor) = &mut self.heads[index].cursor else {
                return Ok(None);
            };
            match cursor.peek().await {
                Ok(Some(key)) => return Ok(Some(key)),
                Ok(None) => {
                    self.heads[index].cursor = None;
                    return Ok(None);
                }
                Err(error) => self.pass_over(index, error)?,
            }
        }
    }

    /// Goes on behind the run that holds the series at which a segment failed.
    fn pass_over(&mut self, index: usize, error: Error) -> Result<()> {
        let head = &self.heads[index];
        let (next, last) = (head.next, self.scope.keys.1);
        let run = head.segment.file.footer().runs_within(next, last).first();
        let keys = run.map_or((next, last), |run| {
            (run.first_series().max(next), run.last_series().min(last))
        });
        self.leave_out(index, keys, error)
    }

    /// Tells that series of a segment do not read back, and goes on behind them.
    fn leave_out(
        &mut self,
        index: usize,
        (first, end): (SeriesKey, SeriesKey),
        error: Error,
    ) -> Result<()> {
        let (_, reason) = damage_of(error)?;
        self.gaps.push(Gap {
            first,
            last: end,
            object: self.heads[index].segment.file.key().to_owned(),
            reason,
        });
        self.go_on_behind(index, end);
        Ok(())
    }

    fn go_on_behind(&mut self, index: usize, end: SeriesKey) {
        let last = self.scope.keys.1;
        let share = self.share();
        let behind = after(end).filter(|behind| *behind <= last);
        let segment = &self.heads[index].segment;
        let cursor = behind.map(|behind| self.cursor(segment, (behind, last), share));
        let head = &mut self.heads[index];
        head.next = behind.unwrap_or(last);
        head.cursor = cursor;
    }

    /// What one request of a cursor may fetch.
    fn share(&self) -> u64 {
        CURSOR_BYTES / 2 / self.heads.len().max(1) as u64
    }

    async fn read(&mut self, key: SeriesKey, at_key: &[usize]) -> Result<SideSeries> {
        let mut metadata = None;
        let mut points: Vec<Placed> = Vec::new();
        let mut parts = 0;
        for index in at_key {
            let head = &mut self.heads[*index];
            let Some(cursor) = &mut head.cursor else {
                continue;
            };
            let said = cursor.peeked_metadata();
            let is_newer = |said: &&_| newer(metadata.as_ref(), said);
            if let Some(said) = said.filter(is_newer) {
                metadata = Some(said.clone());
            }
            let read = cursor.next(&mut self.buffer).await;
            let read = match read {
                Ok(()) => {
                    head.next = after(key).unwrap_or(key);
                    Ok(())
                }
                Err(_) => self.read_alone(*index, key).await,
            };
            match read {
                Ok(()) => {
                    parts += usize::from(!self.buffer.timestamps_ms.is_empty());
                    points.extend(placed(&self.buffer));
                }
                Err(error) => self.leave_out(*index, (key, key), error)?,
            }
        }
        if parts > 1 {
            points.sort_by_key(|point| (point.at_ms, point.order));
        }
        let mut series = self.sorted_out(key, &points);
        let entries = metadata.map(|said| said.entries);
        series.metadata = entries.filter(|entries| !entries.is_empty());
        Ok(series)
    }

    /// Reads a series without looking into the runs behind it, which may be what is damaged.
    async fn read_alone(&mut self, index: usize, key: SeriesKey) -> Result<()> {
        let share = self.share();
        let mut cursor = self.cursor(&self.heads[index].segment, (key, key), share);
        cursor.next(&mut self.buffer).await?;
        self.go_on_behind(index, key);
        Ok(())
    }

    /// Of points of equal time the last written stays; one of the same record is there twice.
    fn sorted_out(&self, key: SeriesKey, points: &[Placed]) -> SideSeries {
        let mut series = SideSeries::empty(key, Rows::of_points());
        let window = self.scope.window.span();
        for (index, point) in points.iter().enumerate() {
            let (at_ms, value) = (point.at_ms, point.value);
            let at = TimestampMs(at_ms);
            let next = points.get(index + 1).filter(|next| next.at_ms == at_ms);
            if !window.contains(at) {
                series.faults.push(Fault::OutOfWindow { at_ms, value });
            } else if !self.scope.span.contains(at) {
                // Not asked for.
            } else if next.is_none() {
                series.rows.push_point(at_ms, value);
            } else if next.is_some_and(|next| is_same_record(point.order, next.order)) {
                series.faults.push(Fault::Duplicate { at_ms, value });
            }
        }
        series
    }
}

fn newer(best: Option<&SeriesMetadata>, said: &SeriesMetadata) -> bool {
    best.is_none_or(|best| best.order < said.order)
}

/// Whether both are the place of one record; seals come and go.
fn is_same_record(one: Order, other: Order) -> bool {
    one.record_timestamp == other.record_timestamp
        && one.chain == other.chain
        && one.offset == other.offset
}

fn placed(buffer: &SeriesBuffer) -> impl Iterator<Item = Placed> {
    let orders = buffer.orders.iter();
    let orders = orders.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
    let orders = orders.chain(std::iter::repeat(Order::default()));
    let points = buffer.timestamps_ms.iter().zip(&buffer.values).zip(orders);
    points.map(|((at_ms, value), order)| Placed {
        at_ms: *at_ms,
        order,
        value: *value,
    })
}
