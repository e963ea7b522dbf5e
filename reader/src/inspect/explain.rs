//! Where the bytes of a segment go: by what they are and how they are encoded, by org, by series.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use serde::Serialize;
use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::format::segment_reader::StoredBlock;
use skein_shared::ids::OrgId;
use skein_shared::segment_fetch::SegmentFile;

/// A segment, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The object's key.
    pub key: String,
    /// What the encoder was after.
    pub profile: String,
    /// Version of the encoder's choices.
    pub encoder_version: u32,
    /// Its size.
    pub object_bytes: u64,
    /// How many points.
    pub points: u64,
    /// How many series.
    pub series: u64,
    /// What its bytes are, the most first; together they are all of them.
    pub parts: Vec<Part>,
    /// Whose they are, the most first: blocks alone.
    pub orgs: Vec<OrgBytes>,
    /// The series that take most, the most first: blocks alone.
    pub largest_series: Vec<SeriesBytes>,
}

/// One use of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Which.
    pub name: &'static str,
    /// Blocks, pages or sections.
    pub pieces: u64,
    /// Points in them; 0 where points have no meaning.
    pub points: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What one org takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OrgBytes {
    /// Which.
    pub org: u64,
    /// Its series.
    pub series: u64,
    /// Their points.
    pub points: u64,
    /// Bytes of their timestamps.
    pub timestamp_bytes: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
}

/// What one series takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeriesBytes {
    /// Whose.
    pub org: u64,
    /// Which of the org's.
    pub metric: u64,
    /// Its points.
    pub points: u64,
    /// Bytes of its blocks.
    pub bytes: u64,
    /// How its last block's timestamps are encoded.
    pub timestamps: &'static str,
    /// How its last block's values are.
    pub values: &'static str,
}

/// Sums up while the blocks go by.
#[derive(Default)]
struct Sums {
    parts: BTreeMap<&'static str, Part>,
    orgs: BTreeMap<OrgId, OrgBytes>,
    /// The series of the newest block.
    open: Option<SeriesBytes>,
    largest: Vec<SeriesBytes>,
}

/// Explains the segment at `key`; names the `most_series` series that take most. Every run is fetched once.
///
/// # Errors
/// The bucket's; corrupt with the key when it is no segment.
pub fn explain<'a>(
    bucket: &'a Bucket,
    key: &'a str,
    most_series: usize,
) -> BoxFuture<'a, Result<Explained>> {
    Box::pin(async move {
        let file = SegmentFile::open_at(bucket, key).await?;
        let mut sums = Sums::default();
        file.each_run(|run| {
            for block in run.stored_blocks() {
                sums.add(&block?, most_series);
            }
            Ok(())
        })
        .await?;
        sums.end_series(most_series);
        Ok(sums.explained(&file))
    })
}

impl Sums {
    fn add(&mut self, block: &StoredBlock, most_series: usize) {
        let points = u64::from(block.points);
        let values = if block.columns.is_empty() {
            std::slice::from_ref(&block.values)
        } else {
            &block.columns
        };
        for column in std::iter::once(&block.timestamps).chain(values) {
            self.count(column.encoding, points, u64::from(column.bytes));
        }
        let (timestamp_bytes, value_bytes) = (
            u64::from(block.timestamps.bytes),
            u64::from(block.values.bytes),
        );
        let (org, metric) = (block.key.org.0, block.key.metric.0);
        let begins = self
            .open
            .as_ref()
            .is_none_or(|open| (open.org, open.metric) != (org, metric));
        if begins {
            self.end_series(most_series);
        }
        let sum = self.orgs.entry(block.key.org).or_insert(OrgBytes {
            org,
            series: 0,
            points: 0,
            timestamp_bytes: 0,
            value_bytes: 0,
        });
        sum.series += u64::from(begins);
        sum.points += points;
        sum.timestamp_bytes += timestamp_bytes;
        sum.value_bytes += value_bytes;
        let before = self.open.take();
        let (points_before, bytes_before) = before.map_or((0, 0), |open| (open.points, open.bytes));
        self.open = Some(SeriesBytes {
            org,
            metric,
            points: points_before + points,
            bytes: bytes_before + timestamp_bytes + value_bytes,
            timestamps: block.timestamps.encoding,
            values: block.values.encoding,
        });
    }

    /// Keeps the series that ended, if it is among those that take most.
    fn end_series(&mut self, most_series: usize) {
        self.largest.extend(self.open.take());
        if self.largest.len() >= most_series.saturating_mul(2).max(64) {
            self.keep_largest(most_series);
        }
    }

    fn keep_largest(&mut self, most_series: usize) {
        let by_size = |it: &SeriesBytes| (std::cmp::Reverse(it.bytes), it.org, it.metric);
        self.largest.sort_by_key(by_size);
        self.largest.truncate(most_series);
    }

    fn count(&mut self, name: &'static str, points: u64, bytes: u64) {
        let part = self.parts.entry(name).or_insert(Part {
            name,
            pieces: 0,
            points: 0,
            bytes: 0,
        });
        part.pieces += 1;
        part.points += points;
        part.bytes += bytes;
    }

    fn explained(mut self, file: &SegmentFile) -> Explained {
        let footer = file.footer();
        for run in &footer.runs {
            self.count("orders", 0, u64::from(run.order_bytes));
            self.count("index pages", 0, u64::from(run.page_bytes));
            let metadata = run.metadata_span();
            self.count("series metadata", 0, metadata.end - metadata.start);
        }
        let named: u64 = self.parts.values().map(|part| part.bytes).sum();
        let rest = file.object_bytes().saturating_sub(named);
        self.count("head and footer", 0, rest);
        let mut parts: Vec<Part> = self.parts.into_values().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        let mut orgs: Vec<OrgBytes> = self.orgs.into_values().collect();
        orgs.sort_by_key(|it| std::cmp::Reverse(it.timestamp_bytes + it.value_bytes));
        Explained {
            key: file.key().to_owned(),
            profile: footer.profile.clone(),
            encoder_version: footer.encoder_version,
            object_bytes: file.object_bytes(),
            points: footer.points,
            series: footer.series,
            parts,
            orgs,
            largest_series: self.largest,
        }
    }
}
