//! One Kafka record inside a state object, byte for byte as it came.
//!
//! A frame is a varint length, the index of its stream in the block, offset and timestamp as deltas, and
//! a *body*: flags, key, headers, value. The body holds nothing relative, so that digests and CRCs are
//! taken over it as it lies there.

mod record_times;

use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::format::checksum;
use crate::format::varint;
use crate::ids::{Chain, Tenure};
use crate::offset::Offset;
use crate::window::TimestampMs;

pub use record_times::RecordTimes;

/// The unbroken run of records that a frame belongs to: what one tenure read of one chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// Where the records were read.
    pub chain: Chain,
    /// In which stretch of reading; unique within a worker, hence within a block.
    pub tenure: Tenure,
}

/// A record's timestamp and who set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RecordTimestamp {
    /// The record has none.
    #[default]
    Missing,
    /// Set by the producer.
    Created(TimestampMs),
    /// Set by the broker.
    Appended(TimestampMs),
}

/// A borrowed Kafka record: on its way into a block, or as it lies in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its offset, at least 0 and below `i64::MAX`.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: RecordTimestamp,
    /// Its key; `None` is Kafka's null, which is not the empty key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is Kafka's null, which is not the empty value.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order; a name may come more than once.
    pub headers: HeadersRef<'a>,
}

/// Headers in their encoded form: what a [`HeaderBuffer`] holds and a frame stores.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadersRef<'a>(&'a [u8]);

/// Builds [`HeadersRef`]s; keep one and clear it for each record, so that headers cost no allocation.
#[derive(Debug, Clone, Default)]
pub struct HeaderBuffer(Vec<u8>);

/// One header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value; `None` is Kafka's null.
    pub value: Option<&'a [u8]>,
}

/// What proves, to a worker that takes a partition over, that Kafka still holds the same records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LastRecord {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: RecordTimestamp,
    /// [`RecordRef::crc32c`].
    pub crc32c: u32,
}

const TIMESTAMP_KIND: u8 = 0b11;
const HAS_KEY: u8 = 1 << 2;
const HAS_VALUE: u8 = 1 << 3;
const HAS_HEADERS: u8 = 1 << 4;
const KNOWN_FLAGS: u8 = TIMESTAMP_KIND | HAS_KEY | HAS_VALUE | HAS_HEADERS;

impl RecordTimestamp {
    /// The time, if there is one.
    pub const fn time(self) -> Option<TimestampMs> {
        match self {
            Self::Missing => None,
            Self::Created(time) | Self::Appended(time) => Some(time),
        }
    }

    pub(crate) const fn kind_number(self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Created(_) => 1,
            Self::Appended(_) => 2,
        }
    }

    pub(crate) const fn from_kind(kind: u8, time: TimestampMs) -> Option<Self> {
        match kind {
            0 => Some(Self::Missing),
            1 => Some(Self::Created(time)),
            2 => Some(Self::Appended(time)),
            _ => None,
        }
    }
}

impl RecordRef<'_> {
    /// CRC32C over the timestamp (8 bytes, little-endian, 0 when missing) and the frame's body.
    pub fn crc32c(&self) -> u32 {
        let mut body = Vec::with_capacity(self.body_bytes());
        self.put_body(&mut body);
        body_crc32c(self.timestamp, &body)
    }

    /// How many bytes [`Self::put_body`] appends.
    #[inline]
    pub(crate) fn body_bytes(&self) -> usize {
        let part = |len: usize| varint::len_u64(len as u64) + len;
        let headers = self.headers.0.len();
        1 + self.key.map_or(0, |key| part(key.len()))
            + if headers == 0 { 0 } else { part(headers) }
            + self.value.map_or(0, <[u8]>::len)
    }

    #[inline]
    pub(crate) fn put_body(&self, out: &mut Vec<u8>) {
        let headers = self.headers.0;
        let flag = |present: bool, flag: u8| if present { flag } else { 0 };
        out.push(
            self.timestamp.kind_number()
                | flag(self.key.is_some(), HAS_KEY)
                | flag(self.value.is_some(), HAS_VALUE)
                | flag(!headers.is_empty(), HAS_HEADERS),
        );
        if let Some(key) = self.key {
            put_part(out, key);
        }
        if !headers.is_empty() {
            put_part(out, headers);
        }
        // The value comes last and needs no length of its own.
        if let Some(value) = self.value {
            out.extend_from_slice(value);
        }
    }
}

/// Reads a body back; the error says what is wrong with it.
pub(crate) fn parse_body(
    body: &[u8],
    offset: Offset,
    time: TimestampMs,
) -> std::result::Result<RecordRef<'_>, &'static str> {
    let (flags, mut rest) = body.split_first().ok_or("frame has no body")?;
    if flags & !KNOWN_FLAGS != 0 {
        return Err("frame has unknown flags");
    }
    let timestamp = RecordTimestamp::from_kind(flags & TIMESTAMP_KIND, time)
        .ok_or("frame has an unknown timestamp kind")?;
    let mut key = None;
    if flags & HAS_KEY != 0 {
        key = Some(take_part(&mut rest).ok_or("frame ends inside its key")?);
    }
    let mut headers = HeadersRef::default();
    if flags & HAS_HEADERS != 0 {
        headers = HeadersRef(take_part(&mut rest).ok_or("frame ends inside its headers")?);
        headers.check()?;
    }
    let has_value = flags & HAS_VALUE != 0;
    if !has_value && !rest.is_empty() {
        return Err("frame has bytes after its end");
    }
    Ok(RecordRef {
        offset,
        timestamp,
        key,
        value: has_value.then_some(rest),
        headers,
    })
}

/// xxh3-64 of the chain's text: what tells equal records of two chains apart in digests.
pub(crate) fn chain_seed(chain: &Chain) -> u64 {
    xxh3_64(chain.to_string().as_bytes())
}

/// One record's element of a frame digest: xxh3-128 of the body, seeded with xxh3-64 of the chain's seed,
/// the offset and the time, each as 8 little-endian bytes.
pub(crate) fn frame_hash(chain_seed: u64, record: &RecordRef<'_>, body: &[u8]) -> u128 {
    let mut place = [0; 24];
    place[..8].copy_from_slice(&chain_seed.to_le_bytes());
    place[8..16].copy_from_slice(&record.offset.0.to_le_bytes());
    place[16..].copy_from_slice(&time_bytes(record.timestamp));
    xxh3_128_with_seed(body, xxh3_64(&place))
}

pub(crate) fn body_crc32c(timestamp: RecordTimestamp, body: &[u8]) -> u32 {
    checksum::crc32c_of_parts(&[&time_bytes(timestamp), body])
}

fn time_bytes(timestamp: RecordTimestamp) -> [u8; 8] {
    timestamp.time().unwrap_or_default().0.to_le_bytes()
}

impl<'a> HeadersRef<'a> {
    /// No headers.
    pub const EMPTY: Self = Self(&[]);

    /// Every header, in order.
    pub fn iter(self) -> impl Iterator<Item = HeaderRef<'a>> {
        let mut rest = self.0;
        // Headers are checked when they are read from a frame and built well-formed otherwise.
        std::iter::from_fn(move || take_header(&mut rest))
    }

    /// The value of the last header with this name, as Kafka's own `lastHeader`.
    #[inline]
    pub fn last(self, name: &[u8]) -> Option<HeaderRef<'a>> {
        self.iter().filter(|header| header.name == name).last()
    }

    fn check(self) -> Result<(), &'static str> {
        let mut rest = self.0;
        if rest.is_empty() {
            return Err("frame has an empty list of headers");
        }
        while !rest.is_empty() {
            take_header(&mut rest).ok_or("frame ends inside a header")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HeadersRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl HeaderBuffer {
    /// Forgets all headers and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a header behind the others.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        put_part(&mut self.0, name);
        // A length plus one, so that 0 is null.
        varint::put_u64(&mut self.0, value.map_or(0, |value| value.len() as u64 + 1));
        self.0.extend_from_slice(value.unwrap_or_default());
    }

    /// The headers pushed since the last [`Self::clear`].
    pub fn headers(&self) -> HeadersRef<'_> {
        HeadersRef(&self.0)
    }
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Option<HeaderRef<'a>> {
    let name = take_part(rest)?;
    let value = match varint::take_u64(rest)? {
        0 => None,
        length => Some(varint::take_bytes(rest, length - 1)?),
    };
    Some(HeaderRef { name, value })
}

fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    varint::put_u64(out, part.len() as u64);
    out.extend_from_slice(part);
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = varint::take_u64(rest)?;
    varint::take_bytes(rest, length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

    fn buffer(headers: &[OwnedHeader]) -> HeaderBuffer {
        let mut buffer = HeaderBuffer::default();
        for (name, value) in headers {
            buffer.push(name, value.as_deref());
        }
        buffer
    }

    proptest! {
        #[test]
        fn every_record_reads_back_and_null_is_not_empty(
            key: Option<Vec<u8>>,
            value: Option<Vec<u8>>,
            headers: Vec<OwnedHeader>,
            time: i64,
            kind in 0_u8..3,
        ) {
            let headers = buffer(&headers);
            let record = RecordRef {
                offset: Offset(7),
                timestamp: RecordTimestamp::from_kind(kind, TimestampMs(time)).unwrap(),
                key: key.as_deref(),
                value: value.as_deref(),
                headers: headers.headers(),
            };
            let mut body = Vec::new();
            record.put_body(&mut body);
            prop_assert_eq!(body.len(), record.body_bytes());
            prop_assert_eq!(parse_body(&body, Offset(7), TimestampMs(time)), Ok(record));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(body: Vec<u8>) {
            if let Ok(record) = parse_body(&body, Offset(0), TimestampMs(0)) {
                prop_assert!(record.headers.iter().count() <= body.len());
            }
        }
    }

    #[test]
    fn a_header_is_found_by_its_last_value() {
        let buffer = buffer(&[
            (b"a".to_vec(), Some(b"1".to_vec())),
            (b"b".to_vec(), None),
            (b"a".to_vec(), Some(Vec::new())),
        ]);
        let headers = buffer.headers();
        assert_eq!(headers.last(b"a").unwrap().value, Some(&b""[..]));
        assert_eq!(headers.last(b"b").unwrap().value, None);
        assert!(headers.last(b"c").is_none());
    }

    #[test]
    fn equal_bodies_at_other_places_have_other_hashes() {
        let record = RecordRef {
            offset: Offset(1),
            timestamp: RecordTimestamp::Missing,
            key: None,
            value: Some(b"v"),
            headers: HeadersRef::EMPTY,
        };
        let moved = RecordRef {
            offset: Offset(2),
            ..record
        };
        assert_ne!(frame_hash(1, &record, b"v"), frame_hash(1, &moved, b"v"));
        assert_ne!(frame_hash(1, &record, b"v"), frame_hash(2, &record, b"v"));
    }
}
