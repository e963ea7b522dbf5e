//! Between which timestamps records lie.

use crate::window::TimestampMs;

/// Oldest and newest timestamp of some records that have one, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordTimes {
    /// The least.
    pub oldest: TimestampMs,
    /// The greatest.
    pub newest: TimestampMs,
    /// Whether some of the records have none: nothing is known about the times of these. Objects of earlier builds do not
    /// say so.
    pub is_partial: bool,
}

impl RecordTimes {
    /// Of one record.
    pub const fn of(time: TimestampMs) -> Self {
        Self {
            oldest: time,
            newest: time,
            is_partial: false,
        }
    }

    /// Of so many records with these times and so many with those.
    #[must_use]
    pub fn joined(ours: (Option<Self>, u64), theirs: (Option<Self>, u64)) -> Option<Self> {
        match (ours, theirs) {
            ((Some(ours), _), (Some(theirs), _)) => Some(ours.union(theirs)),
            ((Some(times), _), (None, untimed)) | ((None, untimed), (Some(times), _)) => {
                Some(Self {
                    is_partial: times.is_partial || untimed > 0,
                    ..times
                })
            }
            ((None, _), (None, _)) => None,
        }
    }

    /// Of the records of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            oldest: self.oldest.min(other.oldest),
            newest: self.newest.max(other.newest),
            is_partial: self.is_partial || other.is_partial,
        }
    }
}
