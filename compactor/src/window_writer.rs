//! From the payloads of a step to one segment for each window that they touch.

mod step_segments;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::compact_plan::{Part, Step};
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::format::object_key::{Attempt, ObjectKey};
use skein_shared::format::order_column::{ChainIndex, ChainTable};
use skein_shared::format::profile::Profile;
use skein_shared::format::seal::Seal;
use skein_shared::format::segment_writer::{FinishedSegment, SegmentIdentity};
use skein_shared::format::shard_manifest::{Layer, SegmentEntry, ShardManifest};
use skein_shared::ids::{Generation, WriteId};
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::{Resolution, Window};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::delete_plan::may_hold;
use crate::error::Result;
use crate::live_segments::LiveSegments;
use crate::merge_policy::{
    Level, Merge, choose_filtered, everything, level_at, levels, oldest_first, reaching,
};
use crate::ownership_filter::OwnershipRule;
use crate::plan::state_of;
use crate::segment_input::{MergeMemory, SegmentInput};
use crate::segment_upload::{ClosingUpload, SegmentUpload};
use crate::series_encoder::{Scratch, encode_segment};
use crate::series_grouper::SeriesGrouper;
use crate::stage_timers::{Stage, StageTimers};

pub use step_segments::StepSegments;

/// Segments whose last part is on its way while the next one is encoded.
const CLOSING_UPLOADS: usize = 2;

/// What a writer needs from its surroundings.
#[derive(Debug, Clone)]
pub struct WriterContext {
    /// Runs uploads and reads of live segments.
    pub runtime: Handle,
    /// Where segments are.
    pub bucket: Bucket,
    /// Size of an upload's parts.
    pub part_bytes: usize,
    /// Overlays that a window may have.
    pub max_overlays: u32,
    /// The rollups beside each base.
    pub rollups: Vec<Resolution>,
    /// What their encoder is after.
    pub profile: Profile,
    /// How much of one series is gathered in memory.
    pub merge_memory: MergeMemory,
    /// Bytes with which one window's live segments are read.
    pub live_read_bytes: usize,
    /// Who writes which point.
    pub timelines: Arc<Timelines>,
    /// The deletes in force, from the first on.
    pub deletes: Arc<[DeleteEntry]>,
    /// Ends it between two batches of series.
    pub cancel: CancellationToken,
    /// What stages take.
    pub timers: StageTimers,
}

/// Writes the segments of one step. Nothing is visible until the step is committed.
#[derive(Debug)]
pub struct WindowWriter<'a> {
    context: &'a WriterContext,
    base: &'a ShardManifest,
    part: Part,
    step: &'a Step,
    /// The step's chains: what orders in the arena mean.
    chains: &'a ChainTable,
    attempt: Attempt,
    next_number: u32,
    scratch: Scratch,
    closing: VecDeque<ClosingUpload>,
    written: StepSegments,
}

impl<'a> WindowWriter<'a> {
    /// A writer for a step on top of `base`.
    pub fn new(
        context: &'a WriterContext,
        base: &'a ShardManifest,
        (part, step): (Part, &'a Step),
        chains: &'a ChainTable,
    ) -> Self {
        let (random, _) = WriteId::random().0.as_u64_pair();
        Self {
            context,
            base,
            part,
            step,
            chains,
            attempt: Attempt(random),
            next_number: 0,
            scratch: Scratch::default(),
            closing: VecDeque::new(),
            written: StepSegments::default(),
        }
    }

    /// The generation that the segments' keys name.
    pub fn expected_generation(&self) -> Generation {
        Generation(self.base.generation.0 + 1)
    }

    /// The random part of the segments' keys.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The windows that have a new base so far.
    pub fn sealed(&self) -> &BTreeSet<Window> {
        &self.written.sealed
    }

    /// Where the shard stands once the step is committed.
    pub fn seal(&self) -> Seal {
        let mut seal = Seal {
            shard: self.base.shard,
            expected_generation: self.expected_generation(),
            positions: self.base.positions.clone(),
            fills: self.base.fills.clone(),
        };
        let advances = self.step.advances.iter();
        let fills = self.step.fill_advances.iter();
        seal.positions
            .extend(advances.map(|(chain, advance)| (chain.clone(), advance.to)));
        seal.fills
            .extend(fills.map(|(hole, advance)| (hole.clone(), advance.to)));
        seal
    }

    /// Writes the points, one segment a window, and rewrites those that the plan names. CPU work: not for an async thread.
    ///
    /// # Errors
    /// What reading live segments or spilled payloads, or uploading gives.
    pub fn write(&mut self, fresh: &mut SeriesGrouper) -> Result<()> {
        let mut rewrites = self.step.rewrites.iter().copied().peekable();
        loop {
            let next_fresh = fresh.peek().map(|(window, _)| window);
            let next = [next_fresh, rewrites.peek().copied()];
            let Some(window) = next.into_iter().flatten().min() else {
                return Ok(());
            };
            rewrites.next_if_eq(&window);
            self.write_window(fresh, window)?;
        }
    }

    /// Waits for the last uploads.
    ///
    /// # Errors
    /// The bucket's.
    pub fn finish(mut self) -> Result<StepSegments> {
        self.finish_uploads(0)?;
        Ok(self.written)
    }

    fn write_window(&mut self, fresh: &mut SeriesGrouper, window: Window) -> Result<()> {
        let identity = SegmentIdentity {
            shard: self.base.shard,
            window,
            resolution: Resolution::Raw,
        };
        let timers = &self.context.timers;
        let (layer, files, applied) = timers.time(Stage::Merge, || self.files_to_merge(window))?;
        let chains = self.chains_of(&fresh.chains_in(window), &files);
        let indexes: Vec<ChainIndex> = self
            .chains
            .chains()
            .iter()
            // Chains that are not in this window are never looked up.
            .map(|chain| chains.index_of(chain).unwrap_or_default())
            .collect();
        let context = self.context;
        let reads = (context.runtime.clone(), context.live_read_bytes);
        let rollups = match layer {
            Layer::Base => &context.rollups[..],
            Layer::Overlay { .. } => &[],
        };
        let uploads = self.start_uploads(identity, rollups);
        let touching = |delete: &&DeleteEntry| delete.selector.span.overlaps(window.span());
        let touching = || context.deletes.iter().filter(touching);
        let mask = DeleteMask::new(touching(), &chains);
        let mask_of = |applied: &u64| {
            let unapplied = touching().filter(|delete| delete.number > *applied);
            DeleteMask::new(unapplied, &chains)
        };
        let live_masks: Vec<DeleteMask> = applied.iter().map(mask_of).collect();
        let ownership = OwnershipRule::new(&context.timelines, window, &chains);
        let mut live = LiveSegments::new(reads, &files, &chains, self.part.series);
        let input = SegmentInput {
            identity,
            layer,
            fresh,
            chain_indexes: &indexes,
            live: &mut live,
            chains,
            rollups,
            profile: context.profile,
            ownership,
            expiry: &self.base.expiry,
            mask: &mask,
            live_masks: &live_masks,
            merge_memory: &context.merge_memory,
            cancel: &context.cancel,
            timers,
        };
        let part_bytes = context.part_bytes;
        let (finished, counts) =
            encode_segment(input, &mut self.scratch, part_bytes, |place, part| {
                timers.time(Stage::Close, || uploads[place].1.part(part));
            })?;
        self.written.points_merged += live.points();
        self.written.count(window, counts, &mut self.scratch);
        let raw_key = uploads[0].1.key().to_owned();
        for ((resolution, upload), finished) in uploads.into_iter().zip(finished) {
            let identity = SegmentIdentity {
                resolution,
                ..identity
            };
            let rollup_of = (!resolution.is_raw()).then(|| raw_key.clone());
            self.add((identity, layer, rollup_of), upload, finished);
        }
        self.finish_uploads(CLOSING_UPLOADS)
    }

    /// The window's segment, and a rollup of each resolution.
    fn start_uploads(
        &mut self,
        identity: SegmentIdentity,
        rollups: &[Resolution],
    ) -> Vec<(Resolution, SegmentUpload)> {
        let resolutions = std::iter::once(&identity.resolution).chain(rollups);
        let start = |resolution: &Resolution| {
            let identity = SegmentIdentity {
                resolution: *resolution,
                ..identity
            };
            let key = self.next_key(identity);
            let context = self.context;
            let to = (context.bucket.clone(), key);
            let upload = SegmentUpload::start(&context.runtime, to, context.timers.clone());
            (*resolution, upload)
        };
        resolutions.map(start).collect()
    }

    /// What the window's new segment is, and the live ones that the policy has merged into it: they count as replaced; and which
    /// deletes each of these is free of.
    fn files_to_merge(
        &mut self,
        window: Window,
    ) -> Result<(Layer, Vec<Arc<SegmentFile>>, Vec<u64>)> {
        let of_window = self.base.raw_segments().filter(|s| s.window == window);
        let live = oldest_first(of_window);
        let levels = levels(live.iter().copied());
        let (state, filter) = (state_of(self.step, window), self.context.timelines.filter());
        let merge = choose_filtered(&live, (state, filter), self.context.max_overlays);
        let merge = if self.step.whole.contains(&window) {
            everything(&levels)
        } else {
            self.reach_deleted(merge, &levels, &live)
        };
        let kept = levels[..levels.len() - merge.newest].iter();
        let merged = &live[kept.map(|level| level.segments).sum()..];
        if !merged.is_empty() {
            let keys = merged.iter().map(|segment| segment.key.clone());
            self.written.replaced.insert(window, keys.collect());
        }
        let mut files = Vec::with_capacity(merged.len());
        for segment in merged {
            let file = SegmentFile::open(&self.context.bucket, segment);
            files.push(Arc::new(self.context.runtime.block_on(file)?));
        }
        let applied = merged
            .iter()
            .map(|segment| segment.deletes_applied.max(self.base.deletes_applied));
        Ok((merge.layer, files, applied.collect()))
    }

    /// A merge that also takes in every segment that points have to be deleted from.
    fn reach_deleted(&self, merge: Merge, levels: &[Level], live: &[&SegmentEntry]) -> Merge {
        let (deletes, due) = (&self.context.deletes, self.step.deletes_due);
        let holds_deleted = |segment: &&SegmentEntry| may_hold(deletes, self.base, segment, due);
        let Some(oldest) = live.iter().position(holds_deleted) else {
            return merge;
        };
        reaching(merge, levels, level_at(levels, oldest))
    }

    /// The chains of the window's records and of the segments that are merged in.
    fn chains_of(&self, fresh: &[ChainIndex], files: &[Arc<SegmentFile>]) -> ChainTable {
        let fresh = fresh.iter();
        let fresh = fresh.filter_map(|index| self.chains.get(*index).cloned());
        let live = files.iter().flat_map(|file| file.chains().chains());
        ChainTable::new(fresh.chain(live.cloned()).collect())
    }

    fn next_key(&mut self, identity: SegmentIdentity) -> String {
        let number = self.next_number;
        self.next_number += 1;
        ObjectKey::Segment {
            shard: identity.shard,
            resolution: identity.resolution,
            window: identity.window,
            generation: self.expected_generation(),
            attempt: self.attempt,
            number,
        }
        .to_string()
    }

    fn add(
        &mut self,
        (identity, layer, rollup_of): (SegmentIdentity, Layer, Option<String>),
        upload: SegmentUpload,
        finished: FinishedSegment,
    ) {
        if layer == Layer::Base {
            let filter = self.context.timelines.filter();
            assert_eq!(filter, OwnershipFilter::Owned, "a base is filtered");
            self.written.sealed.insert(identity.window);
        }
        let report = &mut self.written.report;
        if identity.resolution.is_raw() {
            report.segments += 1;
            report.segment_bytes += finished.summary.size_bytes;
            report.points_out += finished.summary.points;
        } else {
            report.rollups += 1;
            report.rollup_bytes += finished.summary.size_bytes;
            report.buckets += finished.summary.points;
        }
        report.encodings.add(&finished.encodings);
        self.written.added.push(SegmentEntry {
            key: upload.key().to_owned(),
            window: identity.window,
            resolution: identity.resolution,
            layer,
            rollup_of,
            generation: self.expected_generation(),
            write_id: upload.write_id(),
            summary: finished.summary,
            deletes_applied: self.context.deletes.len() as u64,
            filter: self.context.timelines.filter(),
        });
        let timers = &self.context.timers;
        let closing = timers.time(Stage::Close, || upload.close(finished.rest));
        self.closing.push_back(closing);
    }

    /// Waits until at most `left` uploads are still closing.
    fn finish_uploads(&mut self, left: usize) -> Result<()> {
        while self.closing.len() > left {
            if let Some(upload) = self.closing.pop_front() {
                let (runtime, timers) = (&self.context.runtime, &self.context.timers);
                timers.time(Stage::Close, || runtime.block_on(upload.finish()))?;
            }
        }
        Ok(())
    }
}
