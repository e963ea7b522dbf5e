//! On the embedded broker and bucket.

use std::time::Duration;

use skein_connector::pipeline::{Controls, Setup, Until, run};
use skein_connector::report::Outcome;
use skein_local::embedded_broker::EmbeddedBroker;
use skein_local::embedded_bucket::{BucketOptions, Conditions, EmbeddedBucket, Storage};

use crate::fixture::{
    Place, TOPIC, assert_same, connect, frames_that_count, open_bucket, produce, records, settings,
};

pub(crate) struct Embedded {
    pub(crate) broker: EmbeddedBroker,
    pub(crate) bucket: EmbeddedBucket,
    pub(crate) place: Place,
}

pub(crate) fn start(partitions: u32, conditions: Conditions) -> Embedded {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic(TOPIC, partitions).unwrap();
    let bucket = EmbeddedBucket::start(BucketOptions {
        conditions,
        ..BucketOptions::new(Storage::Memory)
    })
    .unwrap();
    bucket.create_bucket("skein").unwrap();
    let place = Place {
        brokers: broker.bootstrap().to_owned(),
        endpoint: bucket.endpoint(),
        keys: (
            bucket.access_key().to_owned(),
            bucket.secret_key().to_owned(),
        ),
        // The embedded broker takes long over cooperative assignment, and waits nearly a session after a
        // member has left.
        properties: &[
            ("partition.assignment.strategy", "range"),
            ("session.timeout.ms", "4000"),
            ("heartbeat.interval.ms", "1000"),
        ],
    };
    Embedded {
        broker,
        bucket,
        place,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_produced_is_kept_byte_for_byte_and_read_once() {
    let servers = start(8, Conditions::Honoured);
    let produced = records(20_000, 300);
    produce(&servers.place, 8, &produced);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "one");
    let report = connect(&settings, &bucket).await;
    assert_eq!(report.outcome, Outcome::EndReached);
    assert_eq!(report.records, 20_000);
    assert_eq!(report.durable_records, 20_000);
    assert_eq!(report.quarantined_records["org-missing"], 400 - 58);
    assert_same(produced.clone(), &frames_that_count(&bucket).await);

    // A second run begins at the ledger's end: there is nothing left.
    let again = connect(&settings, &bucket).await;
    assert_eq!(again.records, 0);
    assert_eq!(again.objects, 0);

    // And goes on with what comes later.
    let more = records(500, 100);
    produce(&servers.place, 8, &more);
    assert_eq!(connect(&settings, &bucket).await.records, 500);
    assert_same([produced, more].concat(), &frames_that_count(&bucket).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_flushes_what_was_read_and_a_signal_flushes_without_stopping() {
    let servers = start(4, Conditions::Honoured);
    let produced = records(1000, 300);
    produce(&servers.place, 4, &produced);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "two");
    let (told, mut progress) = tokio::sync::watch::channel((0, 0));
    let controls = Controls {
        progress: Box::new(move |now| {
            let _ = told.send((now.records, now.durable_records));
        }),
        ..Controls::silent()
    };
    let (stop, flush) = (controls.stop.clone(), controls.flush.clone());
    let setup = Setup::of(&settings, bucket.clone(), Until::Asked);
    let running = tokio::spawn(run(setup, controls));
    progress
        .wait_for(|(records, _)| *records == 1000)
        .await
        .unwrap();
    assert_eq!(progress.borrow().1, 0, "the interval has not passed");
    flush.raise();
    progress
        .wait_for(|(_, durable)| *durable == 1000)
        .await
        .unwrap();
    let more = records(10, 300);
    produce(&servers.place, 4, &more);
    progress
        .wait_for(|(records, _)| *records == 1010)
        .await
        .unwrap();
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stopped);
    assert_eq!(report.durable_records, 1010);
    assert_same([produced, more].concat(), &frames_that_count(&bucket).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_the_consumer_refuses_change_nothing() {
    let servers = start(4, Conditions::Honoured);
    let produced = records(100, 300);
    produce(&servers.place, 4, &produced);
    let bucket = open_bucket(&servers.place).await;
    let controls = Controls::silent();
    let (stop, operations) = (controls.stop.clone(), controls.operations.clone());
    let setup = Setup::of(
        &settings(&servers.place, "refused-topics"),
        bucket.clone(),
        Until::Asked,
    );
    let running = tokio::spawn(run(setup, controls));
    let has_read_all = async || loop {
        match operations.look().await {
            Ok(snapshot) if snapshot.stats.records == 100 => return snapshot,
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    };
    has_read_all().await;
    for topics in [vec![TOPIC, TOPIC], vec!["^a(?i)b"], vec![]] {
        let topics = topics.into_iter().map(str::to_owned).collect();
        let refused = operations.read_topics(topics).await.unwrap_err();
        assert!(refused.to_string().contains("name each once"), "{refused}");
    }
    assert_eq!(has_read_all().await.topics, [TOPIC]);
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stopped);
    assert_same(produced, &frames_that_count(&bucket).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_under_the_same_source_name_is_refused() {
    let servers = start(4, Conditions::Honoured);
    produce(&servers.place, 4, &records(10, 30));
    let bucket = open_bucket(&servers.place).await;
    connect(&settings(&servers.place, "three"), &bucket).await;
    let other = EmbeddedBroker::start().unwrap();
    other.create_topic(TOPIC, 4).unwrap();
    let mut settings = settings(&servers.place, "three");
    settings.kafka.brokers = other.bootstrap().to_owned();
    let setup = Setup::of(&settings, bucket, Until::EndAtAssignment);
    let error = run(setup, Controls::silent())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("three") && error.contains("source"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_before_anything_is_read() {
    let servers = start(4, Conditions::Honoured);
    let bucket = open_bucket(&servers.place).await;
    let refused = async |change: fn(&mut skein_config::Settings)| {
        let mut settings = settings(&servers.place, "four");
        settings.kafka.metadata_timeout = skein_shared::units::Millis(1500);
        change(&mut settings);
        let setup = Setup::of(&settings, bucket.clone(), Until::EndAtAssignment);
        let refused = run(setup, Controls::silent());
        let refused = tokio::time::timeout(Duration::from_secs(30), refused).await;
        refused.expect("nothing hangs").unwrap_err().to_string()
    };
    let missing = refused(|settings| settings.kafka.topics = vec!["nowhere".to_owned()]).await;
    assert!(
        missing.contains("nowhere") && missing.contains("create it"),
        "{missing}"
    );
    let pattern = refused(|settings| settings.kafka.topics = vec!["^zz.*".to_owned()]).await;
    assert!(pattern.contains("^zz.*"), "{pattern}");
    let none = refused(|settings| settings.kafka.topics.clear()).await;
    assert!(none.contains("kafka.topics"), "{none}");
    let away = refused(|settings| settings.kafka.brokers = "127.0.0.1:1".to_owned()).await;
    assert!(
        away.contains("127.0.0.1:1") && away.contains("check"),
        "{away}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_conditional_writes_is_refused() {
    let servers = start(4, Conditions::Ignored);
    let bucket = open_bucket(&servers.place).await;
    let setup = Setup::of(
        &settings(&servers.place, "five"),
        bucket,
        Until::EndAtAssignment,
    );
    let error = run(setup, Controls::silent()).await.unwrap_err();
    assert!(error.to_string().contains("not fit"), "{error}");
}
