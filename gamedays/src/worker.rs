//! One process of a world: the connector's own core, and a model of what drives it.

pub mod bucket_call;
pub mod consumer;

use std::collections::BTreeMap;

use skein_connector::core::action::{Action, ObjectNumber};
use skein_connector::core::event::Event;
use skein_connector::core::{Core, CoreOptions};
use skein_connector::operations::StillWatch;
use skein_shared::format::block::{BlockBuffer, SyncMarker};
use skein_shared::ids::WorkerId;
use skein_shared::units::Millis;

use crate::model_kafka::group::MemberId;
use crate::promise_check::Held;
use crate::worker::bucket_call::BucketCalls;
use crate::worker::consumer::Consumer;

/// A process by its place, and which life of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    /// Where the orchestrator starts it.
    pub slot: usize,
    /// How often it was started there before.
    pub life: u32,
}

/// A process.
#[derive(Debug)]
pub struct Worker {
    /// Which.
    pub who: Who,
    /// Its own id, new with every life.
    pub id: WorkerId,
    core: Core,
    /// Requests to the bucket that it carries out.
    pub calls: BucketCalls,
    /// What it reads.
    pub consumer: Consumer,
    /// Its membership, as it knows it.
    pub member: Option<MemberId>,
    /// Generation of its group, as it knows it.
    pub generation: u64,
    /// Blocks that are being compressed.
    pub blocks: BTreeMap<u64, (ObjectNumber, BlockBuffer, SyncMarker)>,
    blocks_made: u64,
    block_bytes: u64,
    /// Until when it is stopped.
    pub paused_until: u64,
    /// Until when the coordinator cannot be reached.
    pub unreachable_until: u64,
    clock_ahead: u64,
    /// Whether it was asked to end.
    pub is_ending: bool,
    /// Whether it has stopped a partition that only a restart brings back.
    pub needs_a_person: bool,
    /// How many versions of the shard map it knows.
    pub maps_known: usize,
    /// When it last told its core the consumer's positions.
    pub positions_at: u64,
    /// What stands still though Kafka has more.
    pub still: StillWatch,
    /// When that is looked for again.
    pub still_at: u64,
    /// When it was started.
    pub started_at: u64,
    limit_bytes: u64,
    /// How many uploads each lane may have under way when nothing has gone wrong.
    widest: Vec<u64>,
}

impl Worker {
    /// A process that has just started.
    pub fn start(who: Who, options: CoreOptions, now: u64) -> Self {
        let maps_known = options.shard_map.version_count();
        let (id, limit_bytes) = (options.worker, options.settings.memory_shares().buffers.0);
        let core = Core::new(options, Millis(now));
        Self {
            who,
            id,
            limit_bytes,
            widest: core.upload_limits().map(|(_, limit)| limit).collect(),
            core,
            started_at: now,
            calls: BucketCalls::default(),
            consumer: Consumer::default(),
            member: None,
            generation: 0,
            blocks: BTreeMap::new(),
            blocks_made: 0,
            block_bytes: 0,
            paused_until: 0,
            unreachable_until: 0,
            clock_ahead: 0,
            is_ending: false,
            needs_a_person: false,
            maps_known,
            positions_at: 0,
            still: StillWatch::default(),
            still_at: 0,
        }
    }

    /// Gives its core an event.
    pub fn step(&mut self, now: u64, event: Event<'_>, actions: &mut Vec<Action>) {
        self.core
            .step(Millis(now + self.clock_ahead), event, actions);
    }

    /// Its clock jumps ahead, or back to where it should be.
    pub fn jump_clock(&mut self, ahead: u64) {
        self.clock_ahead = if self.clock_ahead > 0 { 0 } else { ahead };
    }

    /// Begins to compress a block; gives its number.
    pub fn take_block(&mut self, block: (ObjectNumber, BlockBuffer, SyncMarker)) -> u64 {
        self.blocks_made += 1;
        self.block_bytes += block.1.raw_bytes() as u64;
        self.blocks.insert(self.blocks_made, block);
        self.blocks_made
    }

    /// A block is compressed.
    pub fn give_block(&mut self, number: u64) -> Option<(ObjectNumber, BlockBuffer, SyncMarker)> {
        let block = self.blocks.remove(&number)?;
        self.block_bytes -= block.1.raw_bytes() as u64;
        Some(block)
    }

    /// Whether nothing but time is waited for.
    pub fn is_idle(&self) -> bool {
        self.core.open_requests() == 0 && self.blocks.is_empty()
    }

    /// What it holds in memory.
    pub fn held(&self) -> Held {
        Held {
            counted_bytes: self.core.buffered_bytes(),
            leaving_bytes: self.block_bytes + self.calls.body_bytes(),
            limit_bytes: self.limit_bytes,
        }
    }

    /// Whether it uploads less at the same time than it may.
    pub fn is_narrowed(&self) -> bool {
        let limits = self.core.upload_limits().map(|(_, limit)| limit);
        limits.zip(&self.widest).any(|(now, widest)| now < *widest)
    }

    /// Its decisions.
    pub const fn core(&self) -> &Core {
        &self.core
    }
}
