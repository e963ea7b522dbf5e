//! Conservation by org (SK-11): what the account of a shard says is live of each org is in its segments, and all orgs
//! together are the shard.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::format::account::{Account, OrgCounts};
use skein_shared::format::shard_manifest::{AccountRef, ShardManifest};
use skein_shared::{Result, account_log};

use crate::inspect::finding::{CONSERVATION, Finding};
use crate::inspect::verify::Check;
use crate::inspect::verify::manifests::{Manifests, successor_without};
use crate::inspect::verify::metadata::read_with;
use crate::inspect::verify::segments::LivePoints;

/// Every account reads back and says what manifests and segments say. Shards of which some segment does not read back, and
/// those that have gone on during the check, are compared with their manifests only.
pub(super) async fn check_accounts(
    check: &mut Check<'_>,
    manifests: &Manifests,
    live: &LivePoints,
) -> Result<()> {
    for manifest in manifests.values() {
        let Some(named) = &manifest.account else {
            continue;
        };
        let decode = |bytes: &[u8]| account_log::check(bytes, manifest.shard, named);
        match read_with(&check.bucket, &named.key, CONSERVATION, decode).await? {
            // Else others have gone on, and a collection has taken it.
            Err(finding) => {
                let next = successor_without(&check.bucket, manifest.shard, &named.key).await?;
                if next.is_none() {
                    check.find(finding);
                }
            }
            Ok(account) => {
                check.findings.extend(other_sum(manifest, named, &account));
                compare(check, (manifest, named), &account, live);
            }
        }
    }
    Ok(())
}

fn other_sum(manifest: &ShardManifest, named: &AccountRef, account: &Account) -> Option<Finding> {
    let (sum, counts) = (account.orgs.sum(), OrgCounts::from(manifest.counts));
    let what = format!(
        "the orgs of {} have {}, its manifest says {}",
        manifest.shard,
        shown(sum),
        shown(counts)
    );
    (sum != counts).then(|| CONSERVATION.broken(&named.key, None, what))
}

fn compare(
    check: &mut Check<'_>,
    (manifest, named): (&ShardManifest, &AccountRef),
    account: &Account,
    live: &LivePoints,
) {
    let none = Some(BTreeMap::new());
    let Some(live) = live.get(&manifest.shard).unwrap_or(&none) else {
        return;
    };
    let orgs: BTreeSet<_> = account.orgs.orgs.keys().chain(live.keys()).collect();
    for org in orgs {
        check.checked.accounted_orgs += 1;
        let counts = account.orgs.orgs.get(org).copied().unwrap_or_default();
        let points = live.get(org).copied().unwrap_or(0);
        if counts.live_points() != Some(points) {
            let what = format!(
                "org {org} of {}: {points} points are live, of {}",
                manifest.shard,
                shown(counts)
            );
            check.find(CONSERVATION.broken(&named.key, None, what));
        }
    }
}

fn shown(counts: OrgCounts) -> String {
    let OrgCounts {
        points_in,
        duplicates,
        not_owned,
        deleted,
        expired,
        quarantined_records,
    } = counts;
    format!(
        "{points_in} points that came in, {duplicates} duplicates, {not_owned} not owned, {deleted} deleted, {expired} \
         expired and {quarantined_records} records in quarantine"
    )
}
