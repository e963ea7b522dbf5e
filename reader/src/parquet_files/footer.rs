//! A file's footer, and the stretches of the file that it tells of.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::columns::Columns;
use super::place::{FoundFile, Place};
use super::row_group::Stretches;
use crate::error::{Error, Result};

/// What is read of a file's end first: the footers of most files are shorter.
const FOOTER_BYTES: u64 = 64 * 1024;

/// Columns that lie this close to one another are read with one request.
const GAP_BYTES: u64 = 256 * 1024;

/// A file of which the footer was read.
#[derive(Debug)]
pub(super) struct ParquetFile {
    pub(super) found: FoundFile,
    pub(super) metadata: ArrowReaderMetadata,
    pub(super) columns: Columns,
}

impl ParquetFile {
    /// Reads a file's footer.
    pub(super) async fn open(place: &Place, found: FoundFile) -> Result<Self> {
        let refuse = |error: ParquetError| broken(&found.name, error.to_string());
        let file_bytes = found.file_bytes;
        let mut wanted = FOOTER_BYTES.min(file_bytes);
        let metadata: ParquetMetaData = loop {
            let bytes: Bytes = place
                .read(&found.name, file_bytes - wanted..file_bytes)
                .await?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&bytes, file_bytes) {
                Ok(()) => break reader.finish().map_err(refuse)?,
                Err(ParquetError::NeedMoreData(needed)) if needed as u64 > wanted => {
                    wanted = (needed as u64).min(file_bytes);
                }
                Err(error) => return Err(refuse(error)),
            }
        };
        // What Arrow says of types beside Parquet is for Arrow: a text is a text, in a dictionary or not.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(refuse)?;
        let columns = Columns::of(&found.name, metadata.schema(), metadata.parquet_schema())?;
        Ok(Self {
            found,
            metadata,
            columns,
        })
    }

    /// The columns of a row group that points are read from.
    pub(super) async fn fetch(&self, place: &Place, number: usize) -> Result<Stretches> {
        let group = self.metadata.metadata().row_group(number);
        let mut ranges = Vec::new();
        for column in self.columns.all() {
            let chunk = group.column(column.leaf);
            let is_sane = chunk.data_page_offset() >= 0 && chunk.compressed_size() >= 0;
            let (start, length) = if is_sane {
                chunk.byte_range()
            } else {
                (u64::MAX, 0)
            };
            let end = start.saturating_add(length);
            if end > self.found.file_bytes {
                let reason = format!("row group {number}: column `{}` lies outside", column.name);
                return Err(broken(&self.found.name, reason));
            }
            ranges.push(start..end);
        }
        let reads = joined(ranges).into_iter().map(async |range| {
            let bytes = place.read(&self.found.name, range.clone()).await?;
            Ok::<_, Error>((range.start, bytes))
        });
        Ok(Stretches {
            file_bytes: self.found.file_bytes,
            stretches: futures::future::try_join_all(reads).await?,
        })
    }
}

fn broken(file: &str, reason: String) -> Error {
    Error::ParquetFile {
        file: file.to_owned(),
        reason,
    }
}

/// The same bytes in fewer ranges, ascending.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end + GAP_BYTES => last.end = last.end.max(range.end),
            Some(_) | None => joined.push(range),
        }
    }
    joined
}
