//! What every task of a process shares: the bucket, the rules, and memory.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use skein_config::compactor::CompactorSettings;
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::format::compact_plan::PlanRules;
use skein_shared::format::damage::Damage;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::ids::ShardId;
use skein_shared::payload::Limits;
use skein_shared::shard_map::ShardMap;
use skein_shared::units::MIB;
use skein_shared::window::TimeSpan;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::object_fetch::FetchSettings;
use crate::payload_arena::ArenaPool;
use crate::report::ProgressCounter;
use crate::segment_input::MergeMemory;
use crate::spill::SpillPlace;
use crate::stage_timers::StageTimers;
use crate::window_writer::WriterContext;

/// Least memory that a task is started with; fewer tasks run when the budget has less for each.
const MIN_TASK_BYTES: u64 = 64 * MIB;

/// What every task of a process shares.
#[derive(Debug)]
pub struct TaskContext {
    /// Where everything is.
    pub bucket: Bucket,
    /// How objects are fetched.
    pub fetch: FetchSettings,
    /// How segments are written.
    pub writer: WriterContext,
    /// Bytes of payloads and references that a task keeps in memory; more of them are spilled.
    pub arena_bytes: usize,
    /// Payload bytes after which a task is given up.
    pub most_task_bytes: u64,
    /// Where they are spilled to.
    pub spill_place: SpillPlace,
    /// Bytes with which one task reads spilled payloads back.
    pub spill_read_bytes: usize,
    /// What tasks that are over have left.
    pub arenas: ArenaPool,
    /// What a payload may hold.
    pub limits: Limits,
    /// Points of windows that do not touch it are left out.
    pub span: TimeSpan,
    /// Who owns which window of an org.
    pub shard_map: ShardMap,
    /// Of each shard the damages whose records are not read, though they may read back: they were never taken in.
    pub left_out: BTreeMap<ShardId, Vec<Damage>>,
    /// Stops tasks between blocks.
    pub cancel: CancellationToken,
    /// How far the tasks are.
    pub progress: ProgressCounter,
    /// What the stages of all tasks take.
    pub timers: StageTimers,
}

/// What the memory budget is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskMemory {
    /// Tasks at the same time.
    pub tasks: usize,
    /// Payloads and references of one of them.
    arena_bytes: usize,
    /// Objects, and later live segments and what was spilled, on the way in.
    read_bytes: usize,
    /// One series on its way through the merge.
    merge_bytes: usize,
    /// Requests under way or waiting.
    read_concurrency: usize,
}

impl TaskContext {
    /// For tasks that take `rules`, each with a share of `memory`; `deletes` are those that the rules number.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill) when there is no folder to spill to.
    pub fn new(
        (settings, memory): (&CompactorSettings, TaskMemory),
        bucket: &Bucket,
        (rules, timelines, deletes): (&PlanRules, Timelines, Arc<[DeleteEntry]>),
        shard_map: ShardMap,
        (cancel, progress): (CancellationToken, ProgressCounter),
    ) -> Result<Self> {
        let timers = StageTimers::default();
        let spill_place = SpillPlace::open(&spill_folder(settings))?;
        Ok(Self {
            bucket: bucket.clone(),
            fetch: FetchSettings {
                read_bytes: settings.read_bytes.0,
                read_concurrency: memory.read_concurrency,
                timers: timers.clone(),
            },
            writer: WriterContext {
                runtime: Handle::current(),
                bucket: bucket.clone(),
                part_bytes: settings.part_bytes.as_usize(),
                max_overlays: rules.max_overlays,
                rollups: rules.rollups.clone(),
                profile: rules.profile,
                merge_memory: MergeMemory {
                    bytes: memory.merge_bytes,
                    place: spill_place.clone(),
                },
                live_read_bytes: memory.read_bytes,
                timelines: Arc::new(timelines),
                deletes,
                cancel: cancel.clone(),
                timers: timers.clone(),
            },
            arena_bytes: memory.arena_bytes,
            most_task_bytes: u64::MAX,
            spill_place,
            spill_read_bytes: memory.read_bytes,
            arenas: ArenaPool::default(),
            limits: rules.limits,
            span: TimeSpan::ALL,
            shard_map,
            left_out: BTreeMap::new(),
            cancel,
            progress,
            timers,
        })
    }

    /// The same, with timers that others add to as well.
    #[must_use]
    pub fn timed_by(mut self, timers: &StageTimers) -> Self {
        self.fetch.timers = timers.clone();
        self.writer.timers = timers.clone();
        self.timers = timers.clone();
        self
    }
}

impl TaskMemory {
    /// For as many tasks at the same time as the settings say.
    ///
    /// # Panics
    /// On a target whose addresses do not span the memory budget.
    pub fn of(settings: &CompactorSettings) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let wanted = match settings.threads {
            0 => cores() as u64,
            threads => u64::from(threads),
        };
        Self::shared_by(settings, wanted)
    }

    /// For one task that has all of it.
    ///
    /// # Panics
    /// As [`TaskMemory::of`].
    pub fn of_one(settings: &CompactorSettings) -> Self {
        Self::shared_by(settings, 1)
    }

    /// Of one task's share half goes to the arena, a quarter to reads, an eighth to merging; the rest is for encoder and
    /// uploads.
    fn shared_by(settings: &CompactorSettings, wanted: u64) -> Self {
        let budget = settings.memory_budget.0;
        let tasks = wanted.min(budget / MIN_TASK_BYTES).max(1);
        let share = budget / tasks;
        // Fetching keeps up to twice as many ranges: objects being opened and ranges being read.
        let reads = share / 4 / settings.read_bytes.0.max(1) / 2;
        let index = |n: u64| usize::try_from(n).expect("a budget fits a 64-bit target");
        Self {
            tasks: index(tasks),
            arena_bytes: index(share / 2),
            read_bytes: index(share / 4),
            merge_bytes: index(share / 8),
            read_concurrency: index(reads.clamp(1, u64::from(settings.read_concurrency))),
        }
    }
}

fn spill_folder(settings: &CompactorSettings) -> PathBuf {
    if settings.spill_folder.as_os_str().is_empty() {
        std::env::temp_dir()
    } else {
        settings.spill_folder.clone()
    }
}
