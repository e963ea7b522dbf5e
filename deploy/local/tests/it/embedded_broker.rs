//! The embedded broker, asked by librdkafka's clients.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use skein_local::embedded_broker::{EmbeddedBroker, PARTITION_BYTES_KEPT};

const PATIENCE: Duration = Duration::from_secs(20);

fn config(broker: &EmbeddedBroker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    config
}

async fn produce(broker: &EmbeddedBroker, topic: &str, partition: i32, value: &[u8]) {
    let producer: FutureProducer = config(broker).create().unwrap();
    let record = FutureRecord::<[u8], [u8]>::to(topic)
        .partition(partition)
        .payload(value);
    producer.send(record, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn what_is_produced_is_consumed_from_the_partition_it_went_to() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("points", 64).unwrap();
    produce(&broker, "points", 63, b"payload").await;
    let read = tokio::task::spawn_blocking(move || {
        let mut config = config(&broker);
        let consumer: BaseConsumer = config.set("group.id", "g").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("points", 63, Offset::Beginning)
            .unwrap();
        consumer.assign(&list).unwrap();
        let record = consumer.poll(PATIENCE).unwrap().unwrap();
        record.payload().unwrap().to_vec()
    });
    assert_eq!(read.await.unwrap(), b"payload");
}

#[tokio::test]
async fn a_topic_is_created_once_and_seen_with_its_partitions() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("points", 64).unwrap();
    assert!(broker.create_topic("points", 64).is_err());
    assert!(broker.create_topic("none", 0).is_err());
    let consumer: BaseConsumer = config(&broker).create().unwrap();
    let metadata = consumer.fetch_metadata(Some("points"), PATIENCE).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 64);
}

#[tokio::test]
async fn each_start_is_a_cluster_of_its_own() {
    let [first, second] = [(); 2].map(|()| EmbeddedBroker::start().unwrap());
    let id = |broker: &EmbeddedBroker| {
        let consumer: BaseConsumer = config(broker).create().unwrap();
        consumer.client().fetch_cluster_id(PATIENCE).unwrap()
    };
    assert_ne!(id(&first), id(&second));
}

/// The limit that everybody who produces to the embedded broker has to respect.
#[tokio::test]
async fn the_oldest_records_of_a_full_partition_go_and_the_low_watermark_tells() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("points", 1).unwrap();
    let record = vec![7; 900_000];
    let consumer: BaseConsumer = config(&broker).create().unwrap();
    let mut kept = 0;
    loop {
        produce(&broker, "points", 0, &record).await;
        let (low, high) = consumer.fetch_watermarks("points", 0, PATIENCE).unwrap();
        if low > 0 {
            break;
        }
        kept = high;
        assert!(high < 100, "nothing was ever dropped");
    }
    let kept = u64::try_from(kept).unwrap() * 900_000;
    assert!(kept <= PARTITION_BYTES_KEPT && kept + 900_000 > PARTITION_BYTES_KEPT - 100_000);
}
