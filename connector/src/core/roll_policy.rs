//! When a block is full, when a part is sent, when an object is sealed, when a flush is due.

use skein_config::connector::ConnectorSettings;
use skein_shared::ids::WorkerId;
use skein_shared::units::{MIB, Millis};

use crate::core::byte_budget::ByteBudget;
use crate::core::options::Floors;

/// Largest part: above it fewer requests save nothing that counts.
const MAX_PART_BYTES: u64 = 64 * MIB;

/// How much an open object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectFill {
    /// Records.
    pub records: u64,
    /// Bytes that are stored or will be.
    pub bytes: u64,
}

/// Raw bytes at which a block is full, when `open_objects` share an eighth of the budget for their blocks.
pub fn block_bytes(
    settings: &ConnectorSettings,
    floors: Floors,
    budget: &ByteBudget,
    open_objects: usize,
) -> u64 {
    let share = budget.limit_bytes() / 8 / (open_objects.max(1) as u64);
    share.clamp(
        floors.block_bytes,
        settings.block_bytes.0.max(floors.block_bytes),
    )
}

/// Stored bytes at which a part is sent. The first waits until the object is no longer small. Later ones grow
/// with the object while at least half of the budget is free, because parts are billed as requests.
pub fn part_bytes(
    settings: &ConnectorSettings,
    floors: Floors,
    budget: &ByteBudget,
    open_objects: usize,
    sent_bytes: u64,
) -> u64 {
    let share = budget.limit_bytes() * 3 / 8 / (open_objects.max(1) as u64);
    let part = share.clamp(
        floors.part_bytes,
        settings.part_bytes.0.max(floors.part_bytes),
    );
    if sent_bytes == 0 {
        return part.max(settings.small_object_bytes.0);
    }
    if budget.free_bytes() * 2 < budget.limit_bytes() {
        return part;
    }
    part.max((sent_bytes / 8).min(MAX_PART_BYTES))
}

/// Whether an object is sealed and a new one opened.
pub fn is_full(settings: &ConnectorSettings, fill: ObjectFill) -> bool {
    fill.records >= settings.roll_records || fill.bytes >= settings.roll_bytes.0
}

/// Whether what all objects of a flush hold starts it early.
pub fn flush_is_full(settings: &ConnectorSettings, fill: ObjectFill) -> bool {
    fill.records >= settings.flush_records || fill.bytes >= settings.flush_bytes.0
}

/// When a worker's first flush by age is due. Its hash spreads the fleet over the interval, so that the
/// fleet never flushes at once.
pub fn first_flush_at(settings: &ConnectorSettings, worker: WorkerId, now: Millis) -> Millis {
    let interval = settings.flush_interval.0.max(1);
    let (high, low) = worker.0.as_u64_pair();
    // At least half an interval, so that a restart does not begin with a tiny flush.
    let phase = interval / 2 + (high ^ low) % interval.div_ceil(2);
    Millis(now.0 + phase.max(1))
}

/// When the flush after the one due at `due` is due: on the same phase, and in the future.
pub fn next_flush_at(settings: &ConnectorSettings, due: Millis, now: Millis) -> Millis {
    let interval = settings.flush_interval.0.max(1);
    let missed = now.0.saturating_sub(due.0) / interval;
    Millis(due.0 + (missed + 1) * interval)
}

/// How long to wait before a request is sent again after `attempts` failures: doubled each time up to 30 s.
/// The bucket has retried within its own bounds before.
pub fn retry_delay(attempts: u32) -> Millis {
    Millis((500_u64 << attempts.min(6)).min(30_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::test_settings;

    const S3: Floors = Floors::S3;

    #[test]
    fn many_open_objects_get_small_blocks_but_never_parts_that_s3_refuses() {
        let settings = test_settings();
        let budget = ByteBudget::new(96 * MIB);
        assert_eq!(
            block_bytes(&settings, S3, &budget, 1),
            settings.block_bytes.0
        );
        assert!(block_bytes(&settings, S3, &budget, 72) < 200 * 1024);
        assert_eq!(block_bytes(&settings, S3, &budget, 100_000), S3.block_bytes);
        assert_eq!(part_bytes(&settings, S3, &budget, 1000, 1), S3.part_bytes);
    }

    #[test]
    fn parts_grow_with_their_object_only_while_memory_is_free() {
        let settings = test_settings();
        let mut budget = ByteBudget::new(1024 * MIB);
        assert_eq!(part_bytes(&settings, S3, &budget, 1, 0), 8 * MIB);
        assert_eq!(part_bytes(&settings, S3, &budget, 1, 160 * MIB), 20 * MIB);
        assert_eq!(part_bytes(&settings, S3, &budget, 1, 4096 * MIB), 64 * MIB);
        budget.hold(600 * MIB);
        assert_eq!(part_bytes(&settings, S3, &budget, 1, 4096 * MIB), 8 * MIB);
    }

    #[test]
    fn the_fleet_never_flushes_at_once_and_each_worker_keeps_its_phase() {
        let settings = test_settings();
        let interval = settings.flush_interval.0;
        let first = |n: u128| {
            let worker = WorkerId(uuid::Uuid::from_u128(n << 64 | (n * 7919)));
            first_flush_at(&settings, worker, Millis(0)).0
        };
        let times: std::collections::BTreeSet<u64> = (0..50).map(first).collect();
        assert!(times.len() > 40, "{times:?}");
        assert!(times.iter().all(|time| (1..=interval).contains(time)));
        let next = next_flush_at(&settings, Millis(1000), Millis(1000 + 3 * interval + 5));
        assert_eq!(next.0, 1000 + 4 * interval);
    }
}
