//! Notices partitions that are read and do not come forward, though Kafka has more.
//!
//! librdkafka says once that Kafka refuses a position, and fetches nothing of that partition until it is assigned anew.
//! It loses this word when the partition is paused before the word was taken, and resuming brings it back to nothing: the
//! partition would stand still for good, while it looks as if it were read.

use std::collections::BTreeMap;

use skein_shared::offset::Offset;
use skein_shared::units::Millis;

use crate::core::byte_budget::Intake;
use crate::core::event::TopicPartition;
use crate::core::standing::{PartitionStanding, PartitionState};

/// How long a partition may stand still below Kafka's end.
const PATIENCE: Millis = Millis::seconds(30);

/// The longest time after which one that goes on standing still is looked at again. Each time it is given twice as long
/// as before: brokers that hold a client back would otherwise never be waited for.
const LONGEST_PATIENCE: Millis = Millis::seconds(60 * 60);

/// The partitions that have more to be read, and since when they stand where they do.
#[derive(Debug, Default)]
pub struct StillWatch(BTreeMap<TopicPartition, Still>);

#[derive(Debug, Clone, Copy)]
struct Still {
    position: Offset,
    since: Millis,
    patience: Millis,
}

impl StillWatch {
    /// The partitions that stood still for too long, by how they stand `now`: milliseconds since any fixed instant.
    /// `behind` tells how many offsets lie between a partition's position and Kafka's end, or that it is not known.
    pub fn look(
        &mut self,
        now: Millis,
        intake: Intake,
        partitions: &[PartitionStanding],
        behind: impl Fn(&PartitionStanding) -> Option<u64>,
    ) -> Vec<TopicPartition> {
        let before = std::mem::take(&mut self.0);
        let mut found = Vec::new();
        for partition in partitions {
            let (name, position) = (&partition.name, partition.position);
            let same = before.get(name).filter(|still| still.position == position);
            let mut still = same.copied().unwrap_or(Still {
                position,
                since: now,
                patience: PATIENCE,
            });
            let is_read = partition.state == PartitionState::Reading && intake == Intake::Open;
            if !is_read || behind(partition).is_none_or(|records| records == 0) {
                still.since = now;
            } else if still.since.0 + still.patience.0 <= now.0 {
                found.push(name.clone());
                still.since = now;
                still.patience = Millis(still.patience.0 * 2).min(LONGEST_PATIENCE);
            }
            self.0.insert(name.clone(), still);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::standing::test_standing;

    /// How a partition stands, and where Kafka ends, if that is known.
    type Seen = (PartitionState, i64, Intake, Option<i64>);

    const READ: PartitionState = PartitionState::Reading;

    /// Whether it is told as standing still.
    fn look(watch: &mut StillWatch, second: u64, seen: Seen) -> bool {
        let (state, position, intake, end) = seen;
        let partitions = [test_standing(state, position, 0)];
        let records = |end: i64| u64::try_from(end - position).unwrap_or(0);
        let found = watch.look(Millis::seconds(second), intake, &partitions, |_| {
            end.map(records)
        });
        !found.is_empty()
    }

    /// The seconds at which it is told, of five minutes in which it is looked at every ten.
    fn told(seen: Seen) -> Vec<u64> {
        let mut watch = StillWatch::default();
        let seconds = (0..=300).step_by(10);
        seconds
            .filter(|second| look(&mut watch, *second, seen))
            .collect()
    }

    #[test]
    fn a_partition_that_stands_still_below_kafkas_end_is_told_and_then_given_twice_as_long() {
        assert_eq!(told((READ, 100, Intake::Open, Some(150))), [30, 90, 210]);
    }

    #[test]
    fn one_that_moves_or_is_at_its_end_is_never_told() {
        let mut watch = StillWatch::default();
        for second in (0_u32..400).step_by(20) {
            let position = 100 + i64::from(second);
            let seen = (READ, position, Intake::Open, Some(9999));
            assert!(!look(&mut watch, second.into(), seen));
        }
        for second in (400..600).step_by(10) {
            assert!(!look(
                &mut watch,
                second,
                (READ, 500, Intake::Open, Some(500))
            ));
        }
        // It was at its end until now.
        assert!(!look(&mut watch, 610, (READ, 500, Intake::Open, Some(501))));
    }

    #[test]
    fn one_that_is_not_read_or_waits_for_memory_or_whose_end_is_unknown_is_not_told() {
        for (state, intake, end) in [
            (PartitionState::LookingUp, Intake::Open, Some(150)),
            (PartitionState::Stopped, Intake::Open, Some(150)),
            (READ, Intake::Closed, Some(150)),
            (READ, Intake::Open, None),
        ] {
            assert!(told((state, 100, intake, end)).is_empty());
        }
    }
}
