//! Where Kafka's partitions end, and for how long we have been behind.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skein_shared::offset::Offset;

use crate::core::event::TopicPartition;
use crate::core::standing::{PartitionStanding, PartitionState};

/// After this time nobody knows any more where a partition ends: three times as long as between two questions.
const FRESH: Duration = Duration::from_secs(30);

/// What was last heard of the partitions that are ours.
#[derive(Debug, Default)]
pub struct Ends(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// Since when Kafka has been asked without any answer.
    asked_since: Option<Instant>,
    partitions: BTreeMap<TopicPartition, Told>,
}

/// What Kafka told of one partition. An answer may leave some out: those without a leader.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// When it last told, or since when it has been asked in vain.
    at: Instant,
    end: Option<End>,
}

/// One partition's end.
#[derive(Debug, Clone, Copy)]
struct End {
    newest: Offset,
    /// An end that Kafka had, and when; the position has not come to it yet, or had when it was heard of.
    goal: (Offset, Instant),
}

/// How far a partition is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Offset behind Kafka's newest record.
    pub(crate) end: Offset,
    /// Offsets between the position and that.
    pub(crate) records: u64,
    /// For how long Kafka has had a record that is not read: nothing when all are. As long as this worker
    /// has watched, at most.
    pub(crate) time: Duration,
}

impl Ends {
    /// Kafka is asked at `now` for what it has.
    pub(crate) fn ask(&self, now: Instant) {
        self.lock().asked_since.get_or_insert(now);
    }

    /// Kafka told its ends at `now`; the partitions stood so, and others are forgotten. What was told before of those
    /// that are not named grows old.
    pub(crate) fn hear(
        &self,
        now: Instant,
        standing: &[PartitionStanding],
        ends: &BTreeMap<TopicPartition, Offset>,
    ) {
        let mut heard = self.lock();
        let asked_since = heard.asked_since.take().unwrap_or(now);
        let before = std::mem::take(&mut heard.partitions);
        let told = standing.iter().map(|partition| {
            let before = before.get(&partition.name).copied();
            let told = match ends.get(&partition.name) {
                None => before.unwrap_or(Told {
                    at: asked_since,
                    end: None,
                }),
                Some(newest) => {
                    let goal = before.and_then(|told| told.end).map(|end| end.goal);
                    // It may still be on its way to an earlier one.
                    let goal = goal.filter(|goal| partition.position < goal.0);
                    let end = End {
                        newest: *newest,
                        goal: goal.unwrap_or((*newest, now)),
                    };
                    let end = Some(end);
                    Told { at: now, end }
                }
            };
            (partition.name.clone(), told)
        });
        heard.partitions = told.collect();
    }

    /// How far a partition is behind; `None` when that is not known, or was told too long ago.
    pub(crate) fn lag(&self, now: Instant, partition: &PartitionStanding) -> Option<Lag> {
        let told = *self.lock().partitions.get(&partition.name)?;
        let end = told.end.filter(|_| told.is_fresh(now))?;
        let records = u64::try_from(end.newest.0 - partition.position.0).unwrap_or(0);
        let goal_is_open = partition.position < end.goal.0;
        let since = if goal_is_open { end.goal.1 } else { told.at };
        let time = (records > 0).then(|| now.saturating_duration_since(since));
        Some(Lag {
            end: end.newest,
            records,
            time: time.unwrap_or_default(),
        })
    }

    /// The furthest behind of those that are read: records of all together, and the longest time. `None` when it is
    /// known of none of them, or has long been unknown of one: that one may be the furthest.
    pub(crate) fn worst(
        &self,
        now: Instant,
        standing: &[PartitionStanding],
    ) -> Option<(u64, Duration)> {
        let is_read = |partition: &&PartitionStanding| match partition.state {
            PartitionState::LookingUp
            | PartitionState::Doubted
            | PartitionState::Reading
            | PartitionState::Stopped => true,
            PartitionState::Draining | PartitionState::Away => false,
        };
        let mut read = standing.iter().filter(is_read).peekable();
        if read.peek().is_none() {
            return Some((0, Duration::ZERO));
        }
        let mut worst: Option<(u64, Duration)> = None;
        for partition in read {
            match self.lag(now, partition) {
                Some(lag) => {
                    let (records, time) = worst.unwrap_or_default();
                    worst = Some((records + lag.records, lag.time.max(time)));
                }
                None if self.is_stale(now, &partition.name) => return None,
                None => {}
            }
        }
        worst
    }

    /// How long ago Kafka last told of the partition of which it has not told for the longest, or since when it has
    /// been asked in vain; `None` before the first question.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        let heard = self.lock();
        let told = heard.partitions.values().map(|told| told.at);
        let since = told.min().or(heard.asked_since)?;
        Some(now.saturating_duration_since(since))
    }

    fn is_stale(&self, now: Instant, name: &TopicPartition) -> bool {
        let told = self.lock().partitions.get(name).copied();
        told.is_some_and(|told| !told.is_fresh(now))
    }

    /// For how long nobody has known of some partition; `None` while it is known of all.
    pub(crate) fn unknown_for(&self, now: Instant) -> Option<Duration> {
        self.age(now).filter(|age| *age > FRESH)
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) <= FRESH
    }
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::PartitionId;

    use super::*;
    use crate::core::standing::test_standing;

    fn at(position: i64) -> PartitionStanding {
        test_standing(PartitionState::Reading, position, 0)
    }

    fn name() -> TopicPartition {
        at(0).name
    }

    struct Watch {
        start: Instant,
        ends: Ends,
    }

    impl Watch {
        fn hear(&self, second: u64, position: i64, end: i64) {
            let now = self.start + Duration::from_secs(second);
            let ends = BTreeMap::from([(name(), Offset(end))]);
            self.ends.hear(now, &[at(position)], &ends);
        }

        #[track_caller]
        fn check(&self, second: u64, position: i64, expected: (u64, u64)) {
            let now = self.start + Duration::from_secs(second);
            let lag = self.ends.lag(now, &at(position)).unwrap();
            assert_eq!((lag.records, lag.time.as_secs()), expected);
        }
    }

    #[test]
    fn lag_is_what_is_unread_and_for_how_long_kafka_has_had_it() {
        let watch = Watch {
            start: Instant::now(),
            ends: Ends::default(),
        };
        assert!(
            watch.ends.lag(watch.start, &at(0)).is_none(),
            "nothing was heard"
        );
        watch.hear(0, 100, 100);
        watch.check(5, 100, (0, 0));
        // 50 records come, and are not read for 20 seconds.
        watch.hear(10, 100, 150);
        watch.hear(20, 100, 170);
        watch.check(30, 100, (70, 20));
        watch.check(30, 120, (50, 20));
        // Those that were there at 10 s are read; those that came by 20 s are not.
        watch.hear(40, 155, 180);
        watch.check(40, 155, (25, 0));
        watch.check(45, 155, (25, 5));
        watch.check(45, 180, (0, 0));
        let sum = watch
            .ends
            .worst(watch.start + Duration::from_secs(45), &[at(155)]);
        assert_eq!(sum, Some((25, Duration::from_secs(5))));
    }

    #[test]
    fn a_figure_that_kafka_told_too_long_ago_is_none_and_its_age_grows() {
        let watch = Watch {
            start: Instant::now(),
            ends: Ends::default(),
        };
        let at_second = |second| watch.start + Duration::from_secs(second);
        let is_known = |second| watch.ends.worst(at_second(second), &[at(100)]).is_some();
        let unknown_for = |second| watch.ends.unknown_for(at_second(second));
        assert_eq!(watch.ends.age(watch.start), None, "nothing was asked");
        watch.ends.ask(watch.start);
        assert_eq!(unknown_for(31), Some(Duration::from_secs(31)));
        watch.hear(40, 100, 150);
        watch.ends.ask(at_second(50));
        watch.ends.ask(at_second(60));
        assert!(is_known(70) && unknown_for(70).is_none());
        assert!(!is_known(71), "it would stand still while records come");
        assert_eq!(unknown_for(71), Some(Duration::from_secs(31)));
        assert_eq!(unknown_for(4000), Some(Duration::from_mins(66)));
        watch.hear(4001, 100, 250);
        assert!(is_known(4001) && unknown_for(4001).is_none());
        // An answer that names none of them tells nothing.
        watch.ends.ask(at_second(4010));
        let nothing = BTreeMap::new();
        watch.ends.hear(at_second(4011), &[at(100)], &nothing);
        assert_eq!(unknown_for(4050), Some(Duration::from_secs(49)));
        let nothing_read = watch.ends.worst(at_second(9999), &[]);
        assert_eq!(nothing_read, Some((0, Duration::ZERO)));
    }

    #[test]
    fn a_partition_that_an_answer_leaves_out_grows_old_and_makes_the_whole_unknown() {
        let other = PartitionStanding {
            name: TopicPartition {
                partition: PartitionId(77),
                ..name()
            },
            ..at(40)
        };
        let both = [at(100), other.clone()];
        let (ends, start) = (Ends::default(), Instant::now());
        let at_second = |second| start + Duration::from_secs(second);
        let told = |other_end: Option<i64>| {
            let other = other_end.map(|end| (other.name.clone(), Offset(end)));
            let known = [(name(), Offset(100))].into_iter().chain(other);
            known.collect::<BTreeMap<_, _>>()
        };
        ends.ask(at_second(0));
        ends.hear(at_second(1), &both, &told(None));
        assert_eq!(ends.worst(at_second(2), &both), Some((0, Duration::ZERO)));
        assert_eq!(ends.age(at_second(2)), Some(Duration::from_secs(2)));
        ends.hear(at_second(10), &both, &told(Some(50)));
        for second in [20, 30, 40] {
            ends.hear(at_second(second), &both, &told(None));
        }
        let known = Some((10, Duration::from_secs(30)));
        assert_eq!(ends.worst(at_second(40), &both), known);
        ends.hear(at_second(50), &both, &told(None));
        assert_eq!(ends.worst(at_second(50), &both), None);
        assert_eq!(
            ends.unknown_for(at_second(50)),
            Some(Duration::from_secs(40))
        );
        // It has waited all the time.
        ends.hear(at_second(60), &both, &told(Some(60)));
        let known = Some((20, Duration::from_secs(50)));
        assert_eq!(ends.worst(at_second(60), &both), known);
    }

    #[test]
    fn a_partition_that_is_not_ours_any_more_is_forgotten() {
        let ends = Ends::default();
        let now = Instant::now();
        ends.hear(now, &[at(0)], &BTreeMap::from([(name(), Offset(9))]));
        ends.hear(now, &[], &BTreeMap::new());
        assert!(ends.lag(now, &at(0)).is_none());
    }
}
