//! A client that asks a cluster about itself. It is served on a thread of its own: only so does librdkafka get
//! tokens for its login, and only so does it say why a connection fails.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use crate::error::{Error, Result};
use crate::kafka::KafkaSettings;
use crate::kafka::login::{FaultKind, Login};

/// How often the thread looks whether the client is still wanted.
const SERVE: Duration = Duration::from_millis(500);

/// A question is asked in slices of this length, so that a refused login ends it early.
const SLICE: Duration = Duration::from_millis(500);

/// A client that is no member of any group. Clones are the same one.
#[derive(Clone)]
pub struct LookupClient {
    consumer: Arc<BaseConsumer<Login>>,
    brokers: String,
    patience: Duration,
}

impl KafkaSettings {
    /// Makes a client that asks the cluster about itself.
    ///
    /// # Errors
    /// [`Error::KafkaClient`], and what [`client_config`](Self::client_config) refuses.
    pub fn lookup_client(&self) -> Result<LookupClient> {
        let consumer: BaseConsumer<Login> = self.create(&self.client_config()?, self.login())?;
        let consumer = Arc::new(consumer);
        let served = Arc::downgrade(&consumer);
        let serve = move || {
            while let Some(consumer) = served.upgrade() {
                // What it gives are errors, which the context has noted.
                drop(consumer.poll(SERVE));
            }
        };
        let failed = |error: std::io::Error| Error::KafkaClient {
            brokers: self.brokers.clone(),
            reason: error.to_string(),
        };
        thread::Builder::new()
            .name("kafka-lookup".to_owned())
            .spawn(serve)
            .map_err(failed)?;
        Ok(LookupClient {
            consumer,
            brokers: self.brokers.clone(),
            patience: self.metadata_timeout.duration(),
        })
    }
}

impl LookupClient {
    /// All topics. Of all, because a request that names one would make some brokers create it. Blocks up to the
    /// settings' patience.
    ///
    /// # Errors
    /// [`Error::KafkaLogin`], [`Error::KafkaTls`], [`Error::KafkaUnreachable`].
    pub fn metadata(&self) -> Result<Metadata> {
        let end = Instant::now() + self.patience;
        loop {
            let slice = end.saturating_duration_since(Instant::now()).min(SLICE);
            let asked = Instant::now();
            let error = match self.consumer.fetch_metadata(None, slice) {
                Ok(metadata) => {
                    self.consumer.context().forget_fault();
                    return Ok(metadata);
                }
                Err(error) => error,
            };
            let answered_early = asked.elapsed() < slice;
            let refused = self
                .consumer
                .context()
                .fault()
                .is_some_and(|fault| fault.kind > FaultKind::Connection);
            if answered_early || refused || Instant::now() >= end {
                return Err(self.explain(&error));
            }
        }
    }

    /// The cluster's own id; `None` where the broker has none.
    pub fn cluster_id(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(self.patience)
    }

    /// The lowest offset that a partition has, and the one behind its highest.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        self.consumer
            .fetch_watermarks(topic, partition, self.patience)
            .inspect(|_| self.consumer.context().forget_fault())
            .map_err(|error| self.explain(&error))
    }

    /// For each partition the offset behind its newest record, if its broker tells: one question to each
    /// broker.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    ///
    /// # Panics
    /// Never: the end of a partition can always be asked for.
    pub fn ends(&self, partitions: &[(String, i32)]) -> Result<Vec<Option<i64>>> {
        if partitions.is_empty() {
            // librdkafka refuses a question about nothing.
            return Ok(Vec::new());
        }
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            asked
                .add_partition_offset(topic, *partition, Offset::End)
                .expect("the end is a valid place to ask for");
        }
        let answer = self
            .consumer
            .offsets_for_times(asked, self.patience)
            .inspect(|_| self.consumer.context().forget_fault())
            .map_err(|error| self.explain(&error))?;
        let end = |(topic, partition): &(String, i32)| {
            let told = answer.find_partition(topic, *partition)?;
            told.error().ok()?;
            match told.offset() {
                Offset::Offset(end) => Some(end),
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => None,
            }
        };
        Ok(partitions.iter().map(end).collect())
    }

    /// Says why a question has no answer: what the connections failed of, if they did.
    fn explain(&self, error: &KafkaError) -> Error {
        let brokers = self.brokers.clone();
        if !is_for_want_of_a_connection(error) {
            let reason = error.to_string();
            return Error::KafkaUnreachable { brokers, reason };
        }
        let Some(fault) = self.consumer.context().fault() else {
            // A connection that cannot be made is a fault; one that is made and dropped without a word is none.
            let reason = format!(
                "no answer within {:?}; a listener that wants TLS (kafka.tls.enabled) or a login \
                 (kafka.sasl.mechanism) gives none to a client without",
                self.patience
            );
            return Error::KafkaUnreachable { brokers, reason };
        };
        let reason = fault.reason;
        match fault.kind {
            FaultKind::Login => Error::KafkaLogin { brokers, reason },
            FaultKind::Tls => Error::KafkaTls { brokers, reason },
            FaultKind::Connection => Error::KafkaUnreachable { brokers, reason },
        }
    }
}

fn is_for_want_of_a_connection(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::TimedOutQueue
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
        )
    )
}

impl fmt::Debug for LookupClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupClient")
            .field("brokers", &self.brokers)
            .finish_non_exhaustive()
    }
}
