//! Kafka offsets and half-open spans of them.

use std::fmt;

/// An offset in a Kafka partition; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Offsets `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First offset inside.
    pub from: Offset,
    /// First offset beyond.
    pub to: Offset,
}

impl Span {
    /// Builds `[from, to)`.
    ///
    /// # Panics
    /// If `to` lies before `from`.
    pub fn new(from: Offset, to: Offset) -> Self {
        assert!(from <= to, "span runs backwards: [{from}, {to})");
        Self { from, to }
    }

    /// What lies in both; `None` when nothing does.
    pub fn overlap(self, other: Self) -> Option<Self> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        (from < to).then_some(Self { from, to })
    }

    /// How many offsets it has.
    pub fn offsets(self) -> u64 {
        u64::try_from(self.to.0.saturating_sub(self.from.0)).unwrap_or(0)
    }

    /// Whether `offset` lies inside.
    pub fn contains(self, offset: Offset) -> bool {
        self.from <= offset && offset < self.to
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.from, self.to)
    }
}
