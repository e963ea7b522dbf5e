//! Replays on Apache Kafka and `SeaweedFS`, where they can be had.

use std::time::{Duration, Instant};

use skein_connector::replay::{self, Rate, ReplayControls, ReplayRequest};
use skein_local::skipped;
use skein_shared::bucket::Bucket;
use skein_shared::format::replay_job::{Only, ReplayInto};
use skein_shared::ids::{JobId, PartitionId};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::fixture::{
    TOPIC, assert_same, connect, frames_that_count, open_bucket, produce, records, settings,
};
use crate::real::{PARTITIONS, start};
use crate::replay::{AGAIN, into_again, lose, replayed, request, setup, span};
use crate::topic_records::{assert_replayed, read};

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_stopped_and_carried_on_gives_the_topic_once() {
    let test = "a_replay_stopped_and_carried_on_gives_the_topic_once";
    let servers = match start().await {
        Ok(servers) => servers,
        Err(unavailable) => return skipped::report(test, &unavailable),
    };
    let partitions = u32::try_from(PARTITIONS).unwrap();
    servers.kafka.create_topic(AGAIN, partitions).await.unwrap();
    produce(&servers.place, PARTITIONS, &records(40_000, 500));
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "real-replay");
    connect(&settings, &bucket).await;
    let setup = setup(&settings, &bucket);
    let plan = replay::plan(&setup, &request("real-replay", into_again()))
        .await
        .unwrap();
    let job = replay::begin(&bucket, &plan).await.unwrap();
    // At this rate all of it would take twenty seconds; the first step comes after five.
    let controls = ReplayControls {
        rates: vec![Rate::Records(2000)],
        ..ReplayControls::silent()
    };
    let stop = controls.stop.clone();
    let stopping = async {
        wait_for_first_step(&bucket, job).await;
        stop.cancel();
    };
    let (stopped, ()) = tokio::join!(replay::run(&setup, job, controls), stopping);
    let stopped = stopped.unwrap();
    assert_eq!(stopped.state, "running");
    assert!((8_000..20_000).contains(&stopped.records), "{stopped:?}");
    let report = replay::run(&setup, job, ReplayControls::silent())
        .await
        .unwrap();
    assert_eq!((report.state, report.records), ("done", 40_000));
    let original = read(&servers.place, TOPIC, PARTITIONS);
    let again = read(&servers.place, AGAIN, PARTITIONS);
    assert_replayed(&original, &again, "real-replay", TOPIC);
}

/// Returns once the bucket has a step of the job with records in it.
async fn wait_for_first_step(bucket: &Bucket, job: JobId) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let told = replay::status(bucket, Some(job)).await.unwrap();
        if told.iter().any(|status| status.records > 0) {
            return;
        }
        assert!(Instant::now() < deadline, "no step in a minute: {told:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_spans_are_filled_by_offsets_and_by_times_where_kafka_has_them() {
    let test = "lost_spans_are_filled_by_offsets_and_by_times_where_kafka_has_them";
    let servers = match start().await {
        Ok(servers) => servers,
        Err(unavailable) => return skipped::report(test, &unavailable),
    };
    let partitions = u32::try_from(PARTITIONS).unwrap();
    let produced = records(12_000, 300);
    produce(&servers.place, PARTITIONS, &produced);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "real-fill");
    lose(&bucket, "real-fill", partitions, 400).await;
    connect(&settings, &bucket).await;
    let setup = setup(&settings, &bucket);
    let one = ReplayRequest {
        partition: Some(PartitionId(3)),
        offsets: Some(span(100, 200)),
        ..request("real-fill", ReplayInto::State)
    };
    // Fills stand on one another, from the hole's beginning.
    let (_, report) = replayed(&setup, &one).await;
    assert_eq!((report.state, report.records), ("done", 200));
    // The records of the first 300 offsets of each partition.
    let times = TimeSpan {
        from: TimestampMs(produced[0].timestamp),
        to: TimestampMs(produced[300 * PARTITIONS].timestamp),
    };
    let by_time = ReplayRequest {
        only: Only {
            times: Some(times),
            ..Only::default()
        },
        ..request("real-fill", ReplayInto::State)
    };
    let (_, report) = replayed(&setup, &by_time).await;
    assert_eq!(report.records, 300 * u64::from(partitions) - 200);
    let (_, report) = replayed(&setup, &request("real-fill", ReplayInto::State)).await;
    assert_eq!(report.records, 100 * u64::from(partitions));
    assert_same(produced, &frames_that_count(&bucket).await);
    let kept = settings.kafka.topic_retention(&one.topic).await.unwrap();
    // These servers never drop a record.
    assert_eq!(kept, skein_config::retention::TopicRetention::Unlimited);
}
