//! One spilled payload: a head of fixed length, then the payload's bytes.
//!
//! Little endian: CRC32C of all that follows, length of the payload, window, org, metric, first timestamp,
//! the order: seals, whether the record has a timestamp, that, chain, offset. It is read by the process that wrote it and by no other.

use skein_shared::format::checksum;
use skein_shared::format::order_column::{ChainIndex, Order};
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::offset::Offset;
use skein_shared::window::{TimestampMs, Window};

use crate::payload_arena::{PayloadKey, PayloadRef};

/// Length of a head.
pub(super) const HEAD_BYTES: usize = 4 + 4 + 8 + 8 + 8 + 8 + ORDER_BYTES;

/// Length of an order.
pub(super) const ORDER_BYTES: usize = 4 + 1 + 8 + 4 + 8;

/// A head that was read, with the checksum that its payload must complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) key: PayloadKey,
    pub(super) payload_bytes: usize,
    crc32c: u32,
    own_crc32c: u32,
}

/// The head of the payload behind `reference`.
pub(super) fn encode(reference: &PayloadRef, payload: &[u8]) -> [u8; HEAD_BYTES] {
    let key = reference.key;
    let length = u32::try_from(payload.len()).expect("the limits bound a payload");
    let mut head = [0; HEAD_BYTES];
    let mut at = 4;
    let mut put = |bytes: &[u8]| {
        head[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&length.to_le_bytes());
    put(&key.window.number().to_le_bytes());
    put(&key.series.org.0.to_le_bytes());
    put(&key.series.metric.0.to_le_bytes());
    put(&key.first_ms.to_le_bytes());
    put_order(&key.order, put);
    let crc32c = checksum::crc32c_of_parts(&[&head[4..], payload]);
    head[..4].copy_from_slice(&crc32c.to_le_bytes());
    head
}

/// Gives `put` the bytes of an order.
pub(super) fn put_order(order: &Order, mut put: impl FnMut(&[u8])) {
    let timestamp = order.record_timestamp;
    put(&order.seals.to_le_bytes());
    put(&[u8::from(timestamp.is_some())]);
    put(&timestamp.unwrap_or_default().0.to_le_bytes());
    put(&order.chain.0.to_le_bytes());
    put(&order.offset.0.to_le_bytes());
}

/// Reads [`put_order`] back.
pub(super) fn take_order(rest: &mut &[u8]) -> Order {
    let seals = u32::from_le_bytes(take(rest));
    let [has_timestamp] = take::<1>(rest);
    let timestamp = TimestampMs(i64::from_le_bytes(take(rest)));
    Order {
        seals,
        record_timestamp: (has_timestamp != 0).then_some(timestamp),
        chain: ChainIndex(u32::from_le_bytes(take(rest))),
        offset: Offset(i64::from_le_bytes(take(rest))),
    }
}

impl Head {
    /// Reads [`encode`] back; whether it is whole shows with the payload.
    pub(super) fn decode(bytes: &[u8; HEAD_BYTES]) -> Self {
        let mut rest = &bytes[..];
        let crc32c = u32::from_le_bytes(take(&mut rest));
        let payload_bytes = u32::from_le_bytes(take(&mut rest)) as usize;
        let window = Window::from_number(i64::from_le_bytes(take(&mut rest)));
        let series = SeriesKey {
            org: OrgId(u64::from_le_bytes(take(&mut rest))),
            metric: MetricId(u64::from_le_bytes(take(&mut rest))),
        };
        let first_ms = i64::from_le_bytes(take(&mut rest));
        let order = take_order(&mut rest);
        Self {
            key: PayloadKey {
                window,
                series,
                first_ms,
                order,
            },
            payload_bytes,
            crc32c,
            own_crc32c: checksum::crc32c(&bytes[4..]),
        }
    }

    /// Whether head and payload are what was written.
    pub(super) fn is_whole(&self, payload: &[u8]) -> bool {
        let length = payload.len() as u64;
        checksum::combine(self.own_crc32c, checksum::crc32c(payload), length) == self.crc32c
    }
}

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (first, behind) = rest
        .split_first_chunk()
        .expect("what is read has a fixed length");
    *rest = behind;
    *first
}
