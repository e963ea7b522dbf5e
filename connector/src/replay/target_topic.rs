//! The topic that a replay out of state writes: transactions of one transactional id for each replay, so that a
//! process that was thought dead cannot add to what another carries on, and readers of committed records see
//! each record once.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use skein_config::kafka::login::Login;
use skein_config::kafka::{FetchShare, KafkaSettings};
use skein_shared::ErrorKind;
use skein_shared::format::frame::RecordTimestamp;
use skein_shared::ids::{Chain, JobId, PartitionId, TopicName};
use skein_shared::offset::Offset;
use skein_shared::units::ByteCount;

use crate::error::{Error, Result};
use crate::replay::deliveries::{
    Delivered, Deliveries, MESSAGE_BYTES, Undelivered, is_too_large, original_bytes, too_large,
};
use crate::replay::ordered_records::StateRecord;

pub use crate::replay::deliveries::{POSITION_HEADER, REPLAY_HEADER};

/// A transaction that is open for longer is ended by the broker.
const TRANSACTION_MS: &str = "60000";
const DELIVERY_MS: &str = "50000";
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// The topic, and the replay that writes it.
pub struct TargetTopic {
    producer: BaseProducer<Deliveries>,
    kafka: KafkaSettings,
    topic: TopicName,
    job: String,
    in_transaction: bool,
}

/// What a replay has put into its target.
#[derive(Debug, Default)]
pub struct Found {
    /// Per chain, by its text, the offset after its last record.
    pub positions: BTreeMap<String, Offset>,
    /// How many records.
    pub records: u64,
    /// Bytes of their keys, values and headers, without the two that say where they stood.
    pub record_bytes: u64,
}

impl Found {
    fn take(&mut self, position: Option<(String, Offset)>, message: &impl Message) {
        if let Some((chain, offset)) = position {
            self.positions.insert(chain, offset.next());
            self.records += 1;
            self.record_bytes += original_bytes(message);
        }
    }
}

impl TargetTopic {
    /// Connects, and ends what an earlier process of this replay left open. Blocks.
    ///
    /// # Errors
    /// `Transient` when the brokers do not answer, `Invalid` when they refuse.
    pub fn open(kafka: &KafkaSettings, topic: &TopicName, job: JobId) -> Result<Self> {
        let mut config = kafka.producer_config()?;
        for (name, value) in [
            ("message.max.bytes", MESSAGE_BYTES),
            ("queue.buffering.max.kbytes", "65536"),
        ] {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        config.set("transactional.id", format!("skein-replay-{job}"));
        config.set("transaction.timeout.ms", TRANSACTION_MS);
        config.set("message.timeout.ms", DELIVERY_MS);
        let context = Deliveries::new(kafka.login());
        let producer: BaseProducer<Deliveries> = kafka.create(&config, context)?;
        // A login by token is asked for where the client is polled.
        producer.poll(POLL);
        producer
            .init_transactions(PATIENCE)
            .map_err(|error| failed(kafka, "begin transactions", &error))?;
        Ok(Self {
            producer,
            kafka: kafka.clone(),
            topic: topic.clone(),
            job: job.to_string(),
            in_transaction: false,
        })
    }

    /// Where each of `partitions` ends. Blocks.
    ///
    /// # Errors
    /// `Transient` when the brokers do not answer.
    pub fn ends(
        &self,
        partitions: impl Iterator<Item = PartitionId>,
    ) -> Result<BTreeMap<PartitionId, Offset>> {
        let mut ends = BTreeMap::new();
        let patience = self.kafka.metadata_timeout.duration();
        for partition in partitions {
            let number = partition.0.cast_signed();
            let client = self.producer.client();
            let (_, high) = client
                .fetch_watermarks(self.topic.as_str(), number, patience)
                .map_err(|error| failed(&self.kafka, "fetch watermarks", &error))?;
            ends.insert(partition, Offset(high));
        }
        Ok(ends)
    }

    /// Hands a record to the client, with its place in two headers. Blocks while the client's queue is full.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn send(&mut self, chain: &Chain, record: &StateRecord) -> Result<()> {
        if !self.in_transaction {
            self.producer
                .begin_transaction()
                .map_err(|error| failed(&self.kafka, "begin transaction", &error))?;
            self.in_transaction = true;
        }
        let position = format!("{chain}/{}", record.offset);
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + 2);
        for (name, value) in &record.headers {
            let value = value.as_deref();
            headers = headers.insert(Header { key: name, value });
        }
        for (key, value) in [(POSITION_HEADER, &position), (REPLAY_HEADER, &self.job)] {
            let value = Some(value.as_bytes());
            headers = headers.insert(Header { key, value });
        }
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(self.topic.as_str())
            .partition(chain.partition.0.cast_signed())
            .timestamp(timestamp_of(record.timestamp))
            .headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        while let Err((error, unsent)) = self.producer.send(message) {
            if is_too_large(&error) {
                return Err(self.refused(too_large(&position, record.bytes())));
            }
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(failed(&self.kafka, "send", &error));
            }
            self.producer.poll(POLL);
            self.check()?;
            message = unsent;
        }
        Ok(())
    }

    /// Makes everything that was sent visible at once; gives the ends that the target's partitions then have, as
    /// far as this replay has written them. Blocks.
    ///
    /// # Errors
    /// `Fenced` when another process carries on the same replay, `Transient` when the brokers do not answer. Nothing
    /// of the transaction is visible then, or all of it: who carries on looks.
    pub fn commit(&mut self) -> Result<BTreeMap<PartitionId, Offset>> {
        if self.in_transaction {
            self.producer
                .flush(PATIENCE)
                .map_err(|error| failed(&self.kafka, "flush", &error))?;
            self.check()?;
            self.producer
                .commit_transaction(PATIENCE)
                .map_err(|error| failed(&self.kafka, "commit transaction", &error))?;
            self.in_transaction = false;
        }
        Ok(self.delivered().ends.clone())
    }

    /// What this replay has put behind `ends`. Blocks.
    ///
    /// # Errors
    /// `Transient` when the brokers do not answer.
    pub fn found_behind(&self, ends: &BTreeMap<PartitionId, Offset>) -> Result<Found> {
        let mut config = self
            .kafka
            .consumer_config(FetchShare::of_one_broker(ByteCount::mib(8)))?;
        config.set("enable.partition.eof", "true");
        let consumer: BaseConsumer<Login> = self.kafka.create(&config, self.kafka.login())?;
        let now = self.ends(ends.keys().copied())?;
        let mut found = Found::default();
        for (partition, from) in ends {
            if now[partition] > *from {
                self.scan(&consumer, (*partition, *from), &mut found)?;
            }
        }
        Ok(found)
    }

    fn scan(
        &self,
        consumer: &BaseConsumer<Login>,
        (partition, from): (PartitionId, Offset),
        found: &mut Found,
    ) -> Result<()> {
        let read = |error: KafkaError| failed(&self.kafka, "read the target", &error);
        let mut list = TopicPartitionList::new();
        let number = partition.0.cast_signed();
        list.add_partition_offset(self.topic.as_str(), number, KafkaOffset::Offset(from.0))
            .map_err(read)?;
        consumer.assign(&list).map_err(read)?;
        let mut heard = Instant::now();
        loop {
            let error = match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    found.take(self.position_in(&message), &message);
                    continue;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => error,
                None => KafkaError::MessageConsumption(RDKafkaErrorCode::RequestTimedOut),
            };
            // The client tries again by itself.
            if heard.elapsed() > PATIENCE {
                return Err(read(error));
            }
        }
    }

    /// Chain and offset of a record that this replay has put there.
    fn position_in(&self, message: &impl Message) -> Option<(String, Offset)> {
        let headers = message.headers()?;
        let last = |name: &str| {
            headers
                .iter()
                .filter(|header| header.key == name)
                .last()?
                .value
        };
        if last(REPLAY_HEADER) != Some(self.job.as_bytes()) {
            return None;
        }
        let position = std::str::from_utf8(last(POSITION_HEADER)?).ok()?;
        let (chain, offset) = position.rsplit_once('/')?;
        Some((chain.to_owned(), Offset(offset.parse().ok()?)))
    }

    fn check(&self) -> Result<()> {
        match &self.delivered().first_failure {
            None => Ok(()),
            Some(undelivered) => Err(self.refused(undelivered.clone())),
        }
    }

    fn refused(&self, Undelivered { reason, kind }: Undelivered) -> Error {
        Error::Kafka {
            operation: "deliver",
            brokers: self.kafka.brokers.clone(),
            reason,
            kind,
        }
    }

    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.producer.context().delivered()
    }
}

impl std::fmt::Debug for TargetTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TargetTopic")
            .field("topic", &self.topic)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

/// What the client is told: it takes 0 for "now", so that the first instant of 1970 cannot be kept.
fn timestamp_of(timestamp: RecordTimestamp) -> i64 {
    timestamp.time().map_or(-1, |time| time.0)
}

fn failed(kafka: &KafkaSettings, operation: &'static str, error: &KafkaError) -> Error {
    let code = error.rdkafka_error_code();
    let is_fenced = matches!(
        code,
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
        )
    );
    let kind = if is_fenced {
        ErrorKind::Fenced
    } else {
        ErrorKind::Transient
    };
    let reason = if is_fenced {
        format!("another process carries on the same replay: {error}")
    } else {
        error.to_string()
    };
    Error::Kafka {
        operation,
        brokers: kafka.brokers.clone(),
        reason,
        kind,
    }
}
