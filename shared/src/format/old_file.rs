//! Points of one metric out of one stretch of a partition, as the old pipeline keeps them: the objects under `old/`.
//!
//! Timestamps and values are encoded by code of their own, not by that of segments: where the two pipelines are compared, an
//! error of one encoder must not stand on both sides.

mod columns;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::object_key::{Attempt, OldFileName};
use crate::format::order_column::{self, ChainIndex, Order, OrderShape};
use crate::format::segment_reader::SeriesBuffer;
use crate::format::series_metadata::SeriesMetadata;
use crate::format::wire::{self, Reading, required};
use crate::ids::{MetricId, OrgId, SeriesKey, WriteId};
use crate::window::TimestampMs;

/// Most points of one file, so that it is read with less than a GiB of memory.
pub const MAX_POINTS: usize = 1 << 25;

/// One file.
#[derive(Debug, Clone, PartialEq)]
pub struct OldFile {
    /// What its key says of it.
    pub name: OldFileName,
    /// The number of the fleet by which its points were chosen; 0 is before the first.
    pub fleet: u64,
    /// The points, in strictly ascending time; every order has chain 0, which is the file's.
    pub points: SeriesBuffer,
    /// What the records said of the series, if one did; of the same chain.
    pub metadata: Option<SeriesMetadata>,
}

impl OldFile {
    /// The object's bytes.
    ///
    /// # Panics
    /// If the points do not ascend, are none or too many, or their orders are those of more or fewer points or of another
    /// chain: a reader would give points to the wrong records.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let SeriesBuffer {
            timestamps_ms,
            values,
            orders,
        } = &self.points;
        let points = timestamps_ms.len();
        assert!((1..=MAX_POINTS).contains(&points), "a file has points");
        assert_eq!(points, values.len(), "every point has a value");
        let of_orders: u64 = orders.iter().map(|run| u64::from(run.points)).sum();
        assert_eq!(points as u64, of_orders, "every point has an order");
        let times = [timestamps_ms[0], timestamps_ms[points - 1]].map(TimestampMs);
        assert_eq!(times, [self.name.first, self.name.last], "the key says it");
        let (times, times_raw_bytes) = columns::encode_timestamps(timestamps_ms);
        let (stretch_column, stretches_raw_bytes) = order_column::encode(orders, 1);
        let message = OldFileMessage {
            org: self.name.series.org.0,
            metric: self.name.series.metric.0,
            chain: Some(wire::Chain::of(&self.name.chain)),
            from: wire::offset_number(self.name.span.from),
            to: wire::offset_number(self.name.span.to),
            first_ms: self.name.first.0,
            last_ms: self.name.last.0,
            attempt: self.name.attempt.0,
            fleet: self.fleet,
            points: points as u64,
            times,
            times_raw_bytes: times_raw_bytes as u64,
            values: columns::encode_values(values),
            stretches: orders.len() as u64,
            stretch_column,
            stretches_raw_bytes: stretches_raw_bytes as u64,
            metadata: self.metadata.as_ref().map(OldMetadataMessage::of),
        };
        envelope::seal(Kind::OldFile, write_id, &message)
    }

    /// Reads [`OldFile::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<OldFileMessage>(Kind::OldFile, bytes)?;
        let refuse = |reason| Error::decode(Kind::OldFile.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct OldFileMessage {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(uint64, tag = "2")]
    metric: u64,
    #[prost(message, optional, tag = "3")]
    chain: Option<wire::Chain>,
    #[prost(uint64, tag = "4")]
    from: u64,
    #[prost(uint64, tag = "5")]
    to: u64,
    #[prost(sint64, tag = "6")]
    first_ms: i64,
    #[prost(sint64, tag = "7")]
    last_ms: i64,
    #[prost(fixed64, tag = "8")]
    attempt: u64,
    #[prost(uint64, tag = "9")]
    fleet: u64,
    #[prost(uint64, tag = "10")]
    points: u64,
    #[prost(bytes = "vec", tag = "11")]
    times: Vec<u8>,
    #[prost(uint64, tag = "12")]
    times_raw_bytes: u64,
    #[prost(bytes = "vec", tag = "13")]
    values: Vec<u8>,
    #[prost(uint64, tag = "14")]
    stretches: u64,
    #[prost(bytes = "vec", tag = "15")]
    stretch_column: Vec<u8>,
    #[prost(uint64, tag = "16")]
    stretches_raw_bytes: u64,
    #[prost(message, optional, tag = "17")]
    metadata: Option<OldMetadataMessage>,
}

/// What a record said of a series.
#[derive(Clone, PartialEq, Message)]
struct OldMetadataMessage {
    #[prost(sint64, optional, tag = "1")]
    record_ms: Option<i64>,
    #[prost(uint64, tag = "2")]
    offset: u64,
    #[prost(btree_map = "string, string", tag = "3")]
    entries: std::collections::BTreeMap<String, String>,
}

impl OldFileMessage {
    fn read(self) -> Reading<OldFile> {
        let times = (self.first_ms, self.last_ms);
        let points = count(self.points, MAX_POINTS)?;
        let mut timestamps_ms = Vec::new();
        if points == 0 {
            return Err("a file without points".to_owned());
        }
        let raw_bytes = count(
            self.times_raw_bytes,
            columns::largest_times_raw_bytes(points),
        )?;
        columns::decode_timestamps(
            &self.times,
            (points, raw_bytes, self.first_ms),
            &mut timestamps_ms,
        )?;
        if timestamps_ms.last() != Some(&times.1) {
            return Err("the last point is another than it says".to_owned());
        }
        let stretches = count(self.stretches, points)?;
        let largest = OrderShape::largest_raw_bytes(stretches);
        let shape = OrderShape {
            stretches,
            raw_bytes: count(self.stretches_raw_bytes, largest)?,
            chain_count: 1,
        };
        let orders = order_column::decode(&self.stretch_column, shape);
        let orders = orders.map_err(|error| error.to_string())?;
        let of_orders: u64 = orders.iter().map(|run| u64::from(run.points)).sum();
        if of_orders != self.points {
            return Err(format!("stretches of {of_orders} points for {points}"));
        }
        let series = SeriesKey {
            org: OrgId(self.org),
            metric: MetricId(self.metric),
        };
        Ok(OldFile {
            name: OldFileName {
                series,
                chain: required(self.chain, "chain")?.read()?,
                span: wire::span(self.from, self.to)?,
                first: TimestampMs(times.0),
                last: TimestampMs(times.1),
                attempt: Attempt(self.attempt),
            },
            fleet: self.fleet,
            points: SeriesBuffer {
                timestamps_ms,
                values: columns::decode_values(&self.values, points)?,
                orders,
            },
            metadata: self.metadata.map(OldMetadataMessage::read).transpose()?,
        })
    }
}

impl OldMetadataMessage {
    fn of(metadata: &SeriesMetadata) -> Self {
        Self {
            record_ms: metadata.order.record_timestamp.map(|time| time.0),
            offset: wire::offset_number(metadata.order.offset),
            entries: metadata.entries.clone(),
        }
    }

    fn read(self) -> Reading<SeriesMetadata> {
        let order = Order {
            seals: 1,
            record_timestamp: self.record_ms.map(TimestampMs),
            chain: ChainIndex(0),
            offset: wire::offset(self.offset)?,
        };
        Ok(SeriesMetadata {
            order,
            entries: self.entries,
        })
    }
}

fn count(number: u64, most: usize) -> Reading<usize> {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    if number <= most {
        return Ok(number);
    }
    Err(format!("a count of {number}, {most} are possible"))
}

#[cfg(test)]
mod tests;
