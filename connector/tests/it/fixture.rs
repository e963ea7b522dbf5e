//! Servers, settings, a producer of records, and a reader of frames that count.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::util::Timeout;
use skein_config::Settings;
use skein_config::load::{Layers, load};
use skein_connector::pipeline::{Controls, Setup, Until, run};
use skein_connector::report::ConnectReport;
use skein_shared::bucket::{Bucket, BucketSettings, Credentials, StoreSettings};
use skein_shared::fills::Fills;
use skein_shared::format::block::BlockDecoder;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::state_object::{Head, TailRead, read_tail};
use skein_shared::ids::FlushId;
use skein_shared::ledger::Ledger;

pub(crate) const TOPIC: &str = "points";

/// One record as it was produced or as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Where the servers are.
pub(crate) struct Place {
    pub(crate) brokers: String,
    pub(crate) endpoint: String,
    pub(crate) keys: (String, String),
    pub(crate) properties: &'static [(&'static str, &'static str)],
}

/// The embedded defaults with the addresses of `place` and a source of its own.
pub(crate) fn settings(place: &Place, source: &str) -> Settings {
    let layers = Layers {
        file: None,
        environment: Vec::new(),
        flags: Vec::new(),
    };
    let mut settings = load(&layers).unwrap();
    settings.kafka.brokers.clone_from(&place.brokers);
    source.clone_into(&mut settings.kafka.source);
    settings.kafka.topics = vec![TOPIC.to_owned()];
    for (name, value) in place.properties {
        let (name, value) = ((*name).to_owned(), (*value).to_owned());
        settings.kafka.properties.0.insert(name, value);
    }
    settings
}

pub(crate) async fn open_bucket(place: &Place) -> Bucket {
    let layers = Layers {
        file: None,
        environment: Vec::new(),
        flags: Vec::new(),
    };
    let mut section = load(&layers).unwrap().bucket;
    "s3://skein/it".clone_into(&mut section.url);
    let StoreSettings::S3(defaults) = section.settings().unwrap() else {
        panic!("an s3:// URL is a bucket of S3")
    };
    let settings = BucketSettings {
        endpoint: Some(place.endpoint.clone()),
        path_style: true,
        credentials: Credentials::Static {
            access_key: place.keys.0.clone(),
            secret_key: place.keys.1.clone(),
        },
        ..defaults
    };
    Bucket::open(&settings).await.unwrap()
}

/// Runs a connector until the ends it finds.
pub(crate) async fn connect(settings: &Settings, bucket: &Bucket) -> ConnectReport {
    let setup = Setup::of(settings, bucket.clone(), Until::EndAtAssignment);
    run(setup, Controls::silent()).await.unwrap()
}

/// Records of every shape: null and empty keys and values, headers, poison.
pub(crate) fn records(count: usize, value_bytes: usize) -> Vec<Kept> {
    (0..count).map(|n| record(n, value_bytes)).collect()
}

fn record(n: usize, value_bytes: usize) -> Kept {
    let mut rng = fastrand::Rng::with_seed(n as u64);
    let mut value = vec![8, u8::try_from(n % 100).unwrap()];
    let length = rng.usize(1..value_bytes);
    value.extend(std::iter::repeat_with(|| rng.u8(b'a'..b'h')).take(length));
    let mut headers = Vec::new();
    if n.is_multiple_of(7) {
        headers.push((
            "skein-org".to_owned(),
            Some((n % 300).to_string().into_bytes()),
        ));
        headers.push(("twice".to_owned(), None));
        headers.push(("twice".to_owned(), Some(Vec::new())));
    }
    Kept {
        timestamp: 1_700_000_000_000 + i64::try_from(n).unwrap() * 1000,
        key: (!n.is_multiple_of(3)).then(|| n.to_be_bytes().to_vec()),
        value: match n % 50 {
            48 => None,
            49 => Some(b"{poison".to_vec()),
            _ => Some(value),
        },
        headers,
    }
}

/// Sends every record, spread over the topic's partitions, and waits until the broker has them all.
pub(crate) fn produce(place: &Place, partitions: usize, records: &[Kept]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &place.brokers)
        .set("linger.ms", "5")
        .create()
        .unwrap();
    for (n, record) in records.iter().enumerate() {
        let mut headers = OwnedHeaders::new();
        for (name, value) in &record.headers {
            headers = headers.insert(Header {
                key: name,
                value: value.as_ref(),
            });
        }
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(TOPIC)
            .partition(i32::try_from(n % partitions).unwrap())
            .timestamp(record.timestamp)
            .headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        while let Err((error, back)) = producer.send(message) {
            assert!(error.to_string().contains("QueueFull"), "{error}");
            producer.poll(Duration::from_millis(10));
            message = back;
        }
    }
    producer
        .flush(Timeout::After(Duration::from_mins(1)))
        .unwrap();
}

/// Every frame that counts, by the rule of truth, sorted; asserts that every chain, and the fills of every hole,
/// are contiguous.
pub(crate) async fn frames_that_count(bucket: &Bucket) -> Vec<Kept> {
    let ledger = Ledger::new(bucket.clone());
    let mut by_flush: BTreeMap<FlushId, Vec<LedgerEntry>> = BTreeMap::new();
    let fills = Fills::new(bucket.clone());
    for hole in fills.holes().await.unwrap() {
        for fill in fills.entries(&hole).await.unwrap() {
            if let EntryKind::Flushed { flush, .. } = fill.entry.kind {
                by_flush.entry(flush).or_default().push(fill.entry);
            }
        }
    }
    for chain in ledger.chains().await.unwrap() {
        let start = ledger.genesis(&chain).await.unwrap().unwrap().start;
        for entry in ledger.entries(&chain, start).await.unwrap() {
            if let EntryKind::Flushed { flush, .. } = entry.kind {
                by_flush.entry(flush).or_default().push(entry);
            }
        }
    }
    let mut kept = Vec::new();
    for (flush, entries) in by_flush {
        let key = ObjectKey::Flush(flush).to_string();
        let (_, manifest) = FlushManifest::decode(&bucket.get(&key).await.unwrap()).unwrap();
        let FlushBody::Written(contents) = manifest.body else {
            panic!("void flushes are not in the ledger");
        };
        for object in contents.objects {
            let bytes = bucket.get(&object.key).await.unwrap();
            assert_eq!(bytes.len() as u64, object.object_bytes);
            read_object(&bytes, &entries, &mut kept);
        }
    }
    kept.sort();
    kept
}

fn read_object(bytes: &[u8], entries: &[LedgerEntry], kept: &mut Vec<Kept>) {
    let head = Head::decode(bytes).unwrap();
    let TailRead::Footer(footer) = read_tail(bytes, bytes.len() as u64).unwrap() else {
        panic!("the whole object was given");
    };
    let mut decoder = BlockDecoder::new();
    for place in footer.blocks {
        let at = usize::try_from(place.at).unwrap();
        let end = at + usize::try_from(place.bytes).unwrap();
        let block = decoder.decode(&head.marker, &bytes[at..end]).unwrap();
        for frame in block.frames() {
            let frame = frame.unwrap();
            let stream = &block.streams()[frame.stream];
            let names_it = |entry: &&LedgerEntry| {
                let tenure_is = matches!(
                    entry.kind,
                    EntryKind::Flushed { tenure, .. } if tenure == stream.tenure
                );
                tenure_is && entry.chain == stream.chain && entry.span.contains(frame.record.offset)
            };
            if !entries.iter().any(|entry| names_it(&entry)) {
                continue;
            }
            let headers = frame.record.headers.iter().map(|header| {
                let name = String::from_utf8(header.name.to_vec()).unwrap();
                (name, header.value.map(<[u8]>::to_vec))
            });
            kept.push(Kept {
                timestamp: frame.record.timestamp.time().unwrap().0,
                key: frame.record.key.map(<[u8]>::to_vec),
                value: frame.record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            });
        }
    }
}

#[track_caller]
pub(crate) fn assert_same(mut produced: Vec<Kept>, kept: &[Kept]) {
    produced.sort();
    assert_eq!(produced.len(), kept.len(), "counts differ");
    for (produced, kept) in produced.iter().zip(kept) {
        assert_eq!(produced, kept);
    }
}
