//! A replay from state into a topic brings no deleted point back.

use skein_connector::replay::deleted_points::DeletedCounts;
use skein_connector::replay::{self, OnDeleted, ReplayControls, ReplayRequest};
use skein_local::embedded_bucket::Conditions;
use skein_shared::bucket::Bucket;
use skein_shared::delete_log::{self, NewDelete};
use skein_shared::format::delete_entry::{DeleteSelector, Statement};
use skein_shared::format::replay_job::ReplayInto;
use skein_shared::ids::{MetricId, OrgId, TopicName};
use skein_shared::payload::Payload;
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::embedded::start;
use crate::fixture::{Kept, TOPIC, connect, open_bucket, produce, records, settings};
use crate::replay::{request, setup};
use crate::topic_records::{Found, assert_replayed, read};

/// Nobody can look into the records of the one; of the other some points are deleted.
const OPAQUE: u64 = 42;
const CUT: u64 = 500;

fn payload(times: impl Iterator<Item = i64>) -> Vec<u8> {
    let timestamps: Vec<TimestampMs> = times.map(TimestampMs).collect();
    let mut value = Vec::new();
    Payload {
        org: OrgId(CUT),
        metric: MetricId(1),
        values: vec![2.5; timestamps.len()],
        timestamps,
        metadata: vec![("host".into(), "a".into())],
    }
    .encode(&mut value);
    value
}

async fn delete(bucket: &Bucket, org: u64, span: TimeSpan) {
    let new = NewDelete {
        selector: DeleteSelector {
            org: OrgId(org),
            metric: None,
            span,
        },
        stated: Statement::default(),
        deadline_after: Millis(0),
    };
    delete_log::append(bucket, new).await.unwrap();
}

fn is_opaque(record: &Kept) -> bool {
    let of_value = record
        .value
        .as_deref()
        .is_some_and(|value| value[..2] == [8, 42]);
    let of_header = record.headers.first().is_some_and(|(name, value)| {
        name == "skein-org" && value.as_deref() == Some(OPAQUE.to_string().as_bytes())
    });
    // A record without a value has no points.
    record.value.is_some() && (of_value || of_header)
}

/// What is to be left of a topic.
fn left_of(original: &[Vec<Found>]) -> Vec<Vec<Found>> {
    let whole = payload(0..10);
    let left = |partition: &Vec<Found>| {
        let mut left = partition.clone();
        left.retain(|found| !is_opaque(&found.record));
        for found in &mut left {
            if found.record.value.as_ref() == Some(&whole) {
                found.record.value = Some(payload((0..5).chain(8..10)));
            }
        }
        left
    };
    original.iter().map(left).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_into_a_topic_brings_no_deleted_point_back_unless_told_to() {
    let servers = start(2, Conditions::Honoured);
    let mut produced = records(2000, 100);
    produced[500].value = Some(payload(0..10));
    produced[500].headers.clear();
    produce(&servers.place, 2, &produced);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "deleted");
    connect(&settings, &bucket).await;
    delete(&bucket, OPAQUE, TimeSpan::ALL).await;
    let some = TimeSpan {
        from: TimestampMs(5),
        to: TimestampMs(8),
    };
    let setup = setup(&settings, &bucket);
    let original = read(&servers.place, TOPIC, 2);
    let left_out = produced.iter().filter(|record| is_opaque(record)).count() as u64;
    assert!(left_out > 10);
    let cut = DeletedCounts {
        records_left_out: left_out,
        records_cut: 1,
        points: 3,
    };
    let ways = [
        (OnDeleted::LeaveOut, "without", left_of(&original), cut),
        (OnDeleted::Send, "with", original, DeletedCounts::default()),
    ];
    for (turn, (on_deleted, target, expected, counts)) in ways.into_iter().enumerate() {
        servers.broker.create_topic(target, 2).unwrap();
        let into = ReplayInto::Topic(TopicName::new(target).unwrap());
        let wanted = ReplayRequest {
            on_deleted,
            ..request("deleted", into)
        };
        let plan = replay::plan(&setup, &wanted).await.unwrap();
        let job = replay::begin(&setup.bucket, &plan).await.unwrap();
        if turn == 0 {
            // What is deleted after it was planned would come in behind the delete, and stay.
            delete(&bucket, CUT, some).await;
        }
        let run = replay::run(&setup, job, ReplayControls::silent());
        let report = run.await.unwrap();
        assert_eq!((report.state, report.deleted), ("done", counts));
        assert_eq!(report.records, 2000 - counts.records_left_out);
        let again = read(&servers.place, target, 2);
        assert_replayed(&expected, &again, "deleted", TOPIC);
    }
}
