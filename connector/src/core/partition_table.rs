//! Every partition that a worker ever had.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::ids::{Chain, Incarnation, SourceName};
use skein_shared::offset::Offset;

use crate::core::census::Census;
use crate::core::event::TopicPartition;
use crate::core::ledger_chain::LedgerChain;
use crate::core::partition::{Log, Partition, Phase, Slot};

/// Every partition that this worker ever had.
#[derive(Debug)]
pub(super) struct PartitionTable {
    source: SourceName,
    all: Vec<Partition>,
    by_topic: BTreeMap<String, BTreeMap<u32, Slot>>,
    last: Option<Slot>,
    census: Census,
    /// Those that may have changed since they were counted, each once.
    touched: Vec<Slot>,
    is_touched: Vec<bool>,
    /// How many were counted.
    #[cfg(test)]
    pub(super) counted: u64,
}

impl PartitionTable {
    pub(super) fn new(source: SourceName) -> Self {
        Self {
            source,
            all: Vec::new(),
            by_topic: BTreeMap::new(),
            last: None,
            census: Census::default(),
            touched: Vec::new(),
            is_touched: Vec::new(),
            #[cfg(test)]
            counted: 0,
        }
    }

    /// The slot of a partition, a new one if it was never seen.
    pub(super) fn slot_of(&mut self, name: &TopicPartition) -> Slot {
        let partitions = self
            .by_topic
            .entry(name.topic.as_str().to_owned())
            .or_default();
        *partitions.entry(name.partition.0).or_insert_with(|| {
            let chain = Chain {
                source: self.source.clone(),
                topic: name.topic.clone(),
                incarnation: Incarnation::default(),
                partition: name.partition,
            };
            self.all.push(Partition {
                name: name.clone(),
                chain,
                phase: Phase::Away,
                ledger: LedgerChain::default(),
                ledger_end: Offset::default(),
                committed: Offset::default(),
                end_at_assignment: Offset::default(),
                tenures: 0,
                stopped_because: String::new(),
                hole: None,
                log: Log::Same,
            });
            let slot = Slot(self.all.len() - 1);
            self.touched.push(slot);
            self.is_touched.push(true);
            slot
        })
    }

    /// A partition by its name, if it was ever seen.
    pub(super) fn known(&self, name: &TopicPartition) -> Option<&Partition> {
        let slot = self
            .by_topic
            .get(name.topic.as_str())?
            .get(&name.partition.0)?;
        Some(self.get(*slot))
    }

    /// The partition of a record. Records come in runs of one partition, so the last one is tried first.
    pub(super) fn of_record(&mut self, topic: &str, partition: u32) -> Option<Slot> {
        let is_it = |known: &Partition| {
            known.name.partition.0 == partition && known.name.topic.as_str() == topic
        };
        let slot = match self.last.filter(|slot| is_it(&self.all[slot.0])) {
            Some(slot) => slot,
            None => *self.by_topic.get(topic)?.get(&partition)?,
        };
        self.last = Some(slot);
        Some(slot)
    }

    /// A partition that may change now: it is counted anew before anybody asks.
    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Partition {
        self.touch(slot);
        &mut self.all[slot.0]
    }

    pub(super) fn get(&self, slot: Slot) -> &Partition {
        &self.all[slot.0]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.all.iter()
    }

    /// All of them, any of which may change now.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Partition)> {
        (0..self.all.len()).for_each(|place| self.touch(Slot(place)));
        self.all
            .iter_mut()
            .enumerate()
            .map(|(place, partition)| (Slot(place), partition))
    }

    /// The partitions in certain phases.
    pub(super) fn slots_where(&self, wanted: impl Fn(&Phase) -> bool) -> Vec<Slot> {
        let all = self.all.iter().enumerate();
        let fitting = all.filter(|(_, partition)| wanted(&partition.phase));
        fitting.map(|(place, _)| Slot(place)).collect()
    }

    /// The lowest of the partitions that are read, topic before number.
    pub(super) fn lowest_reading(&self) -> Option<&TopicPartition> {
        let reading = self.all.iter().filter(|known| known.tenure().is_some());
        reading.map(|partition| &partition.name).min()
    }

    /// What the consumer is to read, and from where.
    pub(super) fn reading(&self) -> Vec<(TopicPartition, Offset)> {
        let reading = self.all.iter().filter_map(|partition| {
            let tenure = partition.tenure()?;
            Some((partition.name.clone(), tenure.fetch_from()))
        });
        reading.collect()
    }

    /// What there is to say of all together. Costs what changed since it was asked for.
    pub(super) fn census(&mut self) -> &Census {
        for slot in self.touched.drain(..) {
            self.is_touched[slot.0] = false;
            self.census.count(slot, &self.all[slot.0]);
            #[cfg(test)]
            {
                self.counted += 1;
            }
        }
        &self.census
    }

    /// The group waits for these from now on, and for nothing else.
    pub(super) fn wait_for(&mut self, awaited: BTreeSet<Slot>) {
        self.census();
        self.census.wait_for(awaited);
    }

    /// Whether the group waits for this one.
    pub(super) fn is_awaited(&self, slot: Slot) -> bool {
        self.census.awaited.contains(&slot)
    }

    /// The same as [`census`](Self::census), by looking at every partition.
    #[cfg(test)]
    pub(super) fn census_of_all(&self) -> Census {
        let mut census = Census::default();
        for (place, partition) in self.all.iter().enumerate() {
            census.count(Slot(place), partition);
        }
        census.wait_for(self.census.awaited.clone());
        census
    }

    fn touch(&mut self, slot: Slot) {
        let is_touched = &mut self.is_touched[slot.0];
        if !*is_touched {
            *is_touched = true;
            self.touched.push(slot);
        }
    }
}
