//! Which orgs there are, how large each is, and where its cutover stands.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use skein_shared::ids::OrgId;
use skein_shared::window::Resolution;
use skein_shared::{Result, account_log, cutover_log, manifest_log};

use crate::cutover::cohort::{Member, came_by};
use crate::cutover::fact_finding::Plane;

const CONCURRENT_ORGS: usize = 16;

/// Every org of which points were read or that has a version. Its bytes are its share, by points, of its shards' segments.
///
/// # Errors
/// `Corrupt` when something stored is damaged, and what the bucket says.
pub fn census(plane: &Plane) -> BoxFuture<'_, Result<BTreeMap<OrgId, Member>>> {
    Box::pin(async move {
        let bucket = &plane.bucket;
        let mut members: BTreeMap<OrgId, Member> = BTreeMap::new();
        for shard in manifest_log::shards(bucket).await? {
            let manifest = manifest_log::newest(bucket, shard).await?;
            let Some(named) = &manifest.account else {
                continue;
            };
            let account = account_log::load(bucket, shard, named).await?;
            let raw = manifest.segments.iter();
            let raw = raw.filter(|segment| segment.resolution == Resolution::Raw);
            let bytes: u64 = raw.map(|segment| segment.summary.size_bytes).sum();
            let all: u64 = account
                .orgs
                .orgs
                .values()
                .map(|counts| counts.points_in)
                .sum();
            for (org, counts) in &account.orgs.orgs {
                let share =
                    u128::from(bytes) * u128::from(counts.points_in) / u128::from(all.max(1));
                let member = members.entry(*org).or_default();
                member.points = member.points.saturating_add(counts.points_in);
                let share = u64::try_from(share).unwrap_or(u64::MAX);
                member.bytes = member.bytes.saturating_add(share);
            }
        }
        let orgs = cutover_log::orgs(bucket).await?;
        let histories: Vec<_> = stream::iter(orgs)
            .map(|org| async move {
                Ok::<_, skein_shared::Error>((org, cutover_log::history(bucket, org).await?))
            })
            .buffered(CONCURRENT_ORGS)
            .try_collect()
            .await?;
        for (org, history) in histories {
            let member = members.entry(org).or_default();
            member.state = history.last().map(|(newest, _)| newest.state);
            member.came_by = came_by(history.iter().map(|(version, _)| version));
        }
        Ok(members)
    })
}
