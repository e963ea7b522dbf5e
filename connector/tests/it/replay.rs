//! Replays on the embedded servers.

use skein_config::Settings;
use skein_connector::janitor::{self, JanitorOptions, Mode, Scope};
use skein_connector::replay::{
    self, OnDeleted, OnSameTopic, ReplayControls, ReplayPlan, ReplayReport, ReplayRequest,
    ReplaySetup,
};
use skein_local::embedded_bucket::Conditions;
use skein_shared::bucket::Bucket;
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::format::replay_job::{OnGone, Only, ReplayInto};
use skein_shared::ids::{
    Chain, Incarnation, OrgId, PartitionId, ShardId, SourceName, TopicName, WriteId,
};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::shard_map_log;
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::{TimeSpan, TimestampMs};

use tokio_util::sync::CancellationToken;

use crate::embedded::start;
use crate::fixture::{
    Kept, TOPIC, assert_same, connect, frames_that_count, open_bucket, produce, records, settings,
};
use crate::topic_records::{Found, assert_replayed, read};

pub(crate) const AGAIN: &str = "again";

pub(crate) fn setup(settings: &Settings, bucket: &Bucket) -> ReplaySetup {
    ReplaySetup {
        bucket: bucket.clone(),
        kafka: settings.kafka.clone(),
        payload_limit: settings.limits.payload_bytes,
        prices: settings.prices.clone(),
    }
}

pub(crate) fn request(source: &str, into: ReplayInto) -> ReplayRequest {
    ReplayRequest {
        source: SourceName::new(source).unwrap(),
        topic: TopicName::new(TOPIC).unwrap(),
        incarnation: None,
        partition: None,
        offsets: None,
        only: Only::default(),
        into,
        on_gone: OnGone::Refuse,
        on_same_topic: OnSameTopic::Refuse,
        on_deleted: OnDeleted::LeaveOut,
    }
}

pub(crate) fn into_again() -> ReplayInto {
    ReplayInto::Topic(TopicName::new(AGAIN).unwrap())
}

pub(crate) fn span(from: i64, to: i64) -> Span {
    Span::new(Offset(from), Offset(to))
}

/// Plans, begins and runs.
pub(crate) async fn replayed(
    setup: &ReplaySetup,
    request: &ReplayRequest,
) -> (ReplayPlan, ReplayReport) {
    let plan = replay::plan(setup, request).await.unwrap();
    let job = replay::begin(&setup.bucket, &plan).await.unwrap();
    let report = replay::run(setup, job, ReplayControls::silent())
        .await
        .unwrap();
    (plan, report)
}

/// Says that Kafka no longer had the first `lost` offsets of each partition.
pub(crate) async fn lose(bucket: &Bucket, source: &str, partitions: u32, lost: i64) {
    let ledger = Ledger::new(bucket.clone());
    for partition in 0..partitions {
        let chain = Chain {
            source: SourceName::new(source).unwrap(),
            topic: TopicName::new(TOPIC).unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        };
        let genesis = Genesis {
            chain: chain.clone(),
            start: Offset(0),
            policy: StartPolicy::Earliest,
        };
        ledger.create_genesis(&genesis).await.unwrap();
        let entry = LedgerEntry {
            chain,
            span: span(0, lost),
            kind: EntryKind::LostSpan {
                reason: "retention".into(),
            },
            frames: 0,
            times: None,
            last: None,
        };
        ledger.append(&entry, WriteId::random()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_replayed_from_state_is_the_same_record_by_record() {
    let servers = start(8, Conditions::Honoured);
    servers.broker.create_topic(AGAIN, 8).unwrap();
    produce(&servers.place, 8, &records(30_000, 300));
    let bucket = open_bucket(&servers.place).await;
    let mut settings = settings(&servers.place, "roundtrip");
    // Many blocks, so that the order of a partition has to be found again.
    settings.connector.block_bytes = ByteCount(64 * 1024);
    connect(&settings, &bucket).await;
    let setup = setup(&settings, &bucket);
    let (plan, report) = replayed(&setup, &request("roundtrip", into_again())).await;
    assert_eq!((report.state, report.records), ("done", 30_000));
    assert_eq!((plan.records_at_most, plan.gone.len()), (30_000, 0));
    assert!(plan.record_bytes_at_most >= report.record_bytes);
    assert!(
        report.state_bytes_read <= plan.state_bytes_read * 11 / 10,
        "{plan:?} {report:?}"
    );
    let original = read(&servers.place, TOPIC, 8);
    let again = read(&servers.place, AGAIN, 8);
    assert_replayed(&original, &again, "roundtrip", TOPIC);

    // Carried on once more it is done already.
    let job = plan.job.job;
    let once_more = replay::run(&setup, job, ReplayControls::silent())
        .await
        .unwrap();
    assert_eq!((once_more.state, once_more.records), ("done", 30_000));
    assert_eq!(read(&servers.place, AGAIN, 8), again);
    let status = replay::status(&bucket, Some(job)).await.unwrap();
    assert_eq!((status[0].state, status[0].offsets_done), ("done", 30_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_takes_only_the_offsets_times_orgs_and_shards_that_are_asked_for() {
    let servers = start(2, Conditions::Honoured);
    let produced = records(3000, 100);
    produce(&servers.place, 2, &produced);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "parts");
    connect(&settings, &bucket).await;
    let setup = setup(&settings, &bucket);
    let all = read(&servers.place, TOPIC, 2);
    for (name, request, expected) in parts(&produced) {
        let target = format!("again-{name}");
        servers.broker.create_topic(&target, 2).unwrap();
        let into = ReplayInto::Topic(TopicName::new(target.as_str()).unwrap());
        let (plan, report) = replayed(&setup, &ReplayRequest { into, ..request }).await;
        assert_eq!(report.records, expected, "{name}");
        assert!(plan.records_at_most >= expected, "{name}: {plan:?}");
        let found = read(&servers.place, &target, 2);
        assert_eq!(
            found.iter().map(Vec::len).sum::<usize>() as u64,
            expected,
            "{name}"
        );
        assert_stood(&all, &found);
    }
}

/// Ways to ask for a part of `produced`, and how many records that is.
fn parts(produced: &[Kept]) -> Vec<(&'static str, ReplayRequest, u64)> {
    let times = TimeSpan {
        from: TimestampMs(produced[1000].timestamp),
        to: TimestampMs(produced[1100].timestamp),
    };
    let org = OrgId(42);
    let shard = ShardId::Shared {
        modulus: 64,
        remainder: 42,
    };
    let of = |only: Only| ReplayRequest {
        only,
        ..request("parts", into_again())
    };
    vec![
        (
            "offsets",
            ReplayRequest {
                partition: Some(PartitionId(1)),
                offsets: Some(span(100, 150)),
                ..request("parts", into_again())
            },
            50,
        ),
        (
            "times",
            of(Only {
                times: Some(times),
                ..Only::default()
            }),
            100,
        ),
        (
            "org",
            of(Only {
                org: Some(org),
                ..Only::default()
            }),
            org_records(produced, |found| found == 42),
        ),
        (
            "shard",
            of(Only {
                shard: Some(shard),
                ..Only::default()
            }),
            org_records(produced, |found| found % 64 == 42),
        ),
    ]
}

/// That each record is the one at the place where it is said to have stood.
#[track_caller]
fn assert_stood(all: &[Vec<Found>], found: &[Vec<Found>]) {
    for (all, found) in all.iter().zip(found) {
        for record in found {
            let stood = record.position.as_ref().unwrap();
            let stood = stood.rsplit('/').next().unwrap();
            let original = &all[stood.parse::<usize>().unwrap()];
            assert_eq!(original.record, record.record);
        }
    }
}

/// How many of the records that can be routed have an org like this.
fn org_records(records: &[Kept], is_wanted: fn(u64) -> bool) -> u64 {
    let org = |record: &Kept| {
        let header = record.headers.iter().rfind(|(name, _)| name == "skein-org");
        let header = header.and_then(|(_, value)| value.as_deref());
        skein_shared::payload::org_of(record.value.as_deref(), header).ok()
    };
    let wanted = records
        .iter()
        .filter(|record| org(record).is_some_and(|org| is_wanted(org.0)));
    wanted.count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_spans_are_filled_once_with_what_kafka_has_again() {
    let servers = start(4, Conditions::Honoured);
    let produced = records(4000, 300);
    produce(&servers.place, 4, &produced);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "holes");
    lose(&bucket, "holes", 4, 250).await;
    let kept = connect(&settings, &bucket).await;
    assert_eq!(kept.records, 3000, "what is lost is not read");
    let setup = setup(&settings, &bucket);

    // Into a topic the holes are gone, and named to the offset.
    servers.broker.create_topic(AGAIN, 4).unwrap();
    let plan = replay::plan(&setup, &request("holes", into_again()))
        .await
        .unwrap();
    let gone: Vec<Span> = plan.gone.iter().map(|gone| gone.span).collect();
    assert_eq!(gone, [span(0, 250); 4]);
    let refused = replay::begin(&bucket, &plan).await.unwrap_err().to_string();
    assert!(
        refused.contains("holes/points/0/3 [0, 250): lost: retention"),
        "{refused}"
    );

    // Two replays of the same holes at once add nothing twice.
    let into_state = request("holes", ReplayInto::State);
    let both = tokio::join!(replayed(&setup, &into_state), replayed(&setup, &into_state));
    assert_eq!((both.0.1.state, both.1.1.state), ("done", "done"));
    assert_eq!(both.0.1.records + both.1.1.records, 1000);
    assert_same(produced.clone(), &frames_that_count(&bucket).await);

    // What the slower replay wrote is taken away, what counts is not.
    let options = JanitorOptions {
        patience: Millis(0),
        mode: Mode::Act,
        scope: Scope::Everything,
        start_after: None,
    };
    let never = CancellationToken::new();
    janitor::run(&bucket, &options, &never).await.unwrap();
    assert_same(produced.clone(), &frames_that_count(&bucket).await);

    // And there is nothing left to do.
    let (plan, report) = replayed(&setup, &into_state).await;
    assert_eq!((plan.records_at_most, report.records), (0, 0));
    assert_same(produced, &frames_that_count(&bucket).await);

    // Now the whole topic comes out of state.
    let (_, report) = replayed(&setup, &request("holes", into_again())).await;
    assert_eq!(report.records, 4000);
    let (original, again) = (
        read(&servers.place, TOPIC, 4),
        read(&servers.place, AGAIN, 4),
    );
    assert_replayed(&original, &again, "holes", TOPIC);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_that_kafka_has_only_a_part_of_is_refused_by_that_part_or_filled_without_it() {
    let servers = start(1, Conditions::Honoured);
    let produced = records(100, 100);
    produce(&servers.place, 1, &produced);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "partly");
    let routing = settings.shards.routing();
    shard_map_log::load_or_publish(&bucket, &routing, TimestampMs(0))
        .await
        .unwrap();
    // Beyond what the topic ever had.
    lose(&bucket, "partly", 1, 130).await;
    let setup = setup(&settings, &bucket);
    let into_state = request("partly", ReplayInto::State);
    let plan = replay::plan(&setup, &into_state).await.unwrap();
    assert_eq!(plan.gone.len(), 1, "{plan:?}");
    assert_eq!(plan.gone[0].span, span(100, 130));
    assert!(replay::begin(&bucket, &plan).await.is_err());
    let skipping = ReplayRequest {
        on_gone: OnGone::Skip,
        ..into_state
    };
    let (_, report) = replayed(&setup, &skipping).await;
    assert_eq!((report.state, report.records), ("done", 100));
    assert_eq!(report.gone.len(), 1);
    assert_same(produced, &frames_that_count(&bucket).await);
    // Given up is given up: it is not asked for again.
    let plan = replay::plan(&setup, &skipping).await.unwrap();
    assert_eq!(plan.records_at_most, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_refused_before_anything_is_written() {
    let servers = start(2, Conditions::Honoured);
    servers.broker.create_topic("narrow", 1).unwrap();
    produce(&servers.place, 2, &records(20, 50));
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "refused");
    connect(&settings, &bucket).await;
    let setup = setup(&settings, &bucket);
    let into = |topic: &str| ReplayInto::Topic(TopicName::new(topic).unwrap());
    let check = async |request: ReplayRequest, words: &[&str]| {
        let error = replay::plan(&setup, &request)
            .await
            .unwrap_err()
            .to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    check(request("refused", into(TOPIC)), &["--target", "--force"]).await;
    check(
        request("refused", into("narrow")),
        &["1 partitions, 2 are needed"],
    )
    .await;
    check(
        request("other", into("narrow")),
        &["nothing to replay", "other/points"],
    )
    .await;
    let only = Only {
        org: Some(OrgId(1)),
        ..Only::default()
    };
    let of_org = ReplayRequest {
        only,
        ..request("refused", ReplayInto::State)
    };
    check(of_org, &["--org", "lost span"]).await;
    let forced = ReplayRequest {
        on_same_topic: OnSameTopic::Allow,
        ..request("refused", into(TOPIC))
    };
    let plan = replay::plan(&setup, &forced).await.unwrap();
    assert_eq!(plan.records_at_most, 20);
    let beyond = ReplayRequest {
        offsets: Some(span(5, 15)),
        ..request("refused", ReplayInto::State)
    };
    let gone = replay::plan(&setup, &beyond).await.unwrap().gone;
    assert_eq!(gone.len(), 2);
    assert!(
        gone[0]
            .to_string()
            .ends_with("[10, 15): not in the ledger yet, which ends at 10")
    );
}
