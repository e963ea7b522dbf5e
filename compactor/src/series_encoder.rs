//! Series by series: decode, merge, filter by ownership, encode.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_config::cutover::owner::writers;
use skein_config::cutover::timeline::{Pipeline, Timelines};
use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::order_column::{ChainIndex, ChainTable, Order};
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::segment_writer::{FinishedSegment, SegmentIdentity, SeriesMetadata};
use skein_shared::format::shard_manifest::{Deleted, Expiry, Layer};
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::window::{Resolution, TimestampMs, Window};
use tokio_util::sync::CancellationToken;

use crate::duplicate_rule::{MergeCounts, SeriesMerge};
use crate::error::{Error, Result};
use crate::live_segments::LiveSegments;
use crate::payload_arena::PayloadRef;
use crate::segment_set::SegmentSet;
use crate::series_grouper::{SeriesGroup, SeriesGrouper};

/// Payloads of a series that are fetched from memory side by side.
const TOUCHED_AT_ONCE: usize = 32;

/// What one segment is made of.
#[derive(Debug)]
pub struct SegmentInput<'a> {
    /// What it is of.
    pub identity: SegmentIdentity,
    /// A base keeps no orders.
    pub layer: Layer,
    /// The payloads of the step; those of the window come next.
    pub fresh: &'a mut SeriesGrouper,
    /// What the orders of the payloads mean: index in the step's chains to index in `chains`.
    pub chain_indexes: &'a [ChainIndex],
    /// The chains of the payloads and of the live segments.
    pub chains: ChainTable,
    /// The window's segments that are merged in; none for an overlay.
    pub live: &'a mut LiveSegments,
    /// The resolutions of the rollups beside it.
    pub rollups: &'a [Resolution],
    /// What the encoder is after.
    pub profile: Profile,
    /// Who writes which point.
    pub timelines: &'a Timelines,
    /// Of which orgs the payloads' points are dropped.
    pub expiry: &'a Expiry,
    /// Which points deletes take of the payloads; of orders that mean `chains`, as the next.
    pub mask: &'a DeleteMask,
    /// Which points deletes take of each of the live segments.
    pub live_masks: &'a [DeleteMask],
    /// Ends it between two series.
    pub cancel: &'a CancellationToken,
}

/// Memory that is used again from one segment to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    merge: SeriesMerge,
    merged: SeriesBuffer,
    deleted: Deleted,
}

impl Scratch {
    /// What deletes have taken since it was asked last.
    pub fn take_deleted(&mut self) -> Deleted {
        std::mem::take(&mut self.deleted)
    }

    /// Merges what was gathered of a series of `org` in `window` and leaves the points that are ours to write.
    fn merge_owned(&mut self, timelines: &Timelines, org: OrgId, window: Window) -> MergeCounts {
        match timelines.of(org).phase_over(window.span()) {
            Some(phase) if phase.writers.contain(Pipeline::New) => {
                self.merge.merge_into(|_| true, &mut self.merged)
            }
            Some(_) | None => {
                let owned = |ms| writers(timelines, org, TimestampMs(ms)).contain(Pipeline::New);
                self.merge.merge_into(owned, &mut self.merged)
            }
        }
    }
}

/// Encodes one segment and its rollups; `emit` gets the bytes of each, by its place, in parts of at least `part_bytes`.
/// There are no segments when no point was left. CPU work: not for an async thread.
///
/// # Errors
/// [`Error::Cancelled`]; what reading the live segments or the spilled payloads gives.
pub fn encode_segment(
    input: SegmentInput<'_>,
    scratch: &mut Scratch,
    part_bytes: usize,
    mut emit: impl FnMut(usize, Bytes),
) -> Result<(Vec<FinishedSegment>, MergeCounts)> {
    let live = input.live;
    let SegmentInput {
        identity, profile, ..
    } = input;
    let chains = match input.layer {
        Layer::Base => ChainTable::default(),
        Layer::Overlay { .. } => input.chains,
    };
    let mut segments = SegmentSet::new(identity, chains, profile, input.rollups);
    let mut counts = MergeCounts::default();
    let fresh = input.fresh;
    loop {
        if input.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let of_window = |(window, _): &(Window, SeriesKey)| *window == input.identity.window;
        let next_fresh = fresh.peek().filter(of_window).map(|(_, key)| key);
        let Some(key) = [next_fresh, live.least()?].into_iter().flatten().min() else {
            return Ok((segments.finish(), counts));
        };
        scratch.merge.clear();
        let mut metadata = None;
        if next_fresh == Some(key)
            && let Some(group) = fresh.take_series()?
        {
            let says = |order| !input.mask.takes_record(key, order, identity.window);
            metadata = gather(group, input.chain_indexes, &mut scratch.merge, says);
        }
        let (merge, deleted) = (&mut scratch.merge, &mut scratch.deleted);
        counts.deleted += merge.drop_deleted(input.mask, key, deleted);
        if input.expiry.drops(key.org, identity.window) {
            counts.expired += merge.drop_all();
            metadata = None;
        }
        live.take(key, |file, points, theirs| {
            let mask = &input.live_masks[file];
            counts.deleted += mask.drop_of_segment(key, points, deleted);
            merge.gather_segment(points);
            let says =
                |theirs: &SeriesMetadata| !mask.takes_record(key, theirs.order, identity.window);
            keep_newest(&mut metadata, theirs.filter(says));
        })?;
        counts.add(scratch.merge_owned(input.timelines, key.org, input.identity.window));
        segments.push(key, &scratch.merged, metadata.as_ref());
        segments.take_parts(part_bytes, &mut emit);
    }
}

/// Gathers a series' points, with orders of the segment's chains, and answers its last written metadata. A payload without
/// any says nothing, and neither does one that `says` is false of.
fn gather(
    group: SeriesGroup<'_>,
    chain_indexes: &[ChainIndex],
    merge: &mut SeriesMerge,
    says: impl Fn(Order) -> bool,
) -> Option<SeriesMetadata> {
    let arena = group.arena();
    let mut newest: Option<(Order, &PayloadRef)> = None;
    for batch in group.payloads().chunks(TOUCHED_AT_ONCE) {
        arena.touch(batch);
        for reference in batch {
            let points = arena.points_of(reference);
            let order = reference.key.order;
            let chain = chain_indexes[order.chain.0 as usize];
            let order = Order { chain, ..order };
            merge.gather_record(order, |timestamps, values| {
                points.decode_into(timestamps, values);
            });
            let is_newer = newest.is_none_or(|(newest, _)| newest < order);
            if is_newer && points.has_metadata() && says(order) {
                newest = Some((order, reference));
            }
        }
    }
    let (order, reference) = newest?;
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let points = arena.points_of(reference);
    let entries: BTreeMap<_, _> = points.metadata().map(text).collect();
    Some(SeriesMetadata { order, entries })
}

fn keep_newest(ours: &mut Option<SeriesMetadata>, theirs: Option<SeriesMetadata>) {
    let their_order = theirs.as_ref().map(|metadata| metadata.order);
    if ours.as_ref().map(|metadata| metadata.order) < their_order {
        *ours = theirs;
    }
}
