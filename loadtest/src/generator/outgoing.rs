//! A record on its way to Kafka.

use skein_shared::ids::SeriesKey;
use skein_shared::payload::Payload;
use skein_shared::window::TimestampMs;

/// One Kafka record to send. Reused from record to record.
#[derive(Debug, Clone, Default)]
pub struct OutgoingRecord {
    /// Org and metric, big-endian: one series stays in one partition.
    pub key: [u8; 16],
    /// Value of the header `skein-org`; a part of the series goes without.
    pub org_header: Option<String>,
    /// The payload.
    pub value: Vec<u8>,
    /// Explicit, so that what wins among duplicates does not depend on the clock.
    pub timestamp: TimestampMs,
    /// How many points the payload has.
    pub points: u64,
}

impl OutgoingRecord {
    /// Makes it an empty record of no series.
    pub fn clear(&mut self) {
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        *self = Self {
            value,
            ..Self::default()
        };
    }

    /// Sets key and value to those of `payload`.
    pub fn set_payload(&mut self, payload: &Payload) {
        self.clear();
        self.key = key_of(SeriesKey {
            org: payload.org,
            metric: payload.metric,
        });
        self.points = payload.values.len() as u64;
        payload.encode(&mut self.value);
    }
}

/// The key of a series' records.
pub fn key_of(series: SeriesKey) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&series.org.0.to_be_bytes());
    key[8..].copy_from_slice(&series.metric.0.to_be_bytes());
    key
}
