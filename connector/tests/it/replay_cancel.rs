//! Replays that somebody cancels.

use skein_connector::replay::{self, ReplayControls};
use skein_local::embedded_bucket::Conditions;
use skein_shared::ids::JobId;

use crate::embedded::start;
use crate::fixture::{connect, open_bucket, produce, records, settings};
use crate::replay::{AGAIN, into_again, request, setup};
use crate::topic_records::read;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_cancelled_ends_at_its_next_step_and_stays_ended() {
    let servers = start(2, Conditions::Honoured);
    servers.broker.create_topic(AGAIN, 2).unwrap();
    produce(&servers.place, 2, &records(500, 100));
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "cancelled");
    connect(&settings, &bucket).await;
    let setup = setup(&settings, &bucket);
    let plan = replay::plan(&setup, &request("cancelled", into_again()))
        .await
        .unwrap();
    let job = replay::begin(&bucket, &plan).await.unwrap();
    let state = async || replay::status(&bucket, None).await.unwrap()[0].state;
    assert_eq!(state().await, "planned");
    replay::cancel(&bucket, job).await.unwrap();
    assert_eq!(state().await, "cancelling");
    for _ in 0..2 {
        let report = replay::run(&setup, job, ReplayControls::silent())
            .await
            .unwrap();
        assert_eq!((report.state, report.records), ("cancelled", 0));
    }
    assert_eq!(state().await, "cancelled");
    assert!(read(&servers.place, AGAIN, 2).iter().all(Vec::is_empty));
    let unknown = JobId(7);
    let error = replay::cancel(&bucket, unknown).await.unwrap_err();
    assert!(error.to_string().contains("0000000000000007"), "{error}");
}
