//! What is known about series besides their points, kept beside each run of a segment.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::order_column::{ChainIndex, Order};
use crate::format::{number_chunk, varint};
use crate::offset::Offset;
use crate::window::TimestampMs;

const FORMAT: &str = "series metadata";

/// What is known about a series, by the record that said it last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesMetadata {
    /// Place of that record.
    pub order: Order,
    /// Its metadata: name, type, host, tags.
    pub entries: BTreeMap<String, String>,
}

/// Metadata of one series of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMetadata {
    /// Which series of the run, counted from 0.
    pub series: u32,
    /// What is known about it.
    pub metadata: SeriesMetadata,
}

/// Encodes the metadata of a run's series, ascending; answers the bytes and their length before zstd.
pub fn encode(rows: &[RunMetadata]) -> (Vec<u8>, usize) {
    let mut raw = Vec::with_capacity(rows.len() * 128);
    let mut next = 0;
    varint::put_u64(&mut raw, rows.len() as u64);
    for row in rows {
        varint::put_u64(&mut raw, u64::from(row.series - next));
        next = row.series + 1;
        put_order(&mut raw, row.metadata.order);
        varint::put_u64(&mut raw, row.metadata.entries.len() as u64);
        for text in row
            .metadata
            .entries
            .iter()
            .flat_map(|(key, value)| [key, value])
        {
            varint::put_u64(&mut raw, text.len() as u64);
            raw.extend_from_slice(text.as_bytes());
        }
    }
    (number_chunk::squeeze(&raw), raw.len())
}

/// Reads [`encode`] back; `bytes` carry a checksum that the caller has checked.
///
/// # Errors
/// Corrupt when the bytes are no such rows.
pub fn decode(bytes: &[u8], raw_bytes: usize, chain_count: usize) -> Result<Vec<RunMetadata>> {
    let refusal = |reason: String| Error::decode(FORMAT, 0, reason);
    let raw = number_chunk::unsqueeze(bytes, raw_bytes).map_err(refusal)?;
    read_rows(&raw, chain_count).ok_or_else(|| refusal("rows do not fit together".into()))
}

fn put_order(raw: &mut Vec<u8>, order: Order) {
    match order.record_timestamp {
        None => raw.push(0),
        Some(TimestampMs(ms)) => {
            raw.push(1);
            varint::put_i64(raw, ms);
        }
    }
    varint::put_u64(raw, u64::from(order.chain.0));
    varint::put_i64(raw, order.offset.0);
}

fn read_rows(mut raw: &[u8], chain_count: usize) -> Option<Vec<RunMetadata>> {
    let raw = &mut raw;
    let count = varint::take_u64(raw)?;
    let mut rows = Vec::new();
    let mut next = 0_u32;
    for _ in 0..count {
        let series = next.checked_add(u32::try_from(varint::take_u64(raw)?).ok()?)?;
        next = series.checked_add(1)?;
        let order = take_order(raw)?;
        if order.chain.0 as usize >= chain_count {
            return None;
        }
        let mut entries = BTreeMap::new();
        for _ in 0..varint::take_u64(raw)? {
            let key = take_text(raw)?;
            entries.insert(key, take_text(raw)?);
        }
        let metadata = SeriesMetadata { order, entries };
        rows.push(RunMetadata { series, metadata });
    }
    raw.is_empty().then_some(rows)
}

fn take_order(raw: &mut &[u8]) -> Option<Order> {
    let record_timestamp = match varint::take_bytes(raw, 1)? {
        [0] => None,
        [1] => Some(TimestampMs(varint::take_i64(raw)?)),
        _ => return None,
    };
    Some(Order {
        seals: 1,
        record_timestamp,
        chain: ChainIndex(u32::try_from(varint::take_u64(raw)?).ok()?),
        offset: Offset(varint::take_i64(raw)?),
    })
}

fn take_text(raw: &mut &[u8]) -> Option<String> {
    let length = varint::take_u64(raw)?;
    String::from_utf8(varint::take_bytes(raw, length)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = Vec<RunMetadata>> {
        let entries = proptest::collection::btree_map(".{0,8}", ".{0,30}", 0..4);
        let row = (
            proptest::option::of(any::<i64>()),
            0_u32..3,
            any::<i64>(),
            entries,
        );
        proptest::collection::btree_map(0_u32..1000, row, 0..20).prop_map(|rows| {
            rows.into_iter()
                .map(|(series, (time, chain, offset, entries))| RunMetadata {
                    series,
                    metadata: SeriesMetadata {
                        order: Order {
                            seals: 1,
                            record_timestamp: time.map(TimestampMs),
                            chain: ChainIndex(chain),
                            offset: Offset(offset),
                        },
                        entries,
                    },
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_row_reads_back(rows in rows()) {
            let (bytes, raw_bytes) = encode(&rows);
            prop_assert_eq!(decode(&bytes, raw_bytes, 3).unwrap(), rows);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(raw: Vec<u8>) {
            let _ = decode(&raw, raw.len(), 3);
            let _ = decode(&number_chunk::squeeze(&raw), raw.len(), 3);
        }
    }
}
