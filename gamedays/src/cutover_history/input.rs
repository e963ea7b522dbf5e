//! What Kafka holds: records of one series each.

use std::sync::LazyLock;

use skein_shared::format::order_column::{ChainIndex, Order};
use skein_shared::ids::{Chain, Incarnation, OrgId, PartitionId, SourceName, TopicName};
use skein_shared::offset::Offset;
use skein_shared::window::TimestampMs;

use crate::cutover_history::plan::{CHAINS, METRICS};

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The number of its series; orgs have [`METRICS`] each.
    pub series: usize,
    /// By the producer's clock.
    pub timestamp: i64,
    /// In the payload's order.
    pub points: Vec<(i64, f64)>,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the partition.
    pub chain: usize,
    /// Place in it.
    pub offset: usize,
}

/// Positions of all partitions: the next offset of each.
pub type Positions = [usize; CHAINS];

/// The records of all partitions. A series' records are in one.
#[derive(Debug, Clone, Default)]
pub struct Input {
    chains: [Vec<Record>; CHAINS],
    arrived: [Vec<i64>; CHAINS],
    of_series: Vec<Vec<Place>>,
}

/// The partitions' names.
pub fn chain(number: usize) -> &'static Chain {
    static NAMES: LazyLock<[Chain; CHAINS]> = LazyLock::new(|| {
        let partitions: [usize; CHAINS] = std::array::from_fn(|number| number);
        partitions.map(|number| Chain {
            source: SourceName::new("kafka").expect("a name"),
            topic: TopicName::new("points").expect("a name"),
            incarnation: Incarnation(0),
            partition: PartitionId(u32::try_from(number).expect("few partitions")),
        })
    });
    &NAMES[number]
}

/// Whose a series is.
pub fn org_of(series: usize) -> usize {
    series / METRICS
}

/// The id of an org.
pub fn org_id(org: usize) -> OrgId {
    OrgId(org as u64 + 1)
}

/// An offset as the product has it.
///
/// # Panics
/// If it is beyond 2^63.
pub fn offset(place: usize) -> Offset {
    Offset(i64::try_from(place).expect("few records"))
}

impl Input {
    /// Nothing of so many series.
    pub fn of_series(series: usize) -> Self {
        Self {
            chains: Default::default(),
            arrived: Default::default(),
            of_series: vec![Vec::new(); series],
        }
    }

    /// Appends a record to its partition.
    pub fn append(&mut self, record: Record, now: i64) -> Place {
        let chain = record.series % CHAINS;
        let place = Place {
            chain,
            offset: self.chains[chain].len(),
        };
        self.of_series[record.series].push(place);
        self.chains[chain].push(record);
        self.arrived[chain].push(now);
        place
    }

    /// Up to when everything that had come lies below some positions.
    pub fn complete_to(&self, positions: Positions, now: i64) -> i64 {
        let chains = self.arrived.iter().zip(positions);
        let first_missing = chains.filter_map(|(arrived, end)| arrived.get(end));
        first_missing.copied().fold(now, i64::min)
    }

    /// The record at a place.
    pub fn record(&self, place: Place) -> &Record {
        &self.chains[place.chain][place.offset]
    }

    /// The places of a series' records, in the order of offsets.
    pub fn places(&self, series: usize) -> &[Place] {
        &self.of_series[series]
    }

    /// Where each partition ends.
    pub fn ends(&self) -> Positions {
        std::array::from_fn(|chain| self.chains[chain].len())
    }

    /// How many points lie below some positions.
    pub fn points_below(&self, positions: Positions) -> u64 {
        let below = self.chains.iter().zip(positions);
        let records = below.flat_map(|(records, end)| &records[..end]);
        records.map(|record| record.points.len() as u64).sum()
    }

    /// A record's place in the total order of writes.
    ///
    /// # Panics
    /// If there are more than 2^32 partitions.
    pub fn order(&self, place: Place) -> Order {
        Order {
            seals: 1,
            record_timestamp: Some(TimestampMs(self.record(place).timestamp)),
            chain: ChainIndex(u32::try_from(place.chain).expect("few partitions")),
            offset: offset(place.offset),
        }
    }
}
