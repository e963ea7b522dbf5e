//! Replays into a topic that go slowly, or cannot go on.

use std::time::Duration;

use skein_connector::replay::{self, Rate, ReplayControls};
use skein_local::embedded_bucket::Conditions;
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
