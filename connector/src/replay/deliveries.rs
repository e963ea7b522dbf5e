//! What became of the records that a replay gave to its producer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Headers, Message};
use rdkafka::producer::ProducerContext;
use skein_config::kafka::login::Login;
use skein_shared::ErrorKind;
use skein_shared::ids::PartitionId;
use skein_shared::offset::Offset;

/// Header that says where a replayed record stood: `<source>/<topic>/<incarnation>/<partition>/<offset>`.
pub const POSITION_HEADER: &str = "skein-position";

/// Header that says which replay put a record there.
pub const REPLAY_HEADER: &str = "skein-replay";

/// The largest message, unless `kafka.properties` say otherwise: a payload of 8 MiB with its key and headers.
pub(super) const MESSAGE_BYTES: &str = "9437184";

/// What the broker has acknowledged.
#[derive(Debug)]
pub(super) struct Deliveries {
    login: Login,
    delivered: Mutex<Delivered>,
}

#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) ends: BTreeMap<PartitionId, Offset>,
    pub(super) first_failure: Option<Undelivered>,
}

/// A record that the broker did not take.
#[derive(Debug, Clone)]
pub(super) struct Undelivered {
    pub(super) reason: String,
    pub(super) kind: ErrorKind,
}

impl Deliveries {
    pub(super) fn new(login: Login) -> Self {
        Self {
            login,
            delivered: Mutex::default(),
        }
    }

    pub(super) fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
        let mut delivered = self.delivered();
        match result {
            Ok(message) => {
                let partition = PartitionId(message.partition().cast_unsigned());
                let end = delivered.ends.entry(partition).or_default();
                *end = (*end).max(Offset(message.offset()).next());
            }
            Err((error, message)) => {
                let undelivered = if is_too_large(error) {
                    too_large(stood_at(message), original_bytes(message))
                } else {
                    Undelivered {
                        reason: format!("{error}; partition {}", message.partition()),
                        kind: ErrorKind::Transient,
                    }
                };
                delivered.first_failure.get_or_insert(undelivered);
            }
        }
    }
}

pub(super) fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// Sending it again would end the same way.
pub(super) fn too_large(position: &str, record_bytes: u64) -> Undelivered {
    let reason = format!(
        "the record {position} of {record_bytes} bytes is larger than a message may be: raise \
         kafka.properties.\"message.max.bytes\" ({MESSAGE_BYTES} where it is not set) and the topic's \
         max.message.bytes"
    );
    Undelivered {
        reason,
        kind: ErrorKind::Invalid,
    }
}

/// Where a record stood that this replay sends.
fn stood_at(message: &impl Message) -> &str {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let position = headers
        .filter(|header| header.key == POSITION_HEADER)
        .last();
    let text = position.and_then(|header| std::str::from_utf8(header.value?).ok());
    text.unwrap_or_default()
}

pub(super) fn original_bytes(message: &impl Message) -> u64 {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let ours = [POSITION_HEADER, REPLAY_HEADER];
    let headers = headers
        .filter(|header| !ours.contains(&header.key))
        .map(|header| header.key.len() + len(header.value));
    (len(message.key()) + len(message.payload()) + headers.sum::<usize>()) as u64
}
