//! Writes points or buckets into a file for other systems: Parquet, an Arrow stream, CSV or JSON lines.
//!
//! Rows stand in order of org, metric and time. Memory does not grow with what is exported: a scan holds one series of
//! one window, a file at most one row group. The file has its name only once it is whole.

mod part_file;
pub(crate) mod rows;
mod table_file;
mod provenance;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use futures::future::LocalBoxFuture;
use skein_shared::format::digest::ContentDigest;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::{Resolution, TimeSpan};

use self::part_file::PartFile;
use self::rows::Rows;
use self::table_file::TableFile;
use crate::bucket_scan::{BucketOptions, BucketScan};
use crate::buckets_output::BucketsOutput;
use crate::error::Result;
use crate::points_output::{OutputFormat, PointsOutput};
use crate::segment_scan::{Scan, ScanOptions};
use crate::series_names::{self, name_of};
use crate::snapshot::Snapshot;

/// Form of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Apache Parquet, zstd.
    Parquet,
    /// The streaming format of Arrow IPC.
    Arrow,
    /// The columns of `read --format csv`.
    Csv,
    /// The lines of `read --format json`.
    Jsonl,
}

/// What is exported, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    /// Form of the file.
    pub format: ExportFormat,
    /// Raw points, or which buckets.
    pub resolution: Resolution,
    /// Points outside are left out, and buckets that begin outside.
    pub span: TimeSpan,
    /// The file; it must not be there.
    pub file: PathBuf,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Points or buckets.
    pub rows: u64,
    /// Their series.
    pub series: u64,
    /// Digest of the points or buckets.
    pub digest: ContentDigest,
    /// Length of the file.
    pub file_bytes: u64,
    /// Where the rows come from, as it stands in files that have a place for it.
    pub provenance: BTreeMap<String, String>,
}

/// What a scan's rows go into.
enum Sink {
    Table(Box<TableFile>, Box<Rows>),
    Points(Box<PointsOutput<BufWriter<File>>>),
    Buckets(Box<BucketsOutput<BufWriter<File>>>),
}

/// Exports what the snapshot selects.
///
/// # Errors
/// The bucket's; what the file says, also when there is one of that name. Then nothing of the export is left.
pub fn export(snapshot: Snapshot, options: &ExportOptions) -> LocalBoxFuture<'_, Result<Exported>> {
    Box::pin(async move {
        let part = PartFile::create(&options.file)?;
        if options.resolution.is_raw() {
            export_points(snapshot, options, part).await
        } else {
            export_buckets(snapshot, options, part).await
        }
    })
}

async fn export_points(
    snapshot: Snapshot,
    options: &ExportOptions,
    part: PartFile,
) -> Result<Exported> {
    let tags = text_format(&snapshot, options.format).await?;
    let mut provenance = provenance::of_snapshot(&snapshot, options);
    let scan_options = ScanOptions {
        span: options.span,
        metadata: MetadataFetch::Fetch,
    };
    let mut scan = Scan::start(snapshot, scan_options).await?;
    provenance::add_files(&mut provenance, scan.files());
    let mut sink = match tags {
        Some(format) => {
            let output = PointsOutput::new(format, BufWriter::new(part.file()?))?;
            Sink::Points(Box::new(output))
        }
        None => Sink::table(options, &part, &provenance)?,
    };
    while let Some(piece) = scan.next().await? {
        match &mut sink {
            Sink::Points(output) => output.write(&piece)?,
            Sink::Buckets(_) => {}
            Sink::Table(file, rows) => {
                let name = name_of(piece.key.metric, piece.metadata);
                rows.begin_series(piece.key, name);
                let points = piece.timestamps_ms.iter().zip(piece.values);
                for (timestamp_ms, value) in points {
                    rows.push_point(*timestamp_ms, *value);
                    file.write_when_full(rows)?;
                }
            }
        }
    }
    let found = scan.summary();
    let rows = (found.points, found.series, found.digest);
    sink.finish(rows, part, provenance)
}

async fn export_buckets(
    snapshot: Snapshot,
    options: &ExportOptions,
    part: PartFile,
) -> Result<Exported> {
    let tags = text_format(&snapshot, options.format).await?;
    let mut provenance = provenance::of_snapshot(&snapshot, options);
    let scan_options = BucketOptions {
        resolution: options.resolution,
        span: options.span,
        metadata: MetadataFetch::Fetch,
    };
    let mut scan = BucketScan::start(snapshot, scan_options).await?;
    provenance::add_files(&mut provenance, scan.files());
    let mut sink = match tags {
        Some(format) => {
            let output = BufWriter::new(part.file()?);
            let output = BucketsOutput::new(format, options.resolution, output)?;
            Sink::Buckets(Box::new(output))
        }
        None => Sink::table(options, &part, &provenance)?,
    };
    while let Some(piece) = scan.next().await? {
        match &mut sink {
            Sink::Buckets(output) => output.write(&piece)?,
            Sink::Points(_) => {}
            Sink::Table(file, rows) => {
                let name = name_of(piece.key.metric, piece.metadata);
                rows.begin_series(piece.key, name);
                for bucket in piece.rollup.buckets() {
                    rows.push_bucket(&bucket);
                    file.write_when_full(rows)?;
                }
            }
        }
    }
    let found = scan.summary();
    let rows = (found.buckets(), found.series, found.digest);
    sink.finish(rows, part, provenance)
}

/// How rows are written that become text; `None` of tables.
async fn text_format(snapshot: &Snapshot, format: ExportFormat) -> Result<Option<OutputFormat>> {
    Ok(match format {
        ExportFormat::Parquet | ExportFormat::Arrow => None,
        ExportFormat::Csv => Some(OutputFormat::Csv(series_names::tag_keys(snapshot).await?)),
        ExportFormat::Jsonl => Some(OutputFormat::Json),
    })
}

impl Sink {
    fn table(
        options: &ExportOptions,
        part: &PartFile,
        provenance: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let rows = Rows::new(options.resolution, provenance);
        let file = TableFile::create(options.format, part.file()?, rows.schema())?;
        Ok(Self::Table(Box::new(file), Box::new(rows)))
    }

    fn finish(
        self,
        (rows, series, digest): (u64, u64, ContentDigest),
        part: PartFile,
        mut provenance: BTreeMap<String, String>,
    ) -> Result<Exported> {
        provenance::add_found(&mut provenance, rows, series, digest);
        match self {
            Self::Points(output) => output.finish()?,
            Self::Buckets(output) => output.finish()?,
            Self::Table(file, mut rows) => file.finish(&mut rows, &provenance)?,
        }
        Ok(Exported {
            rows,
            series,
            digest,
            file_bytes: part.keep()?,
            provenance,
        })
    }
}
