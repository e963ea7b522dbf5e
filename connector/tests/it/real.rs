//! On Apache Kafka and `SeaweedFS`, where they can be had.

use skein_connector::pipeline::{Controls, Setup, Until, run};
use skein_local::apache_kafka::{ApacheKafka, Nodes};
use skein_local::seaweedfs::SeaweedFs;
use skein_local::{Unavailable, skipped};
use skein_shared::units::{ByteCount, Millis};

use crate::fixture::{
    Place, TOPIC, assert_same, connect, frames_that_count, open_bucket, produce, records, settings,
};

const PARTITIONS: usize = 12;

struct Real {
    _kafka: ApacheKafka,
    _seaweed: SeaweedFs,
    place: Place,
}

async fn start() -> Result<Real, Unavailable> {
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
        _kafka: kafka,
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
