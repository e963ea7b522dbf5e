//! Batches of rows into Parquet or Arrow.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::ExportFormat;
use super::rows::Rows;
use crate::error::{Error, Result};

/// Rows of a row group: what a file holds back in memory, compressed.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Columns that rows are sorted by: org, metric, time.
const SORTED_BY: [i32; 3] = [0, 1, 3];

pub(super) enum TableFile {
    Parquet(Box<ArrowWriter<File>>),
    Arrow(Box<StreamWriter<BufWriter<File>>>),
}

impl TableFile {
    /// Begins the file.
    ///
    /// # Panics
    /// If the format is none of a table's.
    pub(super) fn create(format: ExportFormat, file: File, schema: SchemaRef) -> Result<Self> {
        match format {
            ExportFormat::Parquet => {
                let properties = properties(&schema).map_err(of_parquet)?;
                let writer = ArrowWriter::try_new(file, schema, Some(properties));
                Ok(Self::Parquet(Box::new(writer.map_err(of_parquet)?)))
            }
            ExportFormat::Arrow => {
                let writer = StreamWriter::try_new(BufWriter::new(file), &schema);
                Ok(Self::Arrow(Box::new(writer.map_err(of_arrow)?)))
            }
            ExportFormat::Csv | ExportFormat::Jsonl => panic!("text has no batches"),
        }
    }

    /// Writes the rows once they are many.
    pub(super) fn write_when_full(&mut self, rows: &mut Rows) -> Result<()> {
        if rows.is_full() {
            return self.write(rows);
        }
        Ok(())
    }

    fn write(&mut self, rows: &mut Rows) -> Result<()> {
        let batch = rows.take().map_err(of_arrow)?;
        match self {
            Self::Parquet(writer) => writer.write(&batch).map_err(of_parquet),
            Self::Arrow(writer) => writer.write(&batch).map_err(of_arrow),
        }
    }

    /// Writes the last rows and ends the file.
    pub(super) fn finish(
        mut self,
        rows: &mut Rows,
        provenance: &BTreeMap<String, String>,
    ) -> Result<()> {
        self.write(rows)?;
        match self {
            Self::Parquet(mut writer) => {
                for (key, value) in provenance {
                    writer.append_key_value_metadata(KeyValue::new(key.clone(), value.clone()));
                }
                writer.close().map_err(of_parquet)?;
            }
            Self::Arrow(mut writer) => {
                writer.finish().map_err(of_arrow)?;
                writer.get_mut().flush().map_err(Error::Output)?;
            }
        }
        Ok(())
    }
}

/// Times as differences, floats byte by byte and without a dictionary, which would have to say when two are equal.
fn properties(schema: &SchemaRef) -> std::result::Result<WriterProperties, ParquetError> {
    let sorted = SORTED_BY.map(|column_idx| SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    });
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("skein {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_sorting_columns(Some(sorted.to_vec()));
    for field in schema.fields() {
        let encoding = if *field.data_type() == DataType::Float64 {
            Encoding::BYTE_STREAM_SPLIT
        } else if matches!(field.data_type(), DataType::Timestamp(..)) {
            Encoding::DELTA_BINARY_PACKED
        } else {
            continue;
        };
        let column = ColumnPath::from(field.name().as_str());
        builder = builder
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, encoding);
    }
    Ok(builder.build())
}

fn of_parquet(error: ParquetError) -> Error {
    Error::Table {
        format: "parquet",
        source: Box::new(error),
    }
}

fn of_arrow(error: ArrowError) -> Error {
    Error::Table {
        format: "arrow",
        source: Box::new(error),
    }
}
