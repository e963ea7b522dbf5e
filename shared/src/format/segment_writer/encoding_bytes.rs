//! Points and bytes by what they are.

use std::collections::BTreeMap;

/// Points and bytes by what they are and how they are encoded, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncodingBytes(pub BTreeMap<&'static str, EncodingCount>);

/// What one encoding was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodingCount {
    /// Blocks (or pages, or sections) encoded so.
    pub blocks: u64,
    /// Points in them; 0 where points have no meaning.
    pub points: u64,
    /// Bytes they take.
    pub bytes: u64,
}

impl EncodingBytes {
    /// Takes another segment's counts in.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            let sum = self.0.entry(name).or_default();
            sum.blocks += count.blocks;
            sum.points += count.points;
            sum.bytes += count.bytes;
        }
    }

    pub(super) fn count(&mut self, name: &'static str, points: usize, bytes: usize) {
        let sum = self.0.entry(name).or_default();
        sum.blocks += 1;
        sum.points += points as u64;
        sum.bytes += bytes as u64;
    }
}
