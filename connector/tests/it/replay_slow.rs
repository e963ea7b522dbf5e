//! Replays into a topic that go slowly, or cannot go on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use skein_connector::replay::{self, Rate, ReplayControls};
use skein_local::embedded_bucket::{Conditions, Mood};
use skein_shared::ErrorKind;
use tokio_util::sync::CancellationToken;

use crate::embedded::start;
use crate::fixture::{Kept, connect, open_bucket, produce, records, settings};
use crate::replay::{AGAIN, into_again, request, setup};
use crate::topic_records::read;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_rate_is_waited_for_with_no_transaction_open() {
    let servers = start(1, Conditions::Honoured);
    servers.broker.create_topic(AGAIN, 1).unwrap();
    produce(&servers.place, 1, &records(3, 200));
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "slow");
    connect(&settings, &bucket).await;
    let setup = setup(&settings, &bucket);
    let plan = replay::plan(&setup, &request("slow", into_again()))
        .await
        .unwrap();
    let job = replay::begin(&bucket, &plan).await.unwrap();
    let (told, mut progress) = tokio::sync::watch::channel(0);
    let stop = CancellationToken::new();
    let controls = ReplayControls {
        // Minutes for a record: the broker would abort its transaction.
        rates: vec![Rate::Bytes(1)],
        stop: stop.clone(),
        progress: Box::new(move |now| {
            let _ = told.send(now.records);
        }),
    };
    let running = tokio::spawn(async move { replay::run(&setup, job, controls).await });
    let first = progress.wait_for(|records| *records == 1);
    let is_committed = tokio::time::timeout(Duration::from_secs(20), first)
        .await
        .is_ok();
    assert!(is_committed, "before the wait");
    assert_eq!(read(&servers.place, AGAIN, 1)[0].len(), 1);
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.state, report.records), ("running", 1));
}

/// Whether a topic's only partition holds anything, committed or not.
fn is_begun(brokers: &str) -> bool {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let (_, high) = consumer
        .fetch_watermarks(AGAIN, 0, Duration::from_secs(10))
        .unwrap();
    high > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_grows_old_while_the_bucket_does_not_answer_is_committed_meanwhile() {
    let servers = start(1, Conditions::Honoured);
    servers.broker.create_topic(AGAIN, 1).unwrap();
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "stalled");
    // Two flushes: the second is asked for while the records of the first are in a transaction.
    for _ in 0..2 {
        produce(&servers.place, 1, &records(3, 200));
        connect(&settings, &bucket).await;
    }
    let setup = setup(&settings, &bucket);
    let plan = replay::plan(&setup, &request("stalled", into_again()))
        .await
        .unwrap();
    let job = replay::begin(&bucket, &plan).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let steps = Arc::clone(&told);
    let controls = ReplayControls {
        rates: vec![Rate::Records(1)],
        progress: Box::new(move |now| steps.lock().unwrap().push(now.records)),
        ..ReplayControls::silent()
    };
    let running = tokio::spawn(async move { replay::run(&setup, job, controls).await });
    while !tokio::task::block_in_place(|| is_begun(&servers.place.brokers)) {}
    servers.bucket.set_mood(Mood::Stalls);
    // The second flush is waited for; what follows the commit, once the transaction is old, is the second to wait.
    let both = async {
        while servers.bucket.mood_met() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let committed = tokio::time::timeout(Duration::from_secs(30), both).await;
    committed.expect("it is committed while the bucket does not answer");
    servers.bucket.set_mood(Mood::Serves);
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.state, report.records), ("done", 6));
    let told = told.lock().unwrap().clone();
    assert_eq!(told[..2], [0, 3], "{told:?}");
    assert_eq!(read(&servers.place, AGAIN, 1)[0].len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_message_can_hold_is_named_with_its_place_and_what_to_raise() {
    let servers = start(1, Conditions::Honoured);
    servers.broker.create_topic(AGAIN, 1).unwrap();
    let small = records(2, 100);
    let large = Kept {
        value: Some([vec![8, 1], vec![0; 50_000]].concat()),
        ..small[0].clone()
    };
    produce(&servers.place, 1, &[small, vec![large]].concat());
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "large");
    connect(&settings, &bucket).await;
    let mut setup = setup(&settings, &bucket);
    let limit = ("message.max.bytes".to_owned(), "20000".to_owned());
    setup.kafka.properties.0.extend([limit]);
    let plan = replay::plan(&setup, &request("large", into_again()))
        .await
        .unwrap();
    let job = replay::begin(&bucket, &plan).await.unwrap();
    let error = replay::run(&setup, job, ReplayControls::silent())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let text = error.to_string();
    for named in ["large/points/0/0/2", "500", "message.max.bytes"] {
        assert!(text.contains(named), "{text}");
    }
}
