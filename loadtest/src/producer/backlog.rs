//! How much a partition may hold beyond the ledger's end, for a broker that silently drops what is older.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use skein_config::kafka::KafkaSettings;
use skein_config::kafka::login::Login;
use skein_shared::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::units::ByteCount;
use tokio::runtime::Handle;

use crate::error::{Error, Result};

/// What a record costs a broker beyond its own bytes, at most: the head of a batch of one.
const RECORD_OVERHEAD_BYTES: u64 = 100;
const READ_LIMIT: Duration = Duration::from_mins(1);
const CONCURRENT_LOOKUPS: usize = 16;

/// Counts what each partition holds beyond the ledger's end.
#[derive(Debug)]
pub struct Backlog {
    limit: ByteCount,
    ends: LedgerEnds,
    held_bytes: Vec<u64>,
}

/// Where the ledger of a source's partitions ends.
#[derive(Debug, Clone)]
pub struct LedgerEnds {
    /// The ledger.
    pub ledger: Ledger,
    /// The cluster's name.
    pub source: SourceName,
    /// Drives the requests to the bucket.
    pub runtime: Handle,
}

impl Backlog {
    /// At most `limit` in each partition.
    pub const fn new(limit: ByteCount, ends: LedgerEnds) -> Self {
        Self {
            limit,
            ends,
            held_bytes: Vec::new(),
        }
    }

    /// Counts one more record, if there is room for it.
    pub(super) fn admit(&mut self, partition: u32, bytes: usize) -> bool {
        let held = &mut self.held_bytes[partition as usize];
        let sum = *held + bytes as u64 + RECORD_OVERHEAD_BYTES;
        if sum <= self.limit.0 {
            *held = sum;
        }
        sum <= self.limit.0
    }

    pub(super) fn full(&self, topic: &TopicName, partition: u32) -> Error {
        Error::BacklogFull {
            topic: topic.to_string(),
            partition,
            held: ByteCount(self.held_bytes[partition as usize]),
            limit: self.limit,
        }
    }

    /// Reads what every partition holds beyond the ledger's end.
    pub(super) fn measure(
        &mut self,
        kafka: &KafkaSettings,
        topic: &TopicName,
        partitions: u32,
    ) -> Result<()> {
        let ends = self.ends.read(topic, partitions)?;
        let error = |operation, reason: String| Error::Kafka {
            operation,
            topic: topic.to_string(),
            brokers: kafka.brokers.clone(),
            reason,
        };
        let mut config = kafka.client_config()?;
        config
            .set("group.id", "skein-backlog")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.queue.backoff.ms", "10");
        let consumer: BaseConsumer<Login> = kafka.create(&config, kafka.login())?;
        let lookup = kafka.lookup_client()?;
        let mut unread = BTreeMap::new();
        for (partition, end) in ends {
            let number = partition.0.cast_signed();
            let (low, high) = lookup.watermarks(topic.as_str(), number)?;
            if low > end.0 {
                let reason = format!(
                    "partition {partition} begins at {low}, but the ledger ends at {end}: records between are lost"
                );
                return Err(error("measure backlog", reason));
            }
            if high > end.0 {
                unread.insert(number, Span::new(end, Offset(high)));
            }
        }
        self.held_bytes = vec![0; partitions as usize];
        self.read(&consumer, topic, unread)
            .map_err(|reason| error("measure backlog", reason))
    }

    fn read(
        &mut self,
        consumer: &BaseConsumer<Login>,
        topic: &TopicName,
        mut unread: BTreeMap<i32, Span>,
    ) -> std::result::Result<(), String> {
        let mut list = TopicPartitionList::new();
        for (partition, span) in &unread {
            list.add_partition_offset(topic.as_str(), *partition, KafkaOffset::Offset(span.from.0))
                .map_err(|error| error.to_string())?;
        }
        consumer.assign(&list).map_err(|error| error.to_string())?;
        let until = Instant::now() + READ_LIMIT;
        while !unread.is_empty() {
            if Instant::now() > until {
                return Err(format!("{} partitions were not read in time", unread.len()));
            }
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let message = message.map_err(|error| error.to_string())?;
            let partition = message.partition();
            let Some(span) = unread.get(&partition).copied() else {
                continue;
            };
            let held = &mut self.held_bytes[partition.cast_unsigned() as usize];
            *held += message_bytes(&message) + RECORD_OVERHEAD_BYTES;
            if message.offset() + 1 >= span.to.0 {
                unread.remove(&partition);
            }
        }
        Ok(())
    }
}

impl LedgerEnds {
    /// The end of each partition's ledger; 0 where there is none yet.
    fn read(&self, topic: &TopicName, partitions: u32) -> Result<BTreeMap<PartitionId, Offset>> {
        let lookups = stream::iter((0..partitions).map(PartitionId)).map(|partition| async move {
            let chain = Chain {
                source: self.source.clone(),
                topic: topic.clone(),
                incarnation: Incarnation(0),
                partition,
            };
            let end = self.ledger.end(&chain, None).await?;
            Ok((partition, end.map_or(Offset(0), |end| end.offset)))
        });
        self.runtime
            .block_on(lookups.buffer_unordered(CONCURRENT_LOOKUPS).try_collect())
    }
}

fn message_bytes(message: &impl Message) -> u64 {
    let headers = message.headers().map_or(0, |headers| {
        let size = |header: rdkafka::message::Header<'_, &[u8]>| {
            header.key.len() + header.value.map_or(0, <[u8]>::len)
        };
        headers.iter().map(size).sum()
    });
    let key = message.key().map_or(0, <[u8]>::len);
    (headers + key + message.payload().map_or(0, <[u8]>::len)) as u64
}
