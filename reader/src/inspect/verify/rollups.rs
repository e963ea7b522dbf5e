//! Rollups, made again of their segment's points while those are decoded anyway.

use std::sync::Arc;

use skein_shared::bucket::Bucket;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::shard_manifest::SegmentEntry;
use skein_shared::ids::SeriesKey;
use skein_shared::rollup::{Bucket as PointBucket, Rollup};
use skein_shared::segment_fetch::{CursorRange, MetadataFetch, SegmentCursor, SegmentFile};
use skein_shared::window::TimestampMs;

use crate::buckets_output::{BUCKET_COLUMNS, float_columns};
use crate::inspect::finding::SEGMENT;
use crate::inspect::verify::journal::Seen;

/// All rollups of one raw segment, read beside it.
#[derive(Debug)]
pub(super) struct RollupComparison {
    rollups: Vec<StoredRollup>,
    finest: Rollup,
    expected: Rollup,
    /// Buckets that were compared.
    buckets: u64,
}

/// One rollup. What cannot be read ends the comparison without a finding: the check of the object itself tells of it.
#[derive(Debug)]
struct StoredRollup {
    key: String,
    cursor: Option<SegmentCursor>,
    stored: Rollup,
    /// The first difference.
    difference: Option<String>,
    /// Whether it could not be read to its end.
    is_cut_short: bool,
}

impl RollupComparison {
    pub(super) async fn open(bucket: &Bucket, entries: &[SegmentEntry]) -> Self {
        let mut rollups = Vec::new();
        for entry in entries {
            let range = CursorRange {
                metadata: MetadataFetch::Skip,
                ..CursorRange::ALL
            };
            let file = SegmentFile::open(bucket, entry).await.ok();
            let is_cut_short = file.is_none();
            let none = ChainTable::default();
            let cursor = file.map(|file| SegmentCursor::within(Arc::new(file), &none, range));
            rollups.push(StoredRollup {
                key: entry.key.clone(),
                cursor,
                stored: Rollup::new(entry.resolution),
                difference: None,
                is_cut_short,
            });
        }
        Self {
            rollups,
            finest: Rollup::default(),
            expected: Rollup::default(),
            buckets: 0,
        }
    }

    /// Compares the buckets of a series with its points; series come in ascending order.
    pub(super) async fn compare(&mut self, key: SeriesKey, times_ms: &[i64], values: &[f64]) {
        let is_open = |rollup: &StoredRollup| rollup.cursor.is_some();
        if !self.rollups.iter().any(is_open) {
            return;
        }
        self.finest.begin(Rollup::FINEST);
        self.finest.roll(times_ms, values);
        for rollup in &mut self.rollups {
            let resolution = rollup.stored.resolution();
            self.finest.coarsen(resolution, &mut self.expected);
            rollup.compare(key, &self.expected).await;
            self.buckets += self.expected.len() as u64;
        }
    }

    /// Looks for what is left, once all series of the segment were compared.
    pub(super) async fn finish(&mut self) {
        for rollup in &mut self.rollups {
            if let Some(key) = rollup.peek().await {
                rollup.differs(format!(
                    "has buckets of {}, the segment no points",
                    name(key)
                ));
            }
        }
    }

    /// What differed so far, and how much was compared.
    pub(super) fn seen(self) -> Seen {
        let is_passing = self.rollups.iter().any(|rollup| rollup.is_cut_short);
        let found = self.rollups.into_iter().filter_map(|rollup| {
            let difference = rollup.difference?;
            Some(SEGMENT.broken(rollup.key, None, difference))
        });
        Seen {
            is_passing,
            ..Seen::of_segment(found.collect(), self.buckets)
        }
    }
}

impl StoredRollup {
    async fn peek(&mut self) -> Option<SeriesKey> {
        let peeked = self.cursor.as_mut()?.peek().await;
        if peeked.is_err() {
            self.cut_short();
        }
        peeked.ok()?
    }

    async fn compare(&mut self, key: SeriesKey, expected: &Rollup) {
        match self.peek().await {
            Some(stored) if stored == key => {}
            Some(stored) if stored < key => {
                let what = format!("has buckets of {}, the segment no points", name(stored));
                return self.differs(what);
            }
            Some(_) => return self.differs(format!("has no buckets of {}", name(key))),
            None if self.cursor.is_some() => {
                return self.differs(format!("has no buckets of {}", name(key)));
            }
            None => return,
        }
        let Some(cursor) = &mut self.cursor else {
            return;
        };
        if cursor.next_rollup(&mut self.stored).await.is_err() {
            return self.cut_short();
        }
        if let Some(difference) = difference(&self.stored, expected) {
            self.differs(format!("{} of {}", difference, name(key)));
        }
    }

    fn cut_short(&mut self) {
        self.is_cut_short = true;
        self.cursor = None;
    }

    /// Notes the first difference; what follows would be the same one again.
    fn differs(&mut self, what: String) {
        self.difference.get_or_insert(what);
        self.cursor = None;
    }
}

fn name(key: SeriesKey) -> String {
    format!("org {} metric {}", key.org, key.metric)
}

/// The first bucket that is not what the points say.
fn difference(stored: &Rollup, expected: &Rollup) -> Option<String> {
    let bits = |bucket: &PointBucket| bucket.columns().map(f64::to_bits);
    let mut pairs = stored.buckets().zip(expected.buckets());
    let differs = |(stored, expected): &(PointBucket, PointBucket)| {
        stored.start_ms != expected.start_ms || bits(stored) != bits(expected)
    };
    let Some((stored, expected)) = pairs.find(differs) else {
        let (is, ought) = (stored.len(), expected.len());
        return (is != ought).then(|| format!("has {is} buckets where the points make {ought},"));
    };
    let start = TimestampMs(stored.start_ms);
    if stored.start_ms != expected.start_ms {
        let ought = TimestampMs(expected.start_ms);
        return Some(format!(
            "has a bucket at {start}, the points' next one begins at {ought},"
        ));
    }
    let columns = columns(&stored).into_iter().zip(columns(&expected));
    let columns = BUCKET_COLUMNS.into_iter().zip(columns);
    let different = columns.filter(|(_, (stored, expected))| stored != expected);
    let words = different.map(|(name, (is, ought))| format!("{name} {is} and not {ought}"));
    let words: Vec<String> = words.collect();
    Some(format!(
        "the bucket at {start} is not that of its points: {};",
        words.join(", ")
    ))
}

/// All columns as text.
fn columns(bucket: &PointBucket) -> Vec<String> {
    let counts = [bucket.count, bucket.nans].map(|count| count.to_string());
    let floats = float_columns(bucket).map(skein_shared::format::points_csv::value_text);
    counts.into_iter().chain(floats).collect()
}
