//! A passive old system: a folder of Parquet files that somebody else writes.

use std::fs::File;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, RecordBatch, TimestampMillisecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use skein_reader::old_places::OldPlaces;
use skein_reader::old_source::OldSource;
use skein_reader::parquet_files::ParquetFiles;
use skein_shared::ids::SeriesKey;
use tempfile::TempDir;

/// Rows of a row group: few, so that series lie in several.
const GROUP_ROWS: usize = 40;

/// A point, and what names its series.
#[derive(Debug, Clone)]
pub(crate) struct OldRow {
    pub(crate) key: SeriesKey,
    pub(crate) name: Option<String>,
    pub(crate) ms: i64,
    pub(crate) value: f64,
}

pub(crate) struct OldFolder {
    folder: TempDir,
    files: usize,
}

impl OldFolder {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            files: 0,
        }
    }

    /// Writes the rows as they stand into one more file.
    pub(crate) fn add(&mut self, rows: &[OldRow]) {
        let orgs: Vec<u64> = rows.iter().map(|row| row.key.org.0).collect();
        let metrics: Vec<u64> = rows.iter().map(|row| row.key.metric.0).collect();
        let names: DictionaryArray<Int32Type> =
            rows.iter().map(|row| row.name.as_deref()).collect();
        let times: Vec<i64> = rows.iter().map(|row| row.ms).collect();
        let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
        let times = TimestampMillisecondArray::from(times).with_timezone("UTC");
        self.add_columns(vec![
            ("org", Arc::new(UInt64Array::from(orgs)) as ArrayRef),
            ("metric", Arc::new(UInt64Array::from(metrics))),
            ("series", Arc::new(names)),
            ("timestamp", Arc::new(times)),
            ("value", Arc::new(Float64Array::from(values))),
        ]);
    }

    /// Writes these columns into one more file, compressed as most software does it.
    pub(crate) fn add_columns(&mut self, columns: Vec<(&str, ArrayRef)>) {
        let name = format!("day={}/part.snappy.parquet", self.files);
        self.files += 1;
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) async fn files(&self) -> ParquetFiles {
        ParquetFiles::in_folder(self.path()).await.unwrap()
    }

    pub(crate) async fn places(&self) -> OldPlaces {
        OldPlaces::only(OldSource::Parquet(self.files().await))
    }
}
