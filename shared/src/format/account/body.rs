//! The account's protobuf body: a column for each count.

use prost::Message;

use super::{Account, OrgAccounts, OrgCounts};
use crate::format::wire::{Reading, required};
use crate::ids::{Generation, OrgId};
use crate::window::TimestampMs;

#[derive(Clone, PartialEq, Message)]
pub(super) struct AccountBody {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(uint64, tag = "2")]
    expected_generation: u64,
    #[prost(message, optional, tag = "3")]
    orgs: Option<OrgsBody>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OrgsBody {
    /// Ascending, each as the difference to the one before it.
    #[prost(uint64, repeated, tag = "1")]
    orgs: Vec<u64>,
    /// As many, and so of the next.
    #[prost(uint64, repeated, tag = "2")]
    points_in: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    duplicates: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    not_owned: Vec<u64>,
    #[prost(uint64, repeated, tag = "5")]
    deleted: Vec<u64>,
    #[prost(uint64, repeated, tag = "6")]
    quarantined_records: Vec<u64>,
    #[prost(uint64, tag = "7")]
    unreadable_records: u64,
    #[prost(uint64, repeated, tag = "8")]
    expired: Vec<u64>,
    /// The orgs of which points were not owned: ascending, each as the difference to the one before it.
    #[prost(uint64, repeated, tag = "9")]
    marked_orgs: Vec<u64>,
    /// As many.
    #[prost(sint64, repeated, tag = "10")]
    highest_not_owned_ms: Vec<i64>,
}

impl AccountBody {
    pub(super) fn of(account: &Account) -> Self {
        Self {
            shard: account.shard.to_string(),
            expected_generation: account.expected_generation.0,
            orgs: Some(OrgsBody::of(&account.orgs)),
        }
    }

    pub(super) fn read(self) -> Reading<Account> {
        Ok(Account {
            shard: self.shard.parse()?,
            expected_generation: Generation(self.expected_generation),
            orgs: required(self.orgs, "orgs")?.read()?,
        })
    }
}

impl OrgsBody {
    pub(crate) fn of(accounts: &OrgAccounts) -> Self {
        let mut body = Self {
            unreadable_records: accounts.unreadable_records,
            ..Self::default()
        };
        let mut before = 0;
        for (org, counts) in &accounts.orgs {
            body.orgs.push(org.0 - before);
            before = org.0;
            body.points_in.push(counts.points_in);
            body.duplicates.push(counts.duplicates);
            body.not_owned.push(counts.not_owned);
            body.deleted.push(counts.deleted);
            body.expired.push(counts.expired);
            body.quarantined_records.push(counts.quarantined_records);
        }
        let mut before = 0;
        for (org, highest) in &accounts.highest_not_owned {
            body.marked_orgs.push(org.0 - before);
            before = org.0;
            body.highest_not_owned_ms.push(highest.0);
        }
        body
    }

    pub(crate) fn read(self) -> Reading<OrgAccounts> {
        let columns = [
            &self.points_in,
            &self.duplicates,
            &self.not_owned,
            &self.deleted,
            &self.expired,
            &self.quarantined_records,
        ];
        let rows = self.orgs.len();
        if columns.iter().any(|column| column.len() != rows) {
            return Err(format!("there are not {rows} numbers for {rows} orgs"));
        }
        let mut accounts = OrgAccounts {
            unreadable_records: self.unreadable_records,
            ..OrgAccounts::default()
        };
        for (row, next) in ascending(&self.orgs)?.into_iter().enumerate() {
            let [
                points_in,
                duplicates,
                not_owned,
                deleted,
                expired,
                quarantined_records,
            ] = columns.map(|column| column[row]);
            let counts = OrgCounts {
                points_in,
                duplicates,
                not_owned,
                deleted,
                expired,
                quarantined_records,
            };
            if counts == OrgCounts::default() {
                return Err(format!("{next} has nothing to count"));
            }
            accounts.orgs.insert(next, counts);
        }
        if self.marked_orgs.len() != self.highest_not_owned_ms.len() {
            return Err("there is not one time for each marked org".to_owned());
        }
        let marked = ascending(&self.marked_orgs)?.into_iter();
        let times = self.highest_not_owned_ms.into_iter().map(TimestampMs);
        accounts.highest_not_owned = marked.zip(times).collect();
        Ok(accounts)
    }
}

/// The orgs that these are the differences of.
fn ascending(steps: &[u64]) -> Reading<Vec<OrgId>> {
    let mut orgs: Vec<OrgId> = Vec::with_capacity(steps.len());
    for (row, step) in steps.iter().enumerate() {
        let next = match orgs.last() {
            None => Some(*step),
            Some(OrgId(before)) => before.checked_add(*step).filter(|next| next > before),
        };
        let next = next.ok_or_else(|| format!("row {row} is not of a greater org"))?;
        orgs.push(OrgId(next));
    }
    Ok(orgs)
}
