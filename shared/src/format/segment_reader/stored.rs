//! How the blocks of a run are stored, for reports.

use super::{Run, refuse};
use crate::error::Result;
use crate::format::rollup_columns::{self, RollupColumn};
use crate::format::run_page::PageBlock;
use crate::format::timestamp_column::TimestampEncoding;
use crate::format::value_column::ValueEncoding;
use crate::format::varint;
use crate::ids::SeriesKey;

/// How one block is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// Of which series.
    pub key: SeriesKey,
    /// How many points.
    pub points: u32,
    /// Its timestamps.
    pub timestamps: StoredColumn,
    /// Its values, or all columns of its buckets together.
    pub values: StoredColumn,
    /// The columns of its buckets; none of raw points.
    pub columns: Vec<StoredColumn>,
}

/// How one column of a block is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredColumn {
    /// Name of the encoding, as reports have it.
    pub encoding: &'static str,
    /// Length.
    pub bytes: u32,
}

impl Run {
    /// How each block is stored, series by series.
    pub fn stored_blocks(&self) -> impl Iterator<Item = Result<StoredBlock>> {
        let org = self.page.org;
        self.page.series.iter().flat_map(move |series| {
            let key = SeriesKey {
                org,
                metric: series.metric,
            };
            let blocks = &self.page.blocks[series.blocks.clone()];
            blocks
                .iter()
                .map(move |block| self.stored_block(key, block))
        })
    }

    fn stored_block(&self, key: SeriesKey, block: &PageBlock) -> Result<StoredBlock> {
        let place = self.fence.offset + u64::from(block.offset);
        let (timestamps, values) = self.checked_columns(block)?;
        let Some(by_time) = TimestampEncoding::of(timestamps) else {
            return refuse(place, "the encoding of the block is unknown");
        };
        let (by_value, columns) = if self.resolution.is_raw() {
            (
                ValueEncoding::of(values).map(ValueEncoding::name),
                Vec::new(),
            )
        } else {
            let columns = rollup_columns::cut(values).map_err(|error| error.moved_by(place))?;
            (Some("rollup columns"), stored_columns(&columns))
        };
        let Some(by_value) = by_value else {
            return refuse(place, "the encoding of the block is unknown");
        };
        Ok(StoredBlock {
            key,
            points: block.points,
            timestamps: StoredColumn {
                encoding: by_time.name(),
                bytes: block.timestamp_bytes,
            },
            values: StoredColumn {
                encoding: by_value,
                bytes: block.value_bytes,
            },
            columns,
        })
    }
}

/// With their lengths, so that they add up to the block.
fn stored_columns(columns: &[&[u8]]) -> Vec<StoredColumn> {
    let columns = RollupColumn::ALL.into_iter().zip(columns);
    let stored = |(column, bytes): (RollupColumn, &&[u8])| {
        let length = varint::len_u64(bytes.len() as u64) + bytes.len();
        StoredColumn {
            encoding: column.name(),
            bytes: u32::try_from(length).expect("a column is shorter than its block"),
        }
    };
    columns.map(stored).collect()
}
