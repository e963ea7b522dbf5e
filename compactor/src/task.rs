//! One step of one shard, or a part of it: read, group, encode.

mod step_output;

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use skein_shared::bucket::Bucket;
use skein_shared::format::block::BlockDecoder;
use skein_shared::format::checksum;
use skein_shared::format::compact_plan::{Part, Step};
use skein_shared::format::compact_result::{Delta, DeltaDeletes};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::segment_writer::ENCODER_VERSION;
use skein_shared::format::shard_manifest::{ManifestVersions, SealRef, ShardManifest};
use skein_shared::format::state_object::BlockEntry;
use skein_shared::ids::{Generation, WriteId};
use tokio::sync::mpsc;

use crate::block_reader::{BlockReader, FrameCounts};
use crate::damage::{CountingFrames, FoundDamage, is_damage};
use crate::delete_plan::applied_without;
use crate::error::{Error, Result};
use crate::metrics;
use crate::object_fetch::{BlockRange, Fetched, fetch};
use crate::payload_arena::PayloadArena;
use crate::quarantine_list::{self, Listed};
use crate::report::{CpuClock, StepReport};
use crate::seal_history::SealHistory;
use crate::series_grouper::SeriesGrouper;
use crate::spill::Spill;
use crate::stage_timers::Stage;
use crate::task_context::TaskContext;
use crate::window_writer::WindowWriter;

use step_output::StepOutput;

/// Writes the segments of one step on top of `base`, or of one part of it. They become true with the commit. Places of
/// state that do not read back are listed, and the rest is read as ever.
///
/// # Errors
/// Whatever reading and writing give. Nothing partial is visible then.
///
/// # Cancel safety
/// Dropping the future leaves at most unreferenced segments behind.
pub async fn make(
    context: &Arc<TaskContext>,
    base: &ShardManifest,
    (part, step): (Part, Step),
    seals: SealHistory,
) -> Result<(Delta, StepReport)> {
    let (objects, object_bytes) = (step.objects.len() as u64, step.object_bytes());
    let (advances, fill_advances) = (step.advances.clone(), step.fill_advances.clone());
    let complete_to = step.complete_to;
    let output = if step.objects.is_empty() && step.rewrites.is_empty() {
        StepOutput::empty()
    } else {
        read_and_write(context, base, (part, step), seals).await?
    };
    let (counts, orgs) = output.conservation();
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
    let deletes = DeltaDeletes {
        in_force: context.writer.deletes.len() as u64,
        applied: applied_without(&replaced, base, &context.writer.deletes),
        made_on: base.generation,
        deleted: output.segments.deleted,
    };
    let delta = Delta {
        advances,
        fill_advances,
        replaced: output.segments.replaced,
        added: output.segments.added,
        quarantine: output.quarantine.list.into_iter().collect(),
        damages: output.quarantine.damages,
        seal: output.seal,
        counts,
        orgs: Some(orgs),
        versions: ManifestVersions {
            shard_map: context.shard_map.version_count() as u64 - 1,
            timeline: context.writer.timelines.version(),
            encoder: ENCODER_VERSION,
            limits: context.limits,
        },
        deletes,
        complete_to,
    };
    Ok((delta, report))
}

/// Deletes what a step has written, of which nobody will know.
///
/// # Errors
/// The bucket's.
pub async fn discard(bucket: &Bucket, delta: &Delta) -> Result<()> {
    for segment in &delta.added {
        bucket.delete(&segment.key).await?;
    }
    if let Some(seal) = &delta.seal {
        bucket.delete(&seal.key).await?;
    }
    quarantine_list::discard(bucket, &delta.quarantine).await
}

/// Feeds a thread of its own, which does the CPU work, with blocks from the bucket.
async fn read_and_write(
    context: &Arc<TaskContext>,
    base: &ShardManifest,
    (part, mut step): (Part, Step),
    seals: SealHistory,
) -> Result<StepOutput> {
    let (blocks, queue) = mpsc::channel(1);
    let left_out = context.left_out.get(&base.shard);
    let counting = Arc::new(CountingFrames {
        allowed: std::mem::take(&mut step.allowed),
        left_out: left_out.cloned().unwrap_or_default(),
    });
    let ranges = fetch(
        context.bucket.clone(),
        context.fetch.clone(),
        std::mem::take(&mut step.objects),
        Arc::clone(&counting),
    );
    let worker = {
        let (context, base) = (Arc::clone(context), base.clone());
        tokio::task::spawn_blocking(move || {
            let chains = ChainTable::new(counting.allowed.chains());
            let reader = BlockReader {
                shard: base.shard,
                part,
                span: context.span,
                counting: &counting,
                chains: &chains,
                shard_map: &context.shard_map,
                limits: &context.limits,
                seals: &seals,
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
    damages: Vec<FoundDamage>,
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
            damages: Vec::new(),
        }
    }

    fn run(mut self, mut queue: mpsc::Receiver<Result<Fetched>>) -> Result<StepOutput> {
        let clock = CpuClock::start();
        let mut decoder = BlockDecoder::new();
        let timers = &self.context.timers;
        while let Some(fetched) = timers.time(Stage::Wait, || queue.blocking_recv()) {
            match fetched? {
                Fetched::Blocks(range) => self.read_range(&mut decoder, &range)?,
                Fetched::Damaged(damage) => self.damages.push(damage),
            }
        }
        let mut grouper = timers.time(Stage::Sort, || self.group())?;
        self.writer.write(&mut grouper)?;
        self.context.arenas.give_back(grouper.into_arena());
        let (quarantine, seal) = timers.time(Stage::Close, || {
            Ok::<_, Error>((self.write_quarantine()?, self.write_seal()?))
        })?;
        let mut segments = self.writer.finish()?;
        segments.report.busy = clock.stop();
        segments.report.spilled_bytes = self.spilled_bytes;
        Ok(StepOutput {
            frames: self.frames,
            segments,
            quarantine,
            seal,
        })
    }

    fn read_range(&mut self, decoder: &mut BlockDecoder, range: &BlockRange) -> Result<()> {
        for block in &range.blocks {
            if self.context.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let points_before = self.frames.points;
            let timers = &self.context.timers;
            timers.time(Stage::Decode, || self.read_block(decoder, range, block))?;
            let points = self.frames.points - points_before;
            self.context.progress.add(points, block.bytes);
            self.check_budget()?;
            if self.arena.held_bytes() >= self.context.arena_bytes {
                timers.time(Stage::Sort, || self.spill_arena())?;
            }
        }
        Ok(())
    }

    /// A block that does not read back is fetched once more: damage on the way here is none in the bucket.
    fn read_block(
        &mut self,
        decoder: &mut BlockDecoder,
        range: &BlockRange,
        block: &BlockEntry,
    ) -> Result<()> {
        let object = range.object.as_ref();
        let (arena, counts) = (&mut self.arena, &mut self.frames);
        let bytes = range.block(block);
        let read = self
            .reader
            .read(decoder, (object, block, bytes), arena, counts);
        let Err(error) = read else {
            return Ok(());
        };
        if !is_damage(&error) {
            return Err(error);
        }
        metrics::damage_read_again(&object.key, &error);
        let place = block.at..block.at + block.bytes;
        let fetch = self.context.bucket.get_range(&object.key, place);
        let again = self.context.writer.runtime.block_on(fetch);
        let read = again.map_err(Error::from).and_then(|bytes| {
            let block = (object, block, &bytes[..]);
            self.reader.read(decoder, block, arena, counts)
        });
        match read {
            Err(error) if is_damage(&error) => {
                let damage = object.damaged_block(block, self.reader.counting, &error);
                self.damages.push(damage);
                Ok(())
            }
            read => read,
        }
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

    /// Writes the list of what could not be read.
    fn write_quarantine(&mut self) -> Result<Listed> {
        let (bucket, limits) = (&self.context.bucket, &self.context.limits);
        let (generation, attempt) = (self.writer.expected_generation(), self.writer.attempt());
        let name = (self.reader.shard, generation, attempt);
        let records = std::mem::take(&mut self.frames.quarantined);
        let found = std::mem::take(&mut self.damages);
        self.context.writer.runtime.block_on(async {
            let mut damages = Vec::with_capacity(found.len());
            for damage in found {
                damages.push(damage.with_times(bucket, limits).await?);
            }
            quarantine_list::write(bucket, name, records, damages).await
        })
    }
}

impl StepWork<'_> {
    /// Writes where the shard stands with its new bases, if there are any.
    fn write_seal(&self) -> Result<Option<SealRef>> {
        let windows = self.writer.sealed().clone();
        if windows.is_empty() {
            return Ok(None);
        }
        let seal = self.writer.seal();
        let key = ObjectKey::Seal {
            shard: seal.shard,
            generation: seal.expected_generation,
            attempt: self.writer.attempt(),
        };
        let key = key.to_string();
        let write_id = WriteId::random();
        let crc32c = self.put(&key, seal.encode(write_id), write_id)?;
        Ok(Some(SealRef {
            key,
            crc32c,
            windows,
            // Known once it is committed.
            generation: Generation(0),
        }))
    }

    /// Writes an object of metadata; answers its CRC32C.
    fn put(&self, key: &str, bytes: Bytes, write_id: WriteId) -> Result<u32> {
        let crc32c = checksum::crc32c(&bytes);
        let put = self.context.bucket.put(key, bytes, write_id);
        self.context.writer.runtime.block_on(put)?;
        Ok(crc32c)
    }
}
