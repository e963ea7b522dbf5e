//! On Apache Kafka and `SeaweedFS`, where they can be had.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use skein_connector::pipeline::{Controls, Setup, Until, run};
use skein_local::apache_kafka::{ApacheKafka, Nodes};
use skein_local::seaweedfs::SeaweedFs;
use skein_local::{Unavailable, skipped};
use skein_shared::units::{ByteCount, Millis};

use crate::fixture::{
    Place, TOPIC, assert_same, connect, frames_that_count, open_bucket, produce, records, settings,
};

pub(crate) const PARTITIONS: usize = 12;

pub(crate) struct Real {
    pub(crate) kafka: ApacheKafka,
    _seaweed: SeaweedFs,
    pub(crate) place: Place,
}

pub(crate) async fn start() -> Result<Real, Unavailable> {
    let kafka = ApacheKafka::start(Nodes::One).await?;
    let topic = kafka
        .create_topic(TOPIC, u32::try_from(PARTITIONS).unwrap())
        .await;
    topic.expect("a fresh cluster takes a topic");
    let seaweed = SeaweedFs::start("skein").await?;
    let place = Place {
        brokers: kafka.bootstrap().to_owned(),
        endpoint: seaweed.endpoint(),
        keys: (
            seaweed.access_key().to_owned(),
            seaweed.secret_key().to_owned(),
        ),
        properties: &[("partition.assignment.strategy", "cooperative-sticky")],
    };
    Ok(Real {
        kafka,
        _seaweed: seaweed,
        place,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_come_and_go_keep_every_record_once() {
    let servers = match start().await {
        Ok(servers) => servers,
        Err(unavailable) => {
            skipped::report(
                "two_workers_that_come_and_go_keep_every_record_once",
                &unavailable,
            );
            return;
        }
    };
    let mut produced = records(60_000, 2000);
    produce(&servers.place, PARTITIONS, &produced);
    let bucket = open_bucket(&servers.place).await;
    let mut settings = settings(&servers.place, "real");
    settings.connector.flush_interval = Millis(700);
    settings.connector.memory_budget = ByteCount::mib(160);

    let first = Controls::silent();
    let stop_first = first.stop.clone();
    let setup = Setup::of(&settings, bucket.clone(), Until::Asked);
    let first = tokio::spawn(run(setup.clone(), first));
    let (told, mut progress) = tokio::sync::watch::channel((0, 0));
    let second = Controls {
        progress: Box::new(move |now| {
            let _ = told.send((now.partitions, now.records));
        }),
        ..Controls::silent()
    };
    let stop_second = second.stop.clone();
    let second = tokio::spawn(run(setup, second));
    progress
        .wait_for(|(partitions, _)| *partitions > 0)
        .await
        .unwrap();
    let more = records(20_000, 2000);
    produce(&servers.place, PARTITIONS, &more);
    produced.extend(more);
    progress
        .wait_for(|(_, records)| *records > 5000)
        .await
        .unwrap();
    stop_first.cancel();
    let first = first.await.unwrap().unwrap();
    progress
        .wait_for(|(partitions, _)| *partitions == PARTITIONS as u64)
        .await
        .unwrap();
    stop_second.cancel();
    let second = second.await.unwrap().unwrap();
    let rest = connect(&settings, &bucket).await;
    assert_same(produced, &frames_that_count(&bucket).await);
    let durable = first.durable_records + second.durable_records + rest.durable_records;
    assert_eq!(durable, 80_000, "{first:?} {second:?} {rest:?}");
}

/// Sends `records` records to one partition in a transaction, and ends it as told.
fn transaction(producer: &BaseProducer, partition: i32, records: u32, ending: Ending) {
    let patience = Duration::from_secs(30);
    producer.begin_transaction().unwrap();
    for number in 0..records {
        let value = [8, 1, u8::try_from(number).unwrap()];
        let record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(TOPIC).partition(partition).payload(&value);
        producer.send(record).unwrap();
    }
    producer.flush(patience).unwrap();
    match ending {
        Ending::Commit => producer.commit_transaction(patience).unwrap(),
        Ending::Abort => producer.abort_transaction(patience).unwrap(),
    }
}

#[derive(Clone, Copy)]
enum Ending {
    Commit,
    Abort,
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_end_in_transaction_markers_are_read_to_their_ends() {
    const NAME: &str = "partitions_that_end_in_transaction_markers_are_read_to_their_ends";
    let servers = match start().await {
        Ok(servers) => servers,
        Err(unavailable) => return skipped::report(NAME, &unavailable),
    };
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &servers.place.brokers)
        .set("transactional.id", "markers")
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    transaction(&producer, 0, 5, Ending::Commit);
    transaction(&producer, 1, 4, Ending::Commit);
    transaction(&producer, 1, 3, Ending::Abort);
    transaction(&producer, 2, 3, Ending::Abort);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "markers");
    for durable in [9, 0] {
        let connected = connect(&settings, &bucket);
        let report = tokio::time::timeout(Duration::from_mins(1), connected).await;
        let report = report.expect("the ends are reached");
        assert_eq!(report.durable_records, durable, "{report:?}");
        transaction(&producer, 2, 2, Ending::Abort);
    }
    assert_eq!(frames_that_count(&bucket).await.len(), 9);
}
