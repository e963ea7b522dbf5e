//! The orgs of every shard, from its account.

use futures::{StreamExt, TryStreamExt};
use skein_shared::bucket::Bucket;
use skein_shared::format::account::Account;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::{Result, account_log};

use super::{CONCURRENT_READS, OrgRow};

/// By org, then shard; an org is in several when the shard map has changed.
pub(super) async fn rows(bucket: &Bucket, manifests: &[ShardManifest]) -> Result<Vec<OrgRow>> {
    let named = manifests.iter().filter_map(|manifest| {
        let account = manifest.account.as_ref()?;
        Some(account_log::load(bucket, manifest.shard, account))
    });
    let named: Vec<_> = named.collect();
    let accounts: Vec<Account> = futures::stream::iter(named)
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await?;
    let mut rows: Vec<OrgRow> = accounts.iter().flat_map(rows_of).collect();
    // Stable: accounts are in the order of their shards.
    rows.sort_by_key(|row| row.org);
    Ok(rows)
}

fn rows_of(account: &Account) -> impl Iterator<Item = OrgRow> {
    let marks = &account.orgs.highest_not_owned;
    account.orgs.orgs.iter().map(|(org, counts)| OrgRow {
        org: org.0,
        shard: account.shard.to_string(),
        points_in: counts.points_in,
        live_points: counts.live_points(),
        duplicates: counts.duplicates,
        not_owned: counts.not_owned,
        deleted: counts.deleted,
        expired: counts.expired,
        quarantined_records: counts.quarantined_records,
        highest_not_owned: marks.get(org).map(ToString::to_string),
    })
}
