//! Equal data costs one pass: both sides are read once, in step, and what they have is summed up by ranges of series. Only
//! ranges whose sums differ, or in which something is wrong, are read again and joined row by row.

use skein_shared::format::digest::ContentDigest;
use skein_shared::ids::SeriesKey;
use xxhash_rust::xxh3::xxh3_128;

use crate::diff::discrepancy::Hand;
use crate::diff::pace::Pace;
use crate::diff::side::{Gap, PinnedSide, SideSeries, SideStream, UnitScope};
use crate::diff::sieve::Sieve;
use crate::error::Result;

/// Series of one range at most.
const RANGE_SERIES: u64 = 1024;

/// Rows of one range at most, unless it is a single series.
const RANGE_ROWS: u64 = 1 << 20;

/// What one side has in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    rows: u64,
    digest: ContentDigest,
    /// Of the metadata of each series that is not set aside.
    metadata: ContentDigest,
}

/// Neighbouring series, summed up.
#[derive(Debug)]
struct Range {
    first: SeriesKey,
    last: SeriesKey,
    series: u64,
    sums: [Sum; 2],
    /// Something in it is wrong, whatever the sums say.
    is_suspect: bool,
}

/// What one pass over a window gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Passed {
    /// Rows of the ranges that are equal.
    pub(super) equal: u64,
    /// Series that one of the sides has.
    pub(super) series: u64,
    /// Rows that were read of each side.
    pub(super) rows: [u64; 2],
    /// Rows that are one side's alone.
    pub(super) one_sided: u64,
    /// Rows that were deleted.
    pub(super) deleted: u64,
    /// Series between these differ, or something is wrong with them; ascending, without overlap.
    pub(super) differing: Vec<(SeriesKey, SeriesKey)>,
    /// The ranges that are equal, each with its rows.
    sound: Vec<((SeriesKey, SeriesKey), u64)>,
}

/// Sums both sides up.
///
/// # Errors
/// The bucket's.
pub(super) async fn pass(
    (left, right): (&PinnedSide, &PinnedSide),
    scope: UnitScope,
    sieve: &Sieve<'_>,
    pace: &mut Pace<'_>,
) -> Result<Passed> {
    let with_metadata = left.has_metadata() && right.has_metadata();
    let mut streams = [left.stream(scope).await?, right.stream(scope).await?];
    let [one, other] = &mut streams;
    let mut heads = [one.next().await?, other.next().await?];
    let mut passed = Passed::default();
    let mut range: Option<Range> = None;
    while let Some(key) = heads.iter().flatten().map(|series| series.key).min() {
        if let Some(full) = range.take_if(|range| range.is_full()) {
            full.close(&mut passed);
        }
        let range = range.get_or_insert_with(|| Range::new(key));
        range.last = key;
        range.series += 1;
        for (index, hand) in [Hand::Left, Hand::Right].into_iter().enumerate() {
            let Some(mut series) = heads[index].take_if(|series| series.key == key) else {
                continue;
            };
            passed.rows[index] += series.rows.len() as u64;
            let sieved = sieve.apply(hand, &mut series);
            passed.one_sided += sieved.one_sided;
            passed.deleted += sieved.deleted;
            range.is_suspect |= !sieved.wrong_owner.is_empty() || !series.faults.is_empty();
            range.sums[index].add(&series);
            if with_metadata && !sieve.is_named(key) && !series.rows.is_empty() {
                range.sums[index].add_metadata(&series);
            }
            heads[index] = streams[index].next().await?;
        }
        pace.keep().await?;
    }
    if let Some(last) = range {
        last.close(&mut passed);
    }
    for gap in streams.iter().flat_map(SideStream::gaps) {
        passed.suspect(gap);
    }
    passed.settle();
    Ok(passed)
}

impl Passed {
    /// What does not read back is looked at series by series, whatever the sums say.
    fn suspect(&mut self, gap: &Gap) {
        let (held, sound) = std::mem::take(&mut self.sound)
            .into_iter()
            .partition::<Vec<_>, _>(|(keys, _)| gap.overlaps(*keys));
        self.sound = sound;
        self.equal -= held.iter().map(|(_, rows)| rows).sum::<u64>();
        self.differing
            .extend(held.into_iter().map(|(keys, _)| keys));
        self.differing.push((gap.first, gap.last));
    }

    fn settle(&mut self) {
        self.differing.sort_unstable();
        let mut joined: Vec<(SeriesKey, SeriesKey)> = Vec::new();
        for (first, last) in self.differing.drain(..) {
            match joined.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                Some(_) | None => joined.push((first, last)),
            }
        }
        self.differing = joined;
    }
}

impl Range {
    fn new(first: SeriesKey) -> Self {
        Self {
            first,
            last: first,
            series: 0,
            sums: [Sum::default(); 2],
            is_suspect: false,
        }
    }

    fn is_full(&self) -> bool {
        let rows = self.sums.iter().map(|sum| sum.rows).max().unwrap_or(0);
        self.series >= RANGE_SERIES || rows >= RANGE_ROWS
    }

    fn close(self, passed: &mut Passed) {
        passed.series += self.series;
        if self.is_suspect || self.sums[0] != self.sums[1] {
            passed.differing.push((self.first, self.last));
        } else {
            let rows = self.sums[0].rows;
            passed.equal += rows;
            passed.sound.push(((self.first, self.last), rows));
        }
    }
}

impl Sum {
    fn add(&mut self, series: &SideSeries) {
        self.rows += series.rows.len() as u64;
        for (index, at_ms) in series.rows.times_ms.iter().enumerate() {
            match series.rows.row(index) {
                [value] => self.digest.add_point(series.key, *at_ms, *value),
                cells => self.digest.add_hash(hash_of(series.key, *at_ms, cells)),
            }
        }
    }

    fn add_metadata(&mut self, series: &SideSeries) {
        let text = format!("{}{:?}", series.key, series.metadata);
        self.metadata.add_hash(xxh3_128(text.as_bytes()));
    }
}

fn hash_of(key: SeriesKey, at_ms: i64, cells: &[f64]) -> u128 {
    let numbers = [key.org.0, key.metric.0, at_ms.cast_unsigned()];
    let cells = cells.iter().map(|cell| cell.to_bits());
    let bytes: Vec<u8> = numbers
        .into_iter()
        .chain(cells)
        .flat_map(u64::to_le_bytes)
        .collect();
    xxh3_128(&bytes)
}
