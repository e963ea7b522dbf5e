//! Puts what was made anew in the place of what was live, and says where the points are that only one of the two has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skein_shared::ErrorKind;
use skein_shared::account_log;
use skein_shared::bucket::Bucket;
use skein_shared::delete_rule::{DeleteMask, pending};
use skein_shared::format::account::OrgAccounts;
use skein_shared::format::compact_plan::Part;
use skein_shared::format::compact_result::Delta;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::shard_manifest::{ConservationCounts, SegmentEntry, ShardManifest};
use skein_shared::ids::OrgId;
use skein_shared::manifest_log;
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::window::{TimestampMs, Window};

use super::window_account::{Compared, Struck, WindowAccount};
use super::{Found, WindowRow, org_points};
use crate::error::{Error, Result};
use crate::live_segments::LiveSegments;
use crate::manifest_commit;
use crate::org_accounts::{Covered, OrgChange, is_unreadable};
use crate::ownership_filter::OwnershipRule;
use crate::task_context::TaskContext;

/// Puts what was rebuilt in the place of what was live; answers the windows for which it did. A window that a compactor
/// has merged meanwhile is left as it is.
pub(super) async fn commit(
    context: &Arc<TaskContext>,
    manifest: &ShardManifest,
    (mut delta, covered): (Delta, &Covered),
    rows: &[WindowRow],
) -> Result<BTreeSet<Window>> {
    delta.advances.clear();
    delta.fill_advances.clear();
    let mut accounts = BTreeMap::new();
    for row in rows.iter().filter(|row| row.is_replaced) {
        let account = account_of(context, manifest, (row, &delta.added)).await?;
        accounts.insert(row.window, account);
    }
    let deletes = &context.writer.deletes[..];
    let mut base = manifest.clone();
    while !delta.replaced.is_empty() {
        accounts.retain(|window, _| delta.replaced.contains_key(window));
        delta.counts = ConservationCounts::default();
        delta.orgs = Some(OrgAccounts::default());
        delta.deletes.deleted.clear();
        for account in accounts.values() {
            account.enter(&mut delta);
        }
        let not_owned = not_owned_in(&context.bucket, &base).await?;
        let next = |base: &ShardManifest| {
            let (mut base, mut not_owned) = (base.clone(), not_owned.clone());
            let mut orgs = OrgChange::counted(delta.orgs.clone());
            // What was counted since was not read again.
            if base.account == manifest.account {
                orgs.covered = covered.clone();
            }
            for account in accounts.values() {
                match account.give_back((deletes, &mut not_owned), &mut base)? {
                    Some(given_back) => orgs.taken_back.add(&given_back),
                    None => orgs.counted = None,
                }
            }
            Ok((manifest_commit::apply(&base, &delta)?, orgs))
        };
        match manifest_commit::commit_next(&context.bucket, base.clone(), next).await {
            Ok(_) => break,
            Err(error @ Error::Superseded { .. }) => {
                base = manifest_log::newest(&context.bucket, manifest.shard).await?;
                if !leave_merged(&mut delta, &base) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(delta.replaced.into_keys().collect())
}

/// Leaves the windows out whose segments are no longer live; answers whether there were any.
fn leave_merged(delta: &mut Delta, base: &ShardManifest) -> bool {
    let live: BTreeSet<&String> = base.segments.iter().map(|s| &s.key).collect();
    let before = delta.replaced.len();
    let is_live = |keys: &[String]| keys.iter().all(|key| live.contains(key));
    delta.replaced.retain(|_, keys| is_live(keys));
    let replaced = &delta.replaced;
    delta.added.retain(|s| replaced.contains_key(&s.window));
    if let Some(seal) = &mut delta.seal {
        seal.windows.retain(|window| replaced.contains_key(window));
    }
    replaced.len() < before
}

/// Where the points are that only one of the two has: by org, where indexes tell.
async fn account_of(
    context: &Arc<TaskContext>,
    manifest: &ShardManifest,
    (row, added): (&WindowRow, &[SegmentEntry]),
) -> Result<WindowAccount> {
    let mut compared = Compared::Together([row.points_before, row.points_after]);
    if row.found == Found::OtherPoints {
        let bucket = &context.bucket;
        let before = org_points::of_window(bucket, &manifest.segments, row.window).await?;
        let after = org_points::of_window(bucket, added, row.window).await?;
        let is_all = |[before, after]: &[BTreeMap<OrgId, u64>; 2]| {
            before.values().sum::<u64>() == row.points_before
                && after.values().sum::<u64>() == row.points_after
        };
        let by_org = before.zip(after).map(|(before, after)| [before, after]);
        if let Some(by_org) = by_org.filter(is_all) {
            compared = Compared::ByOrg(by_org);
        }
    }
    let struck = struck_in(context, manifest, (row, &compared)).await?;
    let of = (row.window, manifest);
    let deletes = &context.writer.deletes;
    Ok(WindowAccount::of(of, &compared, &struck, deletes))
}

/// The points of each org that were not owned, as the account says; none where it is not known.
async fn not_owned_in(bucket: &Bucket, manifest: &ShardManifest) -> Result<BTreeMap<OrgId, u64>> {
    let Some(named) = &manifest.account else {
        return Ok(BTreeMap::new());
    };
    match account_log::load(bucket, manifest.shard, named).await {
        Ok(account) => {
            let orgs = account.orgs.orgs.into_iter();
            Ok(orgs.map(|(org, counts)| (org, counts.not_owned)).collect())
        }
        Err(error) if is_unreadable(&error) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

/// The points that deletes and timelines take out of the live segments of a window, counted as a compaction counts them. Of
/// segments that do not read back all that is gone counts for the first delete that waits for them.
async fn struck_in(
    context: &Arc<TaskContext>,
    manifest: &ShardManifest,
    (row, compared): (&WindowRow, &Compared),
) -> Result<Struck> {
    let of_window = manifest.raw_segments().filter(|s| s.window == row.window);
    let live: Vec<SegmentEntry> = of_window.cloned().collect();
    let deletes = &context.writer.deletes;
    let waiting = live.iter().flat_map(|s| pending(deletes, manifest, s));
    let first = waiting.map(|delete| delete.number).min();
    if first.is_none() && !loses_not_owned(context, row.window, compared) {
        return Ok(Struck::default());
    }
    match count_struck(context, manifest, &live).await {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid) => {
            let gone = row.points_before.saturating_sub(row.points_after);
            Ok(Struck {
                deleted: first.map(|first| (first, gone)).into_iter().collect(),
                not_owned: BTreeMap::new(),
            })
        }
        counted => counted,
    }
}

/// Whether points may be gone because they are another pipeline's.
fn loses_not_owned(context: &TaskContext, window: Window, compared: &Compared) -> bool {
    match compared {
        Compared::Together([before, after]) => before > after,
        Compared::ByOrg([before, after]) => {
            let chains = ChainTable::default();
            let mut rule = OwnershipRule::new(&context.writer.timelines, window, &chains);
            let mut orgs = before.iter();
            orgs.any(|(org, points)| after.get(org) < Some(points) && !rule.is_whole(*org))
        }
    }
}

async fn count_struck(
    context: &Arc<TaskContext>,
    manifest: &ShardManifest,
    live: &[SegmentEntry],
) -> Result<Struck> {
    let mut files = Vec::with_capacity(live.len());
    for segment in live {
        let file = SegmentFile::open(&context.bucket, segment).await?;
        files.push(Arc::new(file));
    }
    let chains = files.iter().flat_map(|file| file.chains().chains());
    let chains = ChainTable::new(chains.cloned().collect());
    let deletes = &context.writer.deletes;
    let mask_of = |segment| DeleteMask::new(pending(deletes, manifest, segment), &chains);
    let masks: Vec<DeleteMask> = live.iter().map(mask_of).collect();
    let writer = &context.writer;
    let reads = (writer.runtime.clone(), writer.live_read_bytes);
    let timelines = writer.timelines.clone();
    let window = live
        .first()
        .map_or(Window::of(TimestampMs(0)), |s| s.window);
    let counted = tokio::task::spawn_blocking(move || {
        let mut live = LiveSegments::new(reads, &files, &chains, Part::WHOLE.series);
        let mut rule = OwnershipRule::new(&timelines, window, &chains);
        let mut struck = Struck::default();
        while let Some(key) = live.least()? {
            live.take(key, |file, points, _| {
                masks[file].drop_of_segment(key, points, &mut struck.deleted);
                let not_owned = rule.count_by_time(key.org, &points.timestamps_ms);
                *struck.not_owned.entry(key.org).or_default() += not_owned;
                Ok(())
            })?;
        }
        Ok(struck)
    });
    let counted = counted.await;
    counted.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
