//! The account's protobuf body: a column for each count.

use prost::Message;

use super::{Account, OrgAccounts, OrgCounts};
use crate::format::wire::{Reading, required};
use crate::ids::{Generation, OrgId};

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
        let mut org: Option<u64> = None;
        for (row, step) in self.orgs.iter().enumerate() {
            let next = match org {
                None => Some(*step),
                Some(before) => before.checked_add(*step).filter(|next| *next > before),
            };
            let next = next.ok_or_else(|| format!("row {row} is not of a greater org"))?;
            org = Some(next);
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
                return Err(format!("org {next} has nothing to count"));
            }
            accounts.orgs.insert(OrgId(next), counts);
        }
        Ok(accounts)
    }
}
