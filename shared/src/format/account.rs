//! Where the points of each org went, of one shard: the objects at `<hash>/account/<shard>/<generation>-<attempt>`.

mod body;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::shard_manifest::ConservationCounts;
use crate::ids::{Generation, OrgId, ShardId, WriteId};
use crate::window::TimestampMs;

pub(crate) use body::OrgsBody;

/// What a shard has done with the points of each org, from its first generation on. A manifest names the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whose.
    pub shard: ShardId,
    /// The generation that was to name it first.
    pub expected_generation: Generation,
    /// The sums.
    pub orgs: OrgAccounts,
}

/// Where points went, by org; of one step, or of all that a shard ever did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrgAccounts {
    /// Those of which there is anything to count.
    pub orgs: BTreeMap<OrgId, OrgCounts>,
    /// Records in quarantine whose org cannot be read.
    pub unreadable_records: u64,
    /// Of each org that has any the latest event time of the points that were not owned. Before a later one the new pipeline
    /// may lack points, whatever the timelines say now.
    pub highest_not_owned: BTreeMap<OrgId, TimestampMs>,
}

/// Where the points of one org went: `points_in = live points + duplicates + not_owned + deleted +
/// expired` (SK-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrgCounts {
    /// Points of the records that decoded.
    pub points_in: u64,
    /// Points that lost to another of equal `(metric, timestamp)`.
    pub duplicates: u64,
    /// Points that the org's timeline gives to another pipeline.
    pub not_owned: u64,
    /// Points that deletes have taken.
    pub deleted: u64,
    /// Points that have expired, and are live no more.
    pub expired: u64,
    /// Records in quarantine.
    pub quarantined_records: u64,
}

impl OrgCounts {
    /// Takes others in.
    pub fn add(&mut self, other: Self) {
        // A sum that stops at the end is found to be wrong by whoever compares it.
        self.points_in = self.points_in.saturating_add(other.points_in);
        self.duplicates = self.duplicates.saturating_add(other.duplicates);
        self.not_owned = self.not_owned.saturating_add(other.not_owned);
        self.deleted = self.deleted.saturating_add(other.deleted);
        self.expired = self.expired.saturating_add(other.expired);
        self.quarantined_records = self
            .quarantined_records
            .saturating_add(other.quarantined_records);
    }

    /// What is left without others; `None` when there are not as many.
    #[must_use]
    pub fn without(self, other: Self) -> Option<Self> {
        Some(Self {
            points_in: self.points_in.checked_sub(other.points_in)?,
            duplicates: self.duplicates.checked_sub(other.duplicates)?,
            not_owned: self.not_owned.checked_sub(other.not_owned)?,
            deleted: self.deleted.checked_sub(other.deleted)?,
            expired: self.expired.checked_sub(other.expired)?,
            quarantined_records: self
                .quarantined_records
                .checked_sub(other.quarantined_records)?,
        })
    }

    /// Points that must be in live segments; `None` when more went than came.
    pub fn live_points(&self) -> Option<u64> {
        self.points_in
            .checked_sub(self.duplicates)?
            .checked_sub(self.not_owned)?
            .checked_sub(self.deleted)?
            .checked_sub(self.expired)
    }
}

impl OrgAccounts {
    /// Counts something of `org`.
    pub fn count(&mut self, org: OrgId, counts: OrgCounts) {
        if counts != OrgCounts::default() {
            self.orgs.entry(org).or_default().add(counts);
        }
    }

    /// Points of `org` up to this time were not owned.
    pub fn mark_not_owned(&mut self, org: OrgId, highest: TimestampMs) {
        let mark = self.highest_not_owned.entry(org).or_insert(highest);
        *mark = highest.max(*mark);
    }

    /// Takes those of another step, or of another part of one, in.
    pub fn add(&mut self, other: &Self) {
        for (org, counts) in &other.orgs {
            self.count(*org, *counts);
        }
        for (org, highest) in &other.highest_not_owned {
            self.mark_not_owned(*org, *highest);
        }
        self.unreadable_records = self
            .unreadable_records
            .saturating_add(other.unreadable_records);
    }

    /// What is left without others, whose marks say nothing; `None` when some org does not have as many.
    #[must_use]
    pub fn without(&self, other: &Self) -> Option<Self> {
        let mut left = self.clone();
        for (org, counts) in &other.orgs {
            let counts = left.orgs.remove(org)?.without(*counts)?;
            left.count(*org, counts);
        }
        left.unreadable_records = left
            .unreadable_records
            .checked_sub(other.unreadable_records)?;
        Some(left)
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.orgs.is_empty() && self.unreadable_records == 0
    }

    /// All orgs together.
    pub fn sum(&self) -> OrgCounts {
        let mut sum = OrgCounts {
            quarantined_records: self.unreadable_records,
            ..OrgCounts::default()
        };
        for counts in self.orgs.values() {
            sum.add(*counts);
        }
        sum
    }
}

impl From<ConservationCounts> for OrgCounts {
    /// The same of all orgs of a shard.
    fn from(counts: ConservationCounts) -> Self {
        Self {
            points_in: counts.points_in,
            duplicates: counts.duplicates,
            not_owned: counts.not_owned,
            deleted: counts.deleted,
            expired: counts.expired,
            quarantined_records: counts.quarantined_records,
        }
    }
}

impl Account {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::Account, write_id, &body::AccountBody::of(self))
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact account.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, body) = envelope::open::<body::AccountBody>(Kind::Account, bytes)?;
        let refuse = |reason| Error::decode(Kind::Account.name(), HEADER_BYTES as u64, reason);
        Ok((id, body.read().map_err(refuse)?))
    }
}

#[cfg(test)]
mod tests;
