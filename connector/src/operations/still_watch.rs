//! Notices partitions that are read and do not come forward, though Kafka has more.
//!
//! librdkafka says once that Kafka refuses a position, and fetches nothing of that partition until it is assigned anew.
//! It loses this word when the partition is paused before the word was taken, and resuming brings it back to nothing: the
//! partition would stand still for good, while it looks as if it were read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use skein_shared::offset::Offset;

use crate::core::byte_budget::Intake;
use crate::core::event::TopicPartition;
use crate::core::standing::{PartitionState, Standing};
use crate::operations::ends::Ends;

/// How long a partition may stand still below Kafka's end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest time after which one that goes on standing still is looked at again. Each time it is given twice as long
/// as before: brokers that hold a client back would otherwise never be waited for.
const LONGEST_PATIENCE: Duration = Duration::from_hours(1);

/// The partitions that have more to be read, and since when they stand where they do.
#[derive(Debug, Default)]
pub(crate) struct StillWatch(BTreeMap<TopicPartition, Still>);

#[derive(Debug, Clone, Copy)]
struct Still {
    position: Offset,
    since: Instant,
    patience: Duration,
}

impl StillWatch {
    /// The partitions that stood still for too long, by how they stand now and where Kafka ends.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        standing: &Standing,
        ends: &Ends,
    ) -> Vec<TopicPartition> {
        let before = std::mem::take(&mut self.0);
        let mut found = Vec::new();
        for partition in &standing.partitions {
            let (name, position) = (&partition.name, partition.position);
            let same = before.get(name).filter(|still| still.position == position);
            let mut still = same.copied().unwrap_or(Still {
                position,
                since: now,
                patience: PATIENCE,
            });
            let is_read =
                partition.state == PartitionState::Reading && standing.intake == Intake::Open;
            let lag = ends.lag(now, partition).filter(|_| is_read);
            if lag.is_none_or(|lag| lag.records == 0) {
                still.since = now;
            } else if now.saturating_duration_since(still.since) >= still.patience {
                found.push(name.clone());
                still.since = now;
                still.patience = (still.patience * 2).min(LONGEST_PATIENCE);
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

    struct Watch {
        start: Instant,
        ends: Ends,
        still: StillWatch,
    }

    impl Watch {
        fn new() -> Self {
            Self {
                start: Instant::now(),
                ends: Ends::default(),
                still: StillWatch::default(),
            }
        }

        /// Whether it is told as standing still, when it stands so while Kafka ends there.
        fn look(
            &mut self,
            second: u64,
            (state, position, intake): (PartitionState, i64, Intake),
            end: i64,
        ) -> bool {
            let now = self.start + Duration::from_secs(second);
            let partitions = vec![test_standing(state, position, 0)];
            let told = BTreeMap::from([(partitions[0].name.clone(), Offset(end))]);
            self.ends.hear(now, &partitions, &told);
            let standing = Standing {
                partitions,
                open_objects: 0,
                sealed_objects: 0,
                flushes_under_way: 0,
                open_requests: 0,
                used_bytes: 0,
                limit_bytes: 0,
                intake,
            };
            !self.still.look(now, &standing, &self.ends).is_empty()
        }

        /// The seconds at which it is told, of those in which it is looked at.
        fn told(
            &mut self,
            seconds: impl Iterator<Item = u64>,
            state: PartitionState,
            intake: Intake,
        ) -> Vec<u64> {
            seconds
                .filter(|second| self.look(*second, (state, 100, intake), 150))
                .collect()
        }
    }

    const READ: PartitionState = PartitionState::Reading;

    #[test]
    fn a_partition_that_stands_still_below_kafkas_end_is_told_and_then_given_twice_as_long() {
        let told = Watch::new().told((0..=300).step_by(10), READ, Intake::Open);
        assert_eq!(told, [30, 90, 210]);
    }

    #[test]
    fn one_that_moves_or_is_at_its_end_is_never_told() {
        let mut watch = Watch::new();
        for second in (0_u32..400).step_by(20) {
            let position = 100 + i64::from(second);
            assert!(!watch.look(second.into(), (READ, position, Intake::Open), 9999));
        }
        for second in (400..600).step_by(10) {
            assert!(!watch.look(second, (READ, 500, Intake::Open), 500));
        }
        // It was at its end until now.
        assert!(!watch.look(610, (READ, 500, Intake::Open), 501));
    }

    #[test]
    fn one_that_is_not_read_or_waits_for_memory_is_not_told() {
        let seconds = || (0..300).step_by(10);
        for (state, intake) in [
            (PartitionState::LookingUp, Intake::Open),
            (PartitionState::Stopped, Intake::Open),
            (READ, Intake::Closed),
        ] {
            assert!(Watch::new().told(seconds(), state, intake).is_empty());
        }
    }

    #[test]
    fn one_whose_end_kafka_has_not_told_for_long_is_not_told() {
        let mut watch = Watch::new();
        assert!(!watch.look(0, (READ, 100, Intake::Open), 150));
        let now = watch.start + Duration::from_mins(10);
        let standing = Standing {
            partitions: vec![test_standing(READ, 100, 0)],
            open_objects: 0,
            sealed_objects: 0,
            flushes_under_way: 0,
            open_requests: 0,
            used_bytes: 0,
            limit_bytes: 0,
            intake: Intake::Open,
        };
        let told = watch.still.look(now, &standing, &watch.ends);
        assert!(told.is_empty(), "{told:?}");
    }
}
