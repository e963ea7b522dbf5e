//! The Kafka producer: a bounded queue, and every delivery proven.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use skein_config::kafka::KafkaSettings;
use skein_config::kafka::login::Login;
use skein_shared::ids::TopicName;
use skein_shared::payload::ORG_HEADER;

use crate::error::{Error, Result};
use crate::generator::OutgoingRecord;
use crate::metrics;
use crate::producer::ProduceOptions;
use crate::producer::partition::partition_of;
use crate::producer::report::{BadRows, Ending, ProduceProgress, ProduceReport};

/// What the client may hold before `send` waits.
const QUEUE_KIB: &str = "65536";
/// The largest message: a payload of 8 MiB with its key and headers.
const MESSAGE_BYTES: &str = "9437184";
/// How long a record is tried; a broker that is away for longer is an error.
const DELIVERY_MS: &str = "60000";
const DELIVERY_LIMIT: Duration = Duration::from_secs(70);
const POLL: Duration = Duration::from_millis(20);
const PROGRESS_RECORDS: u64 = 100_000;

pub(super) struct Sender<'a> {
    producer: BaseProducer<Deliveries>,
    options: ProduceOptions<'a>,
    partitions: u32,
    started: Instant,
    sent: ProduceProgress,
}

impl<'a> Sender<'a> {
    /// Connects, and finds or creates the topic.
    pub(super) fn open(options: ProduceOptions<'a>) -> Result<Self> {
        let started = Instant::now();
        let partitions = partition_count(&options)?;
        let mut config = options.kafka.producer_config()?;
        for (name, value) in [
            ("queue.buffering.max.kbytes", QUEUE_KIB),
            ("message.max.bytes", MESSAGE_BYTES),
            ("message.timeout.ms", DELIVERY_MS),
        ] {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        let producer = options
            .kafka
            .create(&config, Deliveries::new(options.kafka.login()))?;
        let mut sender = Self {
            producer,
            options,
            partitions,
            started,
            sent: ProduceProgress {
                records: 0,
                points: 0,
                value_bytes: 0,
            },
        };
        if let Some(backlog) = &mut sender.options.backlog {
            backlog.measure(sender.options.kafka, &sender.options.topic, partitions)?;
        }
        Ok(sender)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.options.cancel.is_cancelled()
    }

    /// Hands one record to the client; waits while its queue is full.
    pub(super) fn send(&mut self, record: &OutgoingRecord) -> Result<()> {
        self.make_room(record)?;
        let topic = self.options.topic.clone();
        let mut base = BaseRecord::to(topic.as_str())
            .key(&record.key[..])
            .payload(&record.value[..])
            .timestamp(record.timestamp.0);
        if let Some(org) = &record.org_header {
            let header = Header {
                key: ORG_HEADER,
                value: Some(org),
            };
            base = base.headers(OwnedHeaders::new_with_capacity(1).insert(header));
        }
        while let Err((error, unsent)) = self.producer.send(base) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.options.error("send", &error));
            }
            self.producer.poll(POLL);
            self.check_deliveries()?;
            base = unsent;
        }
        self.sent.records += 1;
        self.sent.points += record.points;
        self.sent.value_bytes += record.value.len() as u64;
        if self.sent.records.is_multiple_of(64) {
            self.producer.poll(Duration::ZERO);
        }
        if self.sent.records.is_multiple_of(PROGRESS_RECORDS) {
            self.check_deliveries()?;
            (self.options.progress)(self.sent);
        }
        Ok(())
    }

    /// Waits until every record is acknowledged.
    pub(super) fn finish(self) -> Result<ProduceReport> {
        self.deliver_all()?;
        (self.options.progress)(self.sent);
        Ok(ProduceReport {
            topic: self.options.topic,
            partitions: self.partitions,
            records: self.sent.records,
            points: self.sent.points,
            value_bytes: self.sent.value_bytes,
            elapsed: self.started.elapsed(),
            bad_rows: BadRows::default(),
            expected: None,
            sent_digest: None,
            ending: Ending::Complete,
        })
    }

    fn make_room(&mut self, record: &OutgoingRecord) -> Result<()> {
        let Some(backlog) = &mut self.options.backlog else {
            return Ok(());
        };
        let partition = partition_of(&record.key, self.partitions);
        let header_bytes = record
            .org_header
            .as_ref()
            .map_or(0, |org| ORG_HEADER.len() + org.len());
        let bytes = record.key.len() + record.value.len() + header_bytes;
        if backlog.admit(partition, bytes) {
            return Ok(());
        }
        // What was consumed since has made room; and what was sent must be there to be measured.
        self.deliver_all()?;
        let backlog = self.options.backlog.as_mut().expect("it was there above");
        backlog.measure(self.options.kafka, &self.options.topic, self.partitions)?;
        if backlog.admit(partition, bytes) {
            return Ok(());
        }
        Err(backlog.full(&self.options.topic, partition))
    }

    fn deliver_all(&self) -> Result<()> {
        let flushed = self.producer.flush(DELIVERY_LIMIT);
        self.check_deliveries()?;
        flushed.map_err(|error| self.options.error("flush", &error))?;
        let delivered = self.producer.context().delivered.load(Ordering::Acquire);
        assert_eq!(
            delivered, self.sent.records,
            "a flushed producer has reported every record"
        );
        Ok(())
    }

    fn check_deliveries(&self) -> Result<()> {
        let failure = self.producer.context().first_failure.lock();
        match failure
            .expect("nothing panics while it holds this lock")
            .clone()
        {
            None => Ok(()),
            Some(reason) => Err(Error::Kafka {
                operation: "deliver",
                topic: self.options.topic.to_string(),
                brokers: self.options.kafka.brokers.clone(),
                reason,
            }),
        }
    }
}

impl ProduceOptions<'_> {
    fn error(&self, operation: &'static str, error: &KafkaError) -> Error {
        Error::Kafka {
            operation,
            topic: self.topic.to_string(),
            brokers: self.kafka.brokers.clone(),
            reason: error.to_string(),
        }
    }
}

/// Counts what the broker has acknowledged.
#[derive(Debug)]
struct Deliveries {
    login: Login,
    delivered: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

impl Deliveries {
    fn new(login: Login) -> Self {
        Self {
            login,
            delivered: AtomicU64::new(0),
            first_failure: Mutex::new(None),
        }
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.login.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.login.error(error, reason);
    }

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> std::result::Result<OAuthToken, Box<dyn std::error::Error>> {
        self.login.generate_oauth_token(config)
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::AcqRel);
            }
            Err((error, message)) => {
                let mut first = self
                    .first_failure
                    .lock()
                    .expect("nothing panics while it holds this lock");
                if first.is_none() {
                    let reason = format!("{error}; partition {}", message.partition());
                    metrics::delivery_failed(&reason);
                    *first = Some(reason);
                }
            }
        }
    }
}

/// Partitions of the topic, which is created first if it may be.
fn partition_count(options: &ProduceOptions<'_>) -> Result<u32> {
    let view = options.kafka.look()?;
    match (view.topics.get(&options.topic), options.partitions) {
        (Some(there), Some(wanted)) if *there != wanted => Err(Error::Setting {
            key: "partitions",
            value: wanted.to_string(),
            allowed: format!("topic `{}` exists with {there}", options.topic),
        }),
        (Some(there), _) => Ok(*there),
        (None, Some(wanted)) => {
            create_topic(options.kafka, &options.topic, wanted)?;
            Ok(wanted)
        }
        (None, None) => Err(Error::Setting {
            key: "topic",
            value: options.topic.to_string(),
            allowed: format!(
                "one that is on {}; `--partitions N` creates it",
                options.kafka.brokers
            ),
        }),
    }
}

fn create_topic(kafka: &KafkaSettings, topic: &TopicName, partitions: u32) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(Error::Runtime)?;
    Ok(runtime.block_on(kafka.create_topic(topic, partitions))?)
}
