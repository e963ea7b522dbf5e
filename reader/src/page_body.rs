//! The bytes of a page, and how many they are while it is filled.

use std::collections::BTreeMap;

use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use skein_shared::window::Resolution;

use crate::buckets_output::BucketsOutput;
use crate::error::{Error, Result};
use crate::export::rows::Rows;
use crate::points_output::{OutputFormat, PointsOutput};
use crate::reading::AnyPiece;
use crate::series_names::name_of;

/// How the rows of a page are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageForm {
    /// One JSON document a line, as `skein read --format json` has them.
    JsonLines,
    /// An Arrow IPC stream, with the columns of an export.
    Arrow,
}

/// Bytes of a row of points or buckets in Arrow: org, metric, place of the name, time; then a value, or two counts and
/// seven floats.
const ARROW_ROW_BYTES: (usize, usize) = (8 + 8 + 4 + 8 + 8, 8 + 8 + 4 + 8 + 9 * 8);
/// What a row of JSON takes at most, more or less; before the first is written nothing better is known.
const JSON_ROW_BYTES: (usize, usize) = (48, 256);

/// Rows of a page on their way.
pub(crate) struct PageBody {
    resolution: Resolution,
    rows: usize,
    kept: Kept,
}

enum Kept {
    Json(Vec<u8>),
    Arrow(Box<Rows>),
}

impl PageBody {
    pub(crate) fn new(form: PageForm, resolution: Resolution) -> Self {
        let kept = match form {
            PageForm::JsonLines => Kept::Json(Vec::new()),
            PageForm::Arrow => Kept::Arrow(Box::new(Rows::new(resolution, &BTreeMap::new()))),
        };
        Self {
            resolution,
            rows: 0,
            kept,
        }
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> usize {
        match &self.kept {
            Kept::Json(bytes) => bytes.len(),
            Kept::Arrow(_) => self.rows * self.row_bytes(),
        }
    }

    /// What the next row will take, by what those before it took.
    pub(crate) fn row_bytes(&self) -> usize {
        let of = |(point, bucket)| {
            if self.resolution.is_raw() {
                point
            } else {
                bucket
            }
        };
        match &self.kept {
            Kept::Json(_) if self.rows == 0 => of(JSON_ROW_BYTES),
            Kept::Json(bytes) => bytes.len().div_ceil(self.rows),
            Kept::Arrow(_) => of(ARROW_ROW_BYTES),
        }
    }

    pub(crate) fn write(&mut self, piece: &AnyPiece<'_>) -> Result<()> {
        self.rows += piece.times_ms().len();
        match (&mut self.kept, piece) {
            (Kept::Json(bytes), AnyPiece::Points(piece)) => {
                PointsOutput::new(OutputFormat::Json, bytes)?.write(piece)
            }
            (Kept::Json(bytes), AnyPiece::Buckets(piece)) => {
                BucketsOutput::new(OutputFormat::Json, self.resolution, bytes)?.write(piece)
            }
            (Kept::Arrow(rows), piece) => {
                write_rows(rows, piece);
                Ok(())
            }
        }
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        match self.kept {
            Kept::Json(bytes) => Ok(bytes),
            Kept::Arrow(mut rows) => stream_of(&mut rows).map_err(|error| Error::Table {
                format: "arrow",
                source: Box::new(error),
            }),
        }
    }
}

fn write_rows(rows: &mut Rows, piece: &AnyPiece<'_>) {
    let key = piece.key();
    rows.begin_series(key, name_of(key.metric, piece.metadata()));
    match piece {
        AnyPiece::Points(piece) => {
            for (timestamp, value) in piece.timestamps_ms.iter().zip(piece.values) {
                rows.push_point(*timestamp, *value);
            }
        }
        AnyPiece::Buckets(piece) => {
            for bucket in piece.rollup.buckets() {
                rows.push_bucket(&bucket);
            }
        }
    }
}

fn stream_of(rows: &mut Rows) -> std::result::Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
    writer.write(&rows.take()?)?;
    writer.into_inner()
}
