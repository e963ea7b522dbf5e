use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use skein_config::kafka::KafkaSettings;
use skein_config::load::{Layers, load};
use skein_loadtest::Error;
use skein_loadtest::generator::{Generator, GeneratorSettings, OutgoingRecord};
use skein_loadtest::producer::partition::partition_of;
use skein_loadtest::producer::{
    Backlog, Ending, LedgerEnds, ProduceOptions, produce_csv, produce_generated,
};
use skein_local::embedded_broker::EmbeddedBroker;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use skein_shared::bucket::{Bucket, BucketSettings, Credentials, Encryption};
use skein_shared::format::digest::ContentDigest;
use skein_shared::ids::{MetricId, OrgId, SeriesKey, TopicName};
use skein_shared::ledger::Ledger;
use skein_shared::payload::{Limits, ORG_HEADER, PayloadView};
use skein_shared::retry::RetryPolicy;
use skein_shared::series::{SERIES_METADATA_KEY, Series};
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::TimestampMs;
use tokio_util::sync::CancellationToken;

const PARTITIONS: u32 = 8;

/// A record as it lies in Kafka: timestamp, key, org header, value.
type Stored = (i64, Vec<u8>, Option<Vec<u8>>, Vec<u8>);

struct Broker {
    _running: EmbeddedBroker,
    kafka: KafkaSettings,
}

impl Broker {
    fn start() -> Self {
        let running = EmbeddedBroker::start().unwrap();
        running.create_topic("points", PARTITIONS).unwrap();
        let mut kafka = load(&Layers::default()).unwrap().kafka;
        running.bootstrap().clone_into(&mut kafka.brokers);
        Self {
            _running: running,
            kafka,
        }
    }

    fn options(&self, topic: &str) -> ProduceOptions<'_> {
        ProduceOptions {
            kafka: &self.kafka,
            topic: TopicName::new(topic).unwrap(),
            partitions: None,
            backlog: None,
            cancel: CancellationToken::new(),
            progress: |_| {},
        }
    }

    /// Everything in the topic, by partition, in order of offsets.
    fn read_all(&self) -> BTreeMap<u32, Vec<Stored>> {
        let consumer: BaseConsumer = self
            .kafka
            .client_config()
            .unwrap()
            .set("group.id", "test")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        let mut expected = 0;
        for partition in 0..PARTITIONS.cast_signed() {
            let (low, high) = consumer
                .fetch_watermarks("points", partition, Duration::from_secs(10))
                .unwrap();
            assert_eq!(low, 0, "nothing was dropped");
            expected += high;
            list.add_partition_offset("points", partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut all: BTreeMap<u32, Vec<Stored>> = BTreeMap::new();
        let until = Instant::now() + Duration::from_secs(30);
        while expected > 0 {
            assert!(Instant::now() < until, "{expected} records did not come");
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let message = message.unwrap();
            let header = message.headers().map(|headers| {
                let header = headers.get(0);
                assert_eq!(header.key, ORG_HEADER);
                header.value.unwrap().to_vec()
            });
            let partition = message.partition().cast_unsigned();
            all.entry(partition).or_default().push((
                message.timestamp().to_millis().unwrap(),
                message.key().unwrap().to_vec(),
                header,
                message.payload().unwrap().to_vec(),
            ));
            expected -= 1;
        }
        all
    }
}

fn small() -> Generator {
    Generator::new(GeneratorSettings {
        orgs: 3,
        series: 30,
        points: 30 * 300,
        poison: 4,
        ..GeneratorSettings::default()
    })
    .unwrap()
}

#[test]
fn every_generated_record_arrives_in_order_in_the_partition_of_its_key() {
    let broker = Broker::start();
    let generator = small();
    let report = produce_generated(broker.options("points"), &generator).unwrap();

    let mut expected: BTreeMap<u32, Vec<Stored>> = BTreeMap::new();
    let mut record = OutgoingRecord::default();
    let mut records = generator.records();
    while records.next_into(&mut record) {
        let header = record
            .org_header
            .as_ref()
            .map(|org| org.as_bytes().to_vec());
        let partition = partition_of(&record.key, PARTITIONS);
        let stored = (
            record.timestamp.0,
            record.key.to_vec(),
            header,
            record.value.clone(),
        );
        expected.entry(partition).or_default().push(stored);
    }
    assert_eq!(
        report.records,
        expected.values().map(|all| all.len() as u64).sum::<u64>()
    );
    assert_eq!(report.expected, Some(generator.expectation()));
    assert!(report.points > 30 * 300, "duplicates are sent");
    assert!(
        broker.read_all() == expected,
        "what lies in Kafka is not what was generated"
    );
}

#[test]
fn rows_become_payloads_and_bad_rows_are_reported_with_their_lines() {
    let broker = Broker::start();
    let csv = "org,metric,timestamp,value,job\n\
               7,up,2026-01-01T00:00:00Z,1,a\n\
               7,42,1767225600000,nan:0x7ff0000000000001,\n\
               7,up,1767225615000,-0.0,a\n\
               x,up,1767225600000,1,a\n\
               7,up,1767225600000,2,b\n\
               7,up,0,1,a\n";
    let now = TimestampMs(1_767_225_700_000);
    let options = broker.options("points");
    let report = produce_csv(options, csv.as_bytes(), Limits::default(), now).unwrap();
    assert_eq!((report.records, report.points), (3, 4));
    let lines: Vec<u64> = report.bad_rows.first.iter().map(|row| row.line).collect();
    assert_eq!((report.bad_rows.count, lines), (2, vec![5, 7]));
    assert!(report.bad_rows.first[1].reason.contains("too far before"));

    let up: Series = "up{job=\"a\"}".parse().unwrap();
    let mut digest = ContentDigest::EMPTY;
    let mut found = 0;
    for (timestamp, key, _, value) in broker.read_all().into_values().flatten() {
        let view = PayloadView::parse(&value, &Limits::default(), Some(now)).unwrap();
        let series = SeriesKey {
            org: view.org(),
            metric: view.series().metric,
        };
        assert_eq!(timestamp, now.0);
        assert_eq!(
            key,
            [7_u64.to_be_bytes(), series.metric.0.to_be_bytes()].concat()
        );
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        view.points().decode_into(&mut timestamps, &mut values);
        digest.add_points(series, &timestamps, &values);
        let metadata: Vec<_> = view.points().metadata().collect();
        if series.metric == up.id() {
            assert_eq!(metadata, [(SERIES_METADATA_KEY, up.to_string().as_str())]);
            assert_eq!(timestamps, [1_767_225_600_000, 1_767_225_615_000]);
            found += 1;
        }
        if series.metric == MetricId(42) {
            assert_eq!(metadata, []);
            assert_eq!(values[0].to_bits(), 0x7ff0_0000_0000_0001);
            found += 1;
        }
        assert_eq!(view.org(), OrgId(7));
    }
    assert_eq!(found, 2);
    assert_eq!(report.sent_digest, Some(digest));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let mut broker = Broker::start();
    let generator = small();
    let error = produce_generated(broker.options("gone"), &generator).unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(error.to_string().contains("--partitions N"), "{error}");

    let mut options = broker.options("points");
    options.partitions = Some(3);
    let error = produce_generated(options, &generator).unwrap_err();
    assert!(error.to_string().contains("exists with 8"), "{error}");

    let empty: &[u8] = b"";
    let now = TimestampMs(0);
    let error = produce_csv(broker.options("points"), empty, Limits::default(), now);
    assert!(matches!(error, Err(Error::Csv(_))));

    broker.kafka.brokers = "127.0.0.1:1".to_owned();
    broker.kafka.metadata_timeout = Millis(500);
    let error = produce_generated(broker.options("points"), &generator).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn a_partition_that_would_be_trimmed_stops_the_producer() {
    let broker = Broker::start();
    let server = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
    server.create_bucket("skein").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bucket = runtime.block_on(Bucket::open(&BucketSettings {
        bucket: "skein".to_owned(),
        prefix: String::new(),
        endpoint: Some(server.endpoint()),
        region: "us-east-1".to_owned(),
        path_style: true,
        credentials: Credentials::Static {
            access_key: server.access_key().to_owned(),
            secret_key: server.secret_key().to_owned(),
        },
        encryption: Encryption::BucketDefault,
        authorities: None,
        retry: RetryPolicy::default(),
    }));
    let ends = LedgerEnds {
        ledger: Ledger::new(bucket.unwrap()),
        source: broker.kafka.source_name(),
        runtime: runtime.handle().clone(),
    };
    let produce = || {
        let mut options = broker.options("points");
        options.backlog = Some(Backlog::new(ByteCount(16 * 1024), ends.clone()));
        produce_generated(options, &small()).unwrap_err()
    };
    let error = produce();
    assert!(matches!(error, Error::BacklogFull { .. }), "{error}");
    assert!(
        error.to_string().contains("skein connect --until-end"),
        "{error}"
    );
    let sent = broker.read_all();
    let bytes = |all: &Vec<Stored>| all.iter().map(|stored| stored.3.len()).sum::<usize>();
    assert!(sent.values().all(|all| bytes(all) < 16 * 1024));
    assert!(
        sent.values().any(|all| bytes(all) > 8 * 1024),
        "it was used before it was full"
    );

    // Another process counts what lies there already.
    let error = produce();
    assert!(matches!(error, Error::BacklogFull { .. }), "{error}");
    let again: usize = broker.read_all().values().map(Vec::len).sum();
    let before: usize = sent.values().map(Vec::len).sum();
    assert!(again < before * 2, "{again} records after {before}");
}

#[test]
fn a_producer_that_was_stopped_never_says_that_all_was_sent() {
    let broker = Broker::start();
    let stopped = || {
        let options = broker.options("points");
        options.cancel.cancel();
        options
    };
    let generator = Generator::new(GeneratorSettings::default()).unwrap();
    let report = produce_generated(stopped(), &generator).unwrap();
    assert_eq!((report.ending, report.expected), (Ending::Cancelled, None));
    let csv = "org,metric,timestamp,value\n7,cpu,1700000000000,1\n";
    let now = TimestampMs(1_700_000_000_000);
    let limits = Limits::default();
    let report = produce_csv(stopped(), csv.as_bytes(), limits, now).unwrap();
    assert_eq!((report.ending, report.records), (Ending::Cancelled, 0));
    let report = produce_csv(broker.options("points"), csv.as_bytes(), limits, now).unwrap();
    assert_eq!((report.ending, report.records), (Ending::Complete, 1));
}
