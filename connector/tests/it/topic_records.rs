//! What a topic holds, read by a plain consumer.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use skein_connector::replay::target_topic::{POSITION_HEADER, REPLAY_HEADER};

use crate::fixture::{Kept, Place};

/// One record of a topic, and where a replay says that it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) record: Kept,
    pub(crate) offset: i64,
    /// The value of its header `skein-position`.
    pub(crate) position: Option<String>,
}

/// Every committed record of a topic, partition by partition, in order; without the headers of replays.
pub(crate) fn read(place: &Place, topic: &str, partitions: usize) -> Vec<Vec<Found>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &place.brokers)
        .set("group.id", "reader-of-tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    (0..partitions)
        .map(|number| read_partition(&consumer, topic, number))
        .collect()
}

fn read_partition(consumer: &BaseConsumer, topic: &str, number: usize) -> Vec<Found> {
    let mut list = TopicPartitionList::new();
    let number = i32::try_from(number).unwrap();
    list.add_partition_offset(topic, number, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let mut found = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_mins(1) {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => found.push(found_in(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => return found,
            Some(Err(_)) | None => {}
        }
    }
    panic!("{topic}/{number} has no end: {} records", found.len());
}

fn found_in(message: &impl Message) -> Found {
    let mut headers = Vec::new();
    let mut position = None;
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        let value = header.value.map(<[u8]>::to_vec);
        match header.key {
            POSITION_HEADER => position = value.map(|value| String::from_utf8(value).unwrap()),
            REPLAY_HEADER => {}
            name => headers.push((name.to_owned(), value)),
        }
    }
    Found {
        record: Kept {
            timestamp: message.timestamp().to_millis().unwrap(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        },
        offset: message.offset(),
        position,
    }
}

/// Asserts that `again` holds what `original` does, in the same order, and says where each record stood.
#[track_caller]
pub(crate) fn assert_replayed(
    original: &[Vec<Found>],
    again: &[Vec<Found>],
    source: &str,
    topic: &str,
) {
    for (partition, (original, again)) in original.iter().zip(again).enumerate() {
        assert_eq!(original.len(), again.len(), "partition {partition}");
        for (original, again) in original.iter().zip(again) {
            assert_eq!(original.record, again.record, "partition {partition}");
            let stood = format!("{source}/{topic}/0/{partition}/{}", original.offset);
            assert_eq!(again.position.as_ref(), Some(&stood));
        }
    }
}
