//! What librdkafka holds, whatever the core thinks of a partition meanwhile.
//!
//! It keeps an assignment until it is told otherwise: assigning once more what it has is refused, and forgetting
//! to take something away leaves it fetched. It keeps a pause even beyond that: a partition that was taken away
//! while paused comes back paused.

use std::collections::BTreeSet;

use crate::core::event::TopicPartition;

/// What is assigned, and what was told to pause.
#[derive(Debug, Default)]
pub(super) struct HeldPartitions {
    assigned: BTreeSet<TopicPartition>,
    paused: BTreeSet<TopicPartition>,
}

impl HeldPartitions {
    /// Those of `names` that are assigned.
    pub(super) fn assigned_of<'a>(
        &self,
        names: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Vec<TopicPartition> {
        let names = names.into_iter();
        let ours = names.filter(|name| self.assigned.contains(*name));
        ours.cloned().collect()
    }

    /// Everything that is assigned.
    pub(super) fn assigned(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assigned.iter()
    }

    /// These came to what is assigned.
    pub(super) fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a TopicPartition>) {
        self.assigned.extend(names.into_iter().cloned());
    }

    /// These went.
    pub(super) fn remove(&mut self, names: &[TopicPartition]) {
        for name in names {
            self.assigned.remove(name);
        }
    }

    /// These are all that is assigned.
    pub(super) fn replace<'a>(&mut self, names: impl IntoIterator<Item = &'a TopicPartition>) {
        self.assigned.clear();
        self.add(names);
    }

    /// What has to be paused, so that nothing assigned is fetched.
    pub(super) fn pause(&mut self) -> Vec<TopicPartition> {
        self.paused.extend(self.assigned.iter().cloned());
        self.assigned.iter().cloned().collect()
    }

    /// What has to be resumed, so that everything assigned is fetched. Resuming what is not paused would throw
    /// away what was fetched ahead.
    pub(super) fn resume(&mut self) -> Vec<TopicPartition> {
        let back: Vec<TopicPartition> = self.paused.intersection(&self.assigned).cloned().collect();
        for name in &back {
            self.paused.remove(name);
        }
        back
    }
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::{PartitionId, TopicName};

    use super::*;

    fn partition(number: u32) -> TopicPartition {
        TopicPartition {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionId(number),
        }
    }

    #[test]
    fn what_is_assigned_stays_so_while_others_are_assigned_anew() {
        let (a, b) = (partition(1), partition(2));
        let mut held = HeldPartitions::default();
        held.add([&a, &b]);
        // Both are looked up again, and one is found before the other.
        for name in [&a, &b] {
            let again = held.assigned_of([name]);
            assert_eq!(
                again,
                std::slice::from_ref(name),
                "it has to be unassigned first"
            );
            held.remove(&again);
            held.add([name]);
        }
        held.remove(&[a]);
        assert_eq!(held.assigned().collect::<Vec<_>>(), [&b]);
    }

    #[test]
    fn a_partition_that_was_taken_away_while_paused_is_resumed_when_it_comes_back() {
        let (a, b) = (partition(1), partition(2));
        let mut held = HeldPartitions::default();
        held.add([&a, &b]);
        assert_eq!(held.pause().len(), 2);
        held.remove(std::slice::from_ref(&a));
        assert_eq!(held.resume(), [b]);
        held.add([&a]);
        assert_eq!(held.resume(), [a]);
        assert!(held.resume().is_empty(), "nothing is paused any more");
    }
}
