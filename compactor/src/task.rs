//! One step of one shard, or a part of it: read, group, encode.

use std::sync::Arc;

use futures::StreamExt;
use skein_shared::format::block::BlockDecoder;
use skein_shared::format::compact_plan::{Part, Step};
use skein_shared::format::compact_result::{Delta, DeltaDeletes};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::quarantine::{QuarantineList, QuarantinedRecord};
use skein_shared::format::segment_writer::ENCODER_VERSION;
use skein_shared::format::shard_manifest::{
    ConservationCounts, ManifestVersions, QuarantineRef, ShardManifest,
};
use skein_shared::ids::WriteId;
use tokio::sync::mpsc;

use crate::block_reader::{BlockReader, FrameCounts};
use crate::delete_plan::applied_without;
use crate::error::{Error, Result};
use crate::metrics;
use crate::object_fetch::{BlockRange, fetch};
use crate::payload_arena::PayloadArena;
use crate::report::{CpuClock, StepReport};
use crate::series_grouper::SeriesGrouper;
use crate::spill::Spill;
use crate::task_context::TaskContext;
use crate::window_writer::{StepSegments, WindowWriter};

/// What the CPU side of a step made.
struct StepOutput {
    frames: FrameCounts,
    segments: StepSegments,
    quarantine: Option<QuarantineRef>,
}

/// Writes the segments of one step on top of `base`, or of one part of it. They become true with the commit.
///
/// # Errors
/// Whatever reading and writing give. Nothing partial is visible then.
///
/// # Cancel safety
/// Dropping the future leaves at most unreferenced segments behind.
pub async fn make(
    context: &Arc<TaskContext>,
    base: &ShardManifest,
    part: Part,
    step: Step,
) -> Result<(Delta, StepReport)> {
    let (objects, object_bytes) = (step.objects.len() as u64, step.object_bytes());
    let (advances, fill_advances) = (step.advances.clone(), step.fill_advances.clone());
    let output = if step.objects.is_empty() && step.rewrites.is_empty() {
        StepOutput::empty()
    } else {
        read_and_write(context, base, part, step).await?
    };
    let counts = output.conservation();
    let report = StepReport {
        generations: 0,
        objects,
        object_bytes,
        void_frames: output.frames.void,
        counts,
        points_merged: output.segments.points_merged,
        ..output.segments.report
    };
    let replaced = output.segments.replaced.values().flatten().collect();
    let known = &context.writer.deletes;
    let deletes = DeltaDeletes {
        in_force: known.len() as u64,
        applied: applied_without(&replaced, base, known),
        made_on: base.generation,
        deleted: output.segments.deleted,
    };
    let delta = Delta {
        advances,
        fill_advances,
        replaced: output.segments.replaced,
        added: output.segments.added,
        quarantine: output.quarantine.into_iter().collect(),
        counts,
        versions: ManifestVersions {
            shard_map: context.shard_map.version_count() as u64 - 1,
            timeline: context.writer.timelines.version(),
            encoder: ENCODER_VERSION,
            limits: context.limits,
        },
        deletes,
    };
    Ok((delta, report))
}

/// Feeds a thread of its own, which does the CPU work, with blocks from the bucket.
async fn read_and_write(
    context: &Arc<TaskContext>,
    base: &ShardManifest,
    part: Part,
    mut step: Step,
) -> Result<StepOutput> {
    let (blocks, queue) = mpsc::channel(1);
    let allowed = Arc::new(std::mem::take(&mut step.allowed));
    let ranges = fetch(
        context.bucket.clone(),
        context.fetch,
        std::mem::take(&mut step.objects),
        Arc::clone(&allowed),
    );
    let worker = {
        let (context, base, allowed) = (Arc::clone(context), base.clone(), Arc::clone(&allowed));
        tokio::task::spawn_blocking(move || {
            let chains = ChainTable::new(allowed.chains());
            let reader = BlockReader {
                shard: base.shard,
                part,
                span: context.span,
                allowed: &allowed,
                chains: &chains,
                shard_map: &context.shard_map,
                limits: &context.limits,
            };
            StepWork::new(&context, &base, &step, reader).run(queue)
        })
    };
    let mut ranges = std::pin::pin!(ranges);
    while let Some(range) = ranges.next().await {
        // A closed queue means that the worker has failed: its error is the one to tell.
        if blocks.send(range).await.is_err() {
            break;
        }
    }
    drop(blocks);
    let finished = worker.await;
    finished.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// The CPU side of a step.
struct StepWork<'a> {
    context: &'a TaskContext,
    reader: BlockReader<'a>,
    writer: WindowWriter<'a>,
    arena: PayloadArena,
    /// What the arena had no room for.
    spill: Option<Spill>,
    spilled_bytes: u64,
    frames: FrameCounts,
}

impl<'a> StepWork<'a> {
    fn new(
        context: &'a TaskContext,
        base: &'a ShardManifest,
        step: &'a Step,
        reader: BlockReader<'a>,
    ) -> Self {
        let rule = (reader.part, step);
        let writer = WindowWriter::new(&context.writer, base, rule, reader.chains);
        Self {
            context,
            reader,
            writer,
            arena: context.arenas.take(),
            spill: None,
            spilled_bytes: 0,
            frames: FrameCounts::default(),
        }
    }

    fn run(mut self, mut queue: mpsc::Receiver<Result<BlockRange>>) -> Result<StepOutput> {
        let clock = CpuClock::start();
        let mut decoder = BlockDecoder::new();
        while let Some(range) = queue.blocking_recv() {
            self.read_range(&mut decoder, &range?)?;
        }
        let mut grouper = self.group()?;
        self.writer.write(&mut grouper)?;
        self.context.arenas.give_back(grouper.into_arena());
        let quarantine = self.write_quarantine()?;
        let mut segments = self.writer.finish()?;
        segments.report.busy = clock.stop();
        segments.report.spilled_bytes = self.spilled_bytes;
        Ok(StepOutput {
            frames: self.frames,
            segments,
            quarantine,
        })
    }

    fn read_range(&mut self, decoder: &mut BlockDecoder, range: &BlockRange) -> Result<()> {
        for block in &range.blocks {
            if self.context.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let points_before = self.frames.points;
            self.reader
                .read(decoder, (range, block), &mut self.arena, &mut self.frames)?;
            let points = self.frames.points - points_before;
            self.context.progress.add(points, block.bytes);
            self.check_budget()?;
            if self.arena.held_bytes() >= self.context.arena_bytes {
                self.spill_arena()?;
            }
        }
        Ok(())
    }

    /// A task whose part is far larger than planned is given up early.
    fn check_budget(&self) -> Result<()> {
        let (bytes, most) = (self.frames.payload_bytes, self.context.most_task_bytes);
        if bytes > most {
            return Err(Error::OverBudget { bytes, most });
        }
        Ok(())
    }

    fn spill_arena(&mut self) -> Result<()> {
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => Spill::create(&self.context.spill_place)?,
        };
        spill.append(&mut self.arena)?;
        self.spilled_bytes = spill.bytes();
        self.spill = Some(spill);
        Ok(())
    }

    /// Everything that was read, in order.
    fn group(&mut self) -> Result<SeriesGrouper> {
        if self.spill.is_some() && !self.arena.is_empty() {
            self.spill_arena()?;
        }
        let arena = std::mem::take(&mut self.arena);
        match self.spill.take() {
            None => Ok(SeriesGrouper::in_memory(arena)),
            Some(spill) => {
                metrics::step_spilled(self.reader.shard, spill.bytes());
                SeriesGrouper::merged(spill, arena, self.context.spill_read_bytes)
            }
        }
    }

    /// Writes the list of the records that could not become points.
    fn write_quarantine(&mut self) -> Result<Option<QuarantineRef>> {
        let mut records: Vec<QuarantinedRecord> = std::mem::take(&mut self.frames.quarantined);
        if records.is_empty() {
            return Ok(None);
        }
        records.sort_by(|a, b| a.position.cmp(&b.position));
        let (shard, generation) = (self.reader.shard, self.writer.expected_generation());
        let key = ObjectKey::Quarantine {
            shard,
            generation,
            attempt: self.writer.attempt(),
        };
        let key = key.to_string();
        let count = records.len() as u64;
        let list = QuarantineList {
            shard,
            expected_generation: generation,
            records,
        };
        let write_id = WriteId::random();
        let bytes = list.encode(write_id);
        let crc32c = skein_shared::format::checksum::crc32c(&bytes);
        let put = self.context.bucket.put(&key, bytes, write_id);
        self.context.writer.runtime.block_on(put)?;
        Ok(Some(QuarantineRef {
            key,
            records: count,
            crc32c,
        }))
    }
}

impl StepOutput {
    fn empty() -> Self {
        Self {
            frames: FrameCounts::default(),
            segments: StepSegments::default(),
            quarantine: None,
        }
    }

    /// Where the step's records and points went.
    fn conservation(&self) -> ConservationCounts {
        let merged = self.segments.counts;
        assert_eq!(
            merged.total(),
            self.frames.points + self.segments.points_merged,
            "SK-11: points in are points out, duplicates, not owned or deleted"
        );
        ConservationCounts {
            records: self.frames.records,
            quarantined_records: self.quarantine.as_ref().map_or(0, |list| list.records),
            points_in: self.frames.points,
            duplicates: merged.duplicates,
            not_owned: merged.not_owned,
            deleted: merged.deleted,
        }
    }
}
