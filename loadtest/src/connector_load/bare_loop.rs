//! The cheapest consumers there are: what is left of a connector without its promises.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;
use skein_config::kafka::login::Login;
use skein_config::kafka::{FetchShare, KafkaSettings};
use skein_shared::ids::TopicName;
use skein_shared::process_use;
use skein_shared::units::{ByteCount, MIB};

use crate::error::{Error, Result};

/// What a loop does with what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    Poll,
    /// Compresses it at zstd level 1 in blocks of 1 MiB, on a thread of its own.
    Compress,
}

/// What a loop read, and what that took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BareReport {
    /// Records read.
    pub records: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
    /// Bytes after compression; 0 when nothing is compressed.
    pub compressed_bytes: u64,
    /// From the first record to the end.
    pub reading_ms: u64,
    /// Processor time of this process so far.
    pub cpu_ms: u64,
    /// The most memory that was resident.
    pub peak_memory_bytes: u64,
}

/// How long no record may come before the loop is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Blocks that may wait to be compressed.
const BLOCKS_IN_FLIGHT: usize = 4;

/// Reads the whole topic as it is now, all partitions at once, without a group.
///
/// # Errors
/// The broker does not answer, or no record comes for long.
pub fn run(
    kafka: &KafkaSettings,
    queue: ByteCount,
    topic: &TopicName,
    work: Work,
) -> Result<BareReport> {
    let failed = |operation: &'static str| {
        move |error: KafkaError| kafka_failed(kafka, topic, operation, error.to_string())
    };
    let mut config = kafka.consumer_config(FetchShare::of_one_broker(queue))?;
    config.set("group.id", "bare-loop");
    let consumer: BaseConsumer<Login> = kafka.create(&config, kafka.login())?;
    let mut left = ends(&consumer, kafka, topic).map_err(failed("look up ends"))?;
    let mut list = TopicPartitionList::new();
    for partition in left.keys() {
        list.add_partition_offset(topic.as_str(), *partition, Offset::Beginning)
            .map_err(failed("assign"))?;
    }
    consumer.assign(&list).map_err(failed("assign"))?;
    let (blocks, waiting) = mpsc::sync_channel::<Vec<u8>>(BLOCKS_IN_FLIGHT);
    let compressor = thread::spawn(move || compress_all(&waiting));
    let mut sink = Sink {
        work,
        block: Vec::new(),
        blocks,
        records: 0,
        value_bytes: 0,
    };
    let mut started = None;
    while !left.is_empty() {
        let Some(polled) = consumer.poll(PATIENCE) else {
            let reason = format!("no record came for {PATIENCE:?}");
            return Err(kafka_failed(kafka, topic, "poll", reason));
        };
        let message = polled.map_err(failed("poll"))?;
        started.get_or_insert_with(Instant::now);
        sink.take(message.payload().unwrap_or_default());
        let partition = message.partition();
        if left.get(&partition) == Some(&(message.offset() + 1)) {
            left.remove(&partition);
        }
    }
    let (records, value_bytes) = sink.finish();
    let compressed_bytes = compressor
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let reading = started.map_or(Duration::ZERO, |at| at.elapsed());
    Ok(BareReport {
        records,
        value_bytes,
        compressed_bytes,
        reading_ms: u64::try_from(reading.as_millis()).unwrap_or(u64::MAX),
        cpu_ms: process_use::cpu_ms(),
        peak_memory_bytes: process_use::peak_memory_bytes().unwrap_or(0),
    })
}

/// Where what is read goes.
struct Sink {
    work: Work,
    block: Vec<u8>,
    blocks: mpsc::SyncSender<Vec<u8>>,
    records: u64,
    value_bytes: u64,
}

impl Sink {
    fn take(&mut self, value: &[u8]) {
        self.records += 1;
        self.value_bytes += value.len() as u64;
        if self.work == Work::Compress {
            self.block.extend_from_slice(value);
            if self.block.len() as u64 >= MIB {
                self.send_block();
            }
        }
    }

    fn send_block(&mut self) {
        let room = self.block.capacity();
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(room));
        // The thread ends only after this sender.
        let _ = self.blocks.send(block);
    }

    fn finish(mut self) -> (u64, u64) {
        if !self.block.is_empty() {
            self.send_block();
        }
        (self.records, self.value_bytes)
    }
}

fn compress_all(blocks: &mpsc::Receiver<Vec<u8>>) -> u64 {
    let mut compressor = zstd::bulk::Compressor::new(1).expect("level 1 is a level");
    let mut bytes = 0;
    for block in blocks {
        let compressed = compressor.compress(&block);
        bytes += compressed.expect("the output grows as needed").len() as u64;
    }
    bytes
}

/// The offset behind the last record of each partition that has any.
fn ends(
    consumer: &BaseConsumer<Login>,
    kafka: &KafkaSettings,
    topic: &TopicName,
) -> std::result::Result<BTreeMap<i32, i64>, KafkaError> {
    let patience = kafka.metadata_timeout.duration();
    let metadata = consumer.fetch_metadata(Some(topic.as_str()), patience)?;
    let mut ends = BTreeMap::new();
    for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
        let (low, high) = consumer.fetch_watermarks(topic.as_str(), partition.id(), patience)?;
        if low < high {
            ends.insert(partition.id(), high);
        }
    }
    Ok(ends)
}

fn kafka_failed(
    kafka: &KafkaSettings,
    topic: &TopicName,
    operation: &'static str,
    reason: String,
) -> Error {
    Error::Kafka {
        operation,
        topic: topic.to_string(),
        brokers: kafka.brokers.clone(),
        reason,
    }
}
