//! What one segment is made of.

use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::order_column::{ChainIndex, ChainTable};
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_writer::SegmentIdentity;
use skein_shared::format::shard_manifest::{Expiry, Layer};
use skein_shared::window::Resolution;
use tokio_util::sync::CancellationToken;

use crate::live_segments::LiveSegments;
use crate::ownership_filter::OwnershipRule;
use crate::series_grouper::SeriesGrouper;
use crate::spill::SpillPlace;
use crate::stage_timers::StageTimers;

/// How much of one series is gathered in memory.
#[derive(Debug, Clone)]
pub struct MergeMemory {
    /// Bytes that gathering and merging take, about; a series that needs more is merged in slices.
    pub bytes: usize,
    /// Where the slices go.
    pub place: SpillPlace,
}

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
    /// Which points are ours to write; of orders that mean `chains`.
    pub ownership: OwnershipRule<'a>,
    /// Of which orgs the payloads' points are dropped.
    pub expiry: &'a Expiry,
    /// Which points deletes take of the payloads; of orders that mean `chains`, as the next.
    pub mask: &'a DeleteMask,
    /// Which points deletes take of each of the live segments.
    pub live_masks: &'a [DeleteMask],
    /// Where it goes what memory has no room for, and when.
    pub merge_memory: &'a MergeMemory,
    /// Ends it between two batches of series.
    pub cancel: &'a CancellationToken,
    /// What merging and encoding take.
    pub timers: &'a StageTimers,
}
