//! From a filled arena to one segment for each window that it touches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use skein_config::cutover::timeline::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::{Attempt, ObjectKey};
use skein_shared::format::order_column::{ChainIndex, ChainTable};
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_writer::{FinishedSegment, SegmentIdentity};
use skein_shared::format::shard_manifest::{SegmentEntry, ShardManifest};
use skein_shared::ids::{Generation, WriteId};
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::window::{Resolution, Window};
use tokio::runtime::Handle;

use crate::duplicate_rule::MergeCounts;
use crate::error::Result;
use crate::live_segments::LiveSegments;
use crate::merge_policy::{Choice, choose};
use crate::payload_arena::PayloadArena;
use crate::report::StepReport;
use crate::segment_upload::{ClosingUpload, SegmentUpload};
use crate::series_encoder::{Scratch, SegmentInput, encode_segment};
use crate::series_grouper::{WindowGroup, windows};

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
    /// Live segments that a window may have.
    pub max_live_segments: u32,
    /// What their encoder is after.
    pub profile: Profile,
    /// Who writes which point.
    pub timelines: Arc<Timelines>,
}

/// Writes the segments of one step. Nothing is visible until the step is committed.
#[derive(Debug)]
pub struct WindowWriter<'a> {
    context: &'a WriterContext,
    base: &'a ShardManifest,
    /// The step's chains: what orders in the arena mean.
    chains: &'a ChainTable,
    attempt: Attempt,
    next_number: u32,
    scratch: Scratch,
    closing: VecDeque<ClosingUpload>,
    written: StepSegments,
}

/// What a step's segments change.
#[derive(Debug, Default)]
pub struct StepSegments {
    /// The new segments.
    pub added: Vec<SegmentEntry>,
    /// Windows whose live segments were merged, with their keys.
    pub replaced: BTreeMap<Window, Vec<String>>,
    /// Where the points went.
    pub counts: MergeCounts,
    /// Points of live segments that were merged again.
    pub points_merged: u64,
    /// Segments written and their bytes and encodings.
    pub report: StepReport,
}

impl<'a> WindowWriter<'a> {
    /// A writer for a step on top of `base`.
    pub fn new(
        context: &'a WriterContext,
        base: &'a ShardManifest,
        chains: &'a ChainTable,
    ) -> Self {
        let (random, _) = WriteId::random().0.as_u64_pair();
        Self {
            context,
            base,
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

    /// Writes the arena's points, one segment a window, and empties it. CPU work: not for an async thread.
    ///
    /// # Errors
    /// What reading live segments or uploading gives.
    ///
    /// # Panics
    /// If points were lost on the way (SK-11).
    pub fn write(&mut self, arena: &mut PayloadArena) -> Result<()> {
        let before = self.written.counts.total() - self.written.points_merged;
        arena.sort();
        for group in windows(arena.refs()) {
            self.write_window(arena, group)?;
        }
        let after = self.written.counts.total() - self.written.points_merged;
        assert_eq!(
            after - before,
            arena.points(),
            "SK-11: an arena's points are conserved"
        );
        arena.clear();
        Ok(())
    }

    /// Waits for the last uploads.
    ///
    /// # Errors
    /// The bucket's.
    pub fn finish(mut self) -> Result<StepSegments> {
        self.finish_uploads(0)?;
        Ok(self.written)
    }

    fn write_window(&mut self, arena: &PayloadArena, group: WindowGroup<'_>) -> Result<()> {
        let identity = SegmentIdentity {
            shard: self.base.shard,
            window: group.window(),
            resolution: Resolution::Raw,
        };
        let files = self.files_to_merge(group.window())?;
        let chains = self.chains_of(group, &files);
        let indexes: Vec<ChainIndex> = self
            .chains
            .chains()
            .iter()
            // Chains that are not in this window are never looked up.
            .map(|chain| chains.index_of(chain).unwrap_or_default())
            .collect();
        let context = self.context;
        let runtime = context.runtime.clone();
        let upload =
            SegmentUpload::start(&runtime, context.bucket.clone(), self.next_key(identity));
        let input = SegmentInput {
            identity,
            arena,
            group,
            chain_indexes: &indexes,
            live: LiveSegments::new(runtime, files, &chains),
            chains,
            profile: context.profile,
            timelines: &context.timelines,
        };
        let (finished, counts) =
            encode_segment(input, &mut self.scratch, context.part_bytes, |part| {
                upload.part(part);
            })?;
        self.written.counts.add(counts);
        if let Some(finished) = finished {
            self.add(identity, upload, finished)?;
        }
        Ok(())
    }

    /// The window's live segments, if the policy has them merged; from then on they count as replaced.
    fn files_to_merge(&mut self, window: Window) -> Result<Vec<Arc<SegmentFile>>> {
        let in_window = |segment: &&SegmentEntry| segment.window == window;
        let written = &mut self.written;
        let is_replaced = written.replaced.contains_key(&window);
        let base = self.base.raw_segments().filter(in_window);
        let base: Vec<SegmentEntry> = base.filter(|_| !is_replaced).cloned().collect();
        let added = written.added.iter().filter(in_window).count();
        match choose(base.len() + added, self.context.max_live_segments) {
            Choice::Overlay => return Ok(Vec::new()),
            Choice::Merge => {}
        }
        if added > 0 {
            // What this step has written itself must be there before it is read.
            self.finish_uploads(0)?;
        }
        let written = &mut self.written;
        let keys = base.iter().map(|segment| segment.key.clone());
        written.replaced.entry(window).or_default().extend(keys);
        let own = written
            .added
            .extract_if(.., |segment| segment.window == window);
        let merged: Vec<SegmentEntry> = base.into_iter().chain(own).collect();
        let mut files = Vec::with_capacity(merged.len());
        for segment in &merged {
            let file = SegmentFile::open(&self.context.bucket, segment);
            files.push(Arc::new(self.context.runtime.block_on(file)?));
            written.points_merged += segment.summary.points;
        }
        Ok(files)
    }

    /// The chains of the window's records and of the segments that are merged in: the segment's bytes must
    /// depend on nothing else.
    fn chains_of(&self, group: WindowGroup<'_>, files: &[Arc<SegmentFile>]) -> ChainTable {
        let fresh = group.chains().into_iter();
        let fresh = fresh.filter_map(|index| self.chains.get(index).cloned());
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
        identity: SegmentIdentity,
        upload: SegmentUpload,
        finished: FinishedSegment,
    ) -> Result<()> {
        let report = &mut self.written.report;
        report.segments += 1;
        report.segment_bytes += finished.summary.size_bytes;
        report.points_out += finished.summary.points;
        report.encodings.add(&finished.encodings);
        self.written.added.push(SegmentEntry {
            key: upload.key().to_owned(),
            window: identity.window,
            resolution: identity.resolution,
            rollup_of: None,
            generation: self.expected_generation(),
            write_id: upload.write_id(),
            summary: finished.summary,
        });
        self.closing.push_back(upload.close(finished.rest));
        self.finish_uploads(CLOSING_UPLOADS)
    }

    /// Waits until at most `left` uploads are still closing.
    fn finish_uploads(&mut self, left: usize) -> Result<()> {
        while self.closing.len() > left {
            if let Some(upload) = self.closing.pop_front() {
                self.context.runtime.block_on(upload.finish())?;
            }
        }
        Ok(())
    }
}
