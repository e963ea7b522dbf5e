//! What a worker goes through: how many partitions and shards, and how records lie in them.

use serde::{Deserialize, Serialize};
use skein_config::settings::{connector_floor, partitions_need};
use skein_shared::units::ByteCount;

use crate::error::{Error, Result};

/// How records are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skew {
    /// Over all partitions and all shards alike.
    Even,
    /// Nine of ten lie in one partition; over all shards alike.
    HotPartition,
    /// Over all partitions alike; all are of one org, and so of one shard.
    OneOrg,
}

impl Skew {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Even, Self::HotPartition, Self::OneOrg];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::HotPartition => "hot-partition",
            Self::OneOrg => "one-org",
        }
    }

    /// The skew of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|skew| skew.name() == name)
    }
}

/// One run of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Partitions of the topic.
    pub partitions: u32,
    /// Shards, each of one org.
    pub shards: u32,
    /// How records are spread.
    pub skew: Skew,
    /// Bytes of a record's value.
    pub record_bytes: u32,
    /// Records that come of one partition before another's: 1 is the hardest.
    pub batch_records: u32,
    /// `connector.memory_budget`.
    pub budget_bytes: u64,
    /// Bytes of values in all partitions together.
    pub volume_bytes: u64,
    /// How long a member may be silent before the group puts it out.
    pub session_ms: u64,
}

/// Largest payload that the worker of a scenario lets in.
pub const PAYLOAD_LIMIT: ByteCount = ByteCount::mib(8);

impl Scenario {
    /// The smallest budget that a worker of so many shards and partitions is to have.
    pub fn floor(shards: u32, partitions: u32) -> ByteCount {
        let floor = connector_floor(u64::from(shards), PAYLOAD_LIMIT);
        ByteCount(floor.0 + partitions_need(u64::from(partitions)).0)
    }

    /// All records.
    pub fn records(&self) -> u64 {
        (self.volume_bytes / u64::from(self.record_bytes)).max(u64::from(self.partitions))
    }

    /// Records of one partition.
    pub fn records_of(&self, partition: u32) -> u64 {
        let (all, partitions) = (self.records(), u64::from(self.partitions));
        let hot = match self.skew {
            Skew::HotPartition if partitions > 1 => all / 10 * 9,
            Skew::Even | Skew::HotPartition | Skew::OneOrg => 0,
        };
        let even = all - hot;
        let share = even / partitions + u64::from(u64::from(partition) < even % partitions);
        share + if partition == 0 { hot } else { 0 }
    }

    /// As the worker's command line takes it.
    ///
    /// # Panics
    /// Never: numbers and words are JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and words are JSON")
    }

    /// From the worker's command line.
    ///
    /// # Errors
    /// It is no scenario, or one without partitions or bytes.
    pub fn of_json(text: &str) -> Result<Self> {
        let refuse = |reason: String| Error::Setting {
            key: "scenario",
            value: text.to_owned(),
            allowed: reason,
        };
        let scenario: Self = serde_json::from_str(text).map_err(|e| refuse(e.to_string()))?;
        let counts = [
            scenario.partitions,
            scenario.shards,
            scenario.record_bytes.saturating_sub(2),
            scenario.batch_records,
        ];
        if counts.contains(&0) {
            return Err(refuse(
                "counts above zero, records above 2 bytes".to_owned(),
            ));
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_lies_in_some_partition_whatever_the_skew() {
        for skew in Skew::ALL {
            for partitions in [1, 7, 10_000] {
                let scenario = Scenario {
                    partitions,
                    shards: 3,
                    skew,
                    record_bytes: 1000,
                    batch_records: 1,
                    budget_bytes: 0,
                    volume_bytes: 123_456_789,
                    session_ms: 0,
                };
                let sum: u64 = (0..partitions).map(|p| scenario.records_of(p)).sum();
                assert_eq!(sum, scenario.records());
                assert_eq!(Scenario::of_json(&scenario.to_json()).unwrap(), scenario);
                assert_eq!(Skew::of_name(skew.name()), Some(skew));
            }
        }
    }
}
