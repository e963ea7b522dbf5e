//! Where a series is cut into blocks: by the number of its points alone.

use std::ops::Range;

use crate::format::run_page::BLOCK_POINTS;
use crate::format::series_metadata::SeriesMetadata;
use crate::ids::SeriesKey;

/// A series whose points are on their way.
#[derive(Debug)]
pub(super) struct OpenSeries {
    pub(super) key: SeriesKey,
    /// The blocks that have not come.
    pub(super) blocks: BlockCut,
    /// Time of the last point that has come.
    pub(super) last_ms: Option<i64>,
    /// Goes with the first block.
    pub(super) metadata: Option<SeriesMetadata>,
}

/// Cuts `points` into as few blocks as there may be, of equal size but for one point; gives them in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockCut {
    points: usize,
    blocks: usize,
    next: usize,
}

impl BlockCut {
    pub(super) fn new(points: usize) -> Self {
        Self {
            points,
            blocks: points.div_ceil(BLOCK_POINTS),
            next: 0,
        }
    }

    /// The points of the next block.
    pub(super) fn peek(&self) -> Option<Range<usize>> {
        let begin = |block| self.points * block / self.blocks;
        (self.next < self.blocks).then(|| begin(self.next)..begin(self.next + 1))
    }
}

impl Iterator for BlockCut {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let block = self.peek()?;
        self.next += 1;
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_few_and_differ_by_at_most_a_point() {
        for points in [0, 1, 8_191, 8_192, 8_193, 100_000, 8_640_000] {
            let blocks: Vec<_> = BlockCut::new(points).collect();
            assert_eq!(blocks.len(), points.div_ceil(BLOCK_POINTS));
            let mut ends = blocks.iter().map(|block| block.end);
            let begins = blocks.iter().map(|block| block.start).skip(1);
            assert!(ends.clone().zip(begins).all(|(end, begin)| end == begin));
            assert_eq!(ends.next_back().unwrap_or_default(), points);
            let lengths = || blocks.iter().map(ExactSizeIterator::len);
            let (least, most) = (lengths().min(), lengths().max());
            assert!(most.unwrap_or_default() - least.unwrap_or_default() <= 1);
        }
    }
}
