//! What a world is like, drawn from its seed before it begins: small, so that many fit into a second.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use fastrand::Rng;
use skein_config::connector::{ConnectorSettings, OnLostOffsets, OnReplacedLog};
use skein_config::load::{Layers, load};
use skein_connector::core::{Floors, IndexFloors};
use skein_shared::format::ledger_entry::StartPolicy;
use skein_shared::shard_map::Routing;
use skein_shared::units::{ByteCount, Millis};

use crate::fault::FaultPlan;

/// Payloads above this go into quarantine.
pub(super) const PAYLOAD_LIMIT: u64 = 1_500;

/// A world's measures.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) faults: FaultPlan,
    pub(super) partitions: usize,
    pub(super) workers: usize,
    pub(super) session_ms: u64,
    pub(super) settings: ConnectorSettings,
    pub(super) floors: Floors,
    pub(super) start: StartPolicy,
    pub(super) routing: Routing,
    pub(super) membership: MembershipKind,
    /// Records that are there before anybody reads.
    pub(super) backlog: u32,
    /// Longest time between two appends.
    pub(super) produce_every_ms: u64,
    /// What readers grant to late records and to producers whose clocks run ahead, half of it to each.
    pub(super) delay: Millis,
    /// How old a thing is, and how silent its worker, before the janitor fences.
    pub(super) janitor_patience: Millis,
}

/// How a restarted process joins its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MembershipKind {
    /// As a new member.
    Dynamic,
    /// As the one that it was, if its session is not over.
    Static,
}

static DEFAULTS: LazyLock<ConnectorSettings> = LazyLock::new(|| {
    let layers = Layers {
        file: None,
        environment: Vec::new(),
        flags: Vec::new(),
    };
    let settings = load(&layers).expect("the embedded defaults are valid");
    settings.connector
});

impl Plan {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let faults = FaultPlan::draw(rng);
        let floors = Floors {
            block_bytes: rng.u64(200..2_000),
            part_bytes: rng.u64(300..4_000),
            entry_bytes: 0,
            stream_bytes: 0,
            index: IndexFloors::NONE,
            partition_bytes: 0,
        };
        let start = if rng.u8(..6) == 0 {
            StartPolicy::Latest
        } else {
            StartPolicy::Earliest
        };
        let membership = if rng.u8(..4) == 0 {
            MembershipKind::Static
        } else {
            MembershipKind::Dynamic
        };
        Self {
            faults,
            partitions: rng.usize(1..=4),
            workers: rng.usize(1..=3),
            session_ms: rng.u64(1_000..3_000),
            settings: draw_settings(rng, floors),
            floors,
            start,
            routing: Routing {
                modulus: rng.u32(1..=3),
                dedicated: BTreeSet::new(),
            },
            membership,
            backlog: rng.u32(..40),
            produce_every_ms: rng.u64(50..500),
            delay: Millis(rng.u64(..2_000)),
            janitor_patience: Millis(*rng.choice(&[0, 300, 3_000]).expect("there are three")),
        }
    }
}

fn draw_settings(rng: &mut Rng, floors: Floors) -> ConnectorSettings {
    let mut settings = DEFAULTS.clone();
    settings.flush_interval = Millis(rng.u64(300..3_000));
    settings.flush_records = rng.u64(10..200);
    settings.flush_bytes = ByteCount(rng.u64(4_000..40_000));
    settings.roll_records = rng.u64(3..50);
    settings.roll_bytes = ByteCount(rng.u64(2_000..20_000));
    settings.memory_budget = ByteCount(rng.u64(20_000..120_000));
    settings.block_bytes = ByteCount(rng.u64(200..4_000));
    settings.part_bytes = ByteCount(floors.part_bytes + rng.u64(..2_000));
    settings.small_object_bytes = ByteCount(floors.part_bytes + rng.u64(..4_000));
    settings.upload_concurrency = rng.u32(1..=8);
    settings.status_interval = Millis(rng.u64(300..5_000));
    if rng.bool() {
        settings.on_lost_offsets = OnLostOffsets::SkipAndRecord;
    }
    if rng.bool() {
        settings.on_replaced_log = OnReplacedLog::NewIncarnation;
    }
    settings.lookup_timeout = Millis(rng.u64(100..1_500));
    settings.drain_timeout = Millis(rng.u64(100..2_500));
    settings.shutdown_timeout = Millis(rng.u64(500..5_000));
    settings
}
