//! When a block is full, when a part is sent, when an object is sealed, when a flush is due.

use skein_config::connector::ConnectorSettings;
use skein_shared::ids::WorkerId;
use skein_shared::units::{MIB, Millis};
use skein_shared::window::TimestampMs;

use crate::core::byte_budget::ByteBudget;
use crate::core::event::TopicPartition;
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

/// Stored bytes at which a part is sent, if memory does not ask for it before. The first waits until the object is no
/// longer small. Later ones grow with the object while at least half of the budget is free, because parts are billed
/// as requests. Shares of three quarters of the budget can all be had at once: on average they are half full.
pub fn part_bytes(
    settings: &ConnectorSettings,
    floors: Floors,
    budget: &ByteBudget,
    open_objects: usize,
    sent_bytes: u64,
) -> u64 {
    let share = budget.limit_bytes() * 3 / 4 / (open_objects.max(1) as u64);
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

/// When within the interval a worker flushes, as a part of 2^64 of it.
///
/// The fleet must not flush at once, and random phases cluster: of fifty workers' phases the fullest tenth of
/// the interval holds twice its share. Lowest partitions are distinct numbers, mostly small or evenly spaced,
/// and multiples of the golden ratio spread those evenly without anybody's knowing the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushPhase(u64);

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl FlushPhase {
    /// Of a worker that has no partitions yet.
    pub fn of_worker(worker: WorkerId) -> Self {
        let (high, low) = worker.0.as_u64_pair();
        Self((high ^ low).wrapping_mul(GOLDEN))
    }

    /// Of a worker by the lowest of its partitions, topic before number.
    pub fn of_lowest(lowest: &TopicPartition) -> Self {
        let topic = lowest.topic.as_str().bytes();
        let topic = topic.fold(0_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(GOLDEN)
        });
        let place = u64::from(lowest.partition.0).wrapping_mul(GOLDEN);
        Self(topic.wrapping_add(place))
    }
}

/// When the next flush by age is due: on the worker's phase of the wall clock, after `now` and at most an
/// interval later. `epoch` is the wall clock at time zero.
pub fn next_flush_at(
    settings: &ConnectorSettings,
    phase: FlushPhase,
    epoch: TimestampMs,
    now: Millis,
) -> Millis {
    let interval = settings.flush_interval.0.max(1);
    let phase_ms = (u128::from(phase.0) * u128::from(interval)) >> 64;
    // A part of the interval, so that it always fits.
    let phase_ms = u64::try_from(phase_ms).unwrap_or(0);
    let epoch_ms = epoch.0.rem_euclid(interval.cast_signed()).cast_unsigned();
    let since = (epoch_ms + now.0 + interval - phase_ms) % interval;
    Millis(now.0 + interval - since)
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::{PartitionId, TopicName};

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
    fn a_flush_is_due_on_the_workers_phase_of_the_wall_clock_within_an_interval() {
        let settings = test_settings();
        let interval = settings.flush_interval.0;
        let lowest = TopicPartition {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionId(7),
        };
        let phase = FlushPhase::of_lowest(&lowest);
        for (epoch, now) in [(0, 0), (1_700_000_000_123, 5), (999, 3 * interval)] {
            let due = |now| next_flush_at(&settings, phase, TimestampMs(epoch), Millis(now)).0;
            let first = due(now);
            assert!((now + 1..=now + interval).contains(&first));
            assert_eq!(due(first), first + interval);
            let wall = epoch.cast_unsigned() + first;
            assert_eq!(wall % interval, (due(0) + epoch.cast_unsigned()) % interval);
        }
    }
}
