//! Carries the account of a shard's orgs from one manifest to the next.
//!
//! A step counts by org what it did. The account of the manifest that it is committed on top of, and these counts, make the
//! account of the next one: a commit that loses its number adds to what the winner says. An account is written for one
//! generation only, so that it is void as soon as another has that number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use skein_shared::bucket::Bucket;
use skein_shared::error::BucketCause;
use skein_shared::format::account::{Account, OrgAccounts, OrgCounts};
use skein_shared::format::shard_manifest::{AccountRef, ConservationCounts, ShardManifest};
use skein_shared::ids::OrgId;
use skein_shared::window::{TimeSpan, TimestampMs, Window};
use skein_shared::{ErrorKind, account_log, manifest_log};

use crate::error::{Error, Result};
use crate::metrics;

/// What a commit does to the account of the shard's orgs.
#[derive(Debug, Clone, Default)]
pub struct OrgChange {
    /// What is to be added; `None` when that is not known.
    pub counted: Option<OrgAccounts>,
    /// What had been counted, and is taken back.
    pub taken_back: OrgAccounts,
    /// Of which windows points were brought in that had not been owned.
    pub covered: Covered,
}

/// Windows that hold all that the timelines give us now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Those that touch it, and none before: of these nobody can tell.
    pub span: TimeSpan,
    /// Of these, windows that do not.
    pub except: BTreeSet<Window>,
    /// The latest times in them that the timelines do not give us, by org.
    pub highest_not_owned: BTreeMap<OrgId, TimestampMs>,
}

impl Default for Covered {
    /// No window.
    fn default() -> Self {
        let nowhere = TimeSpan {
            from: TimeSpan::ALL.to,
            to: TimeSpan::ALL.to,
        };
        Self {
            span: nowhere,
            except: BTreeSet::new(),
            highest_not_owned: BTreeMap::new(),
        }
    }
}

impl Covered {
    /// Where the mark of an org stands now that stood at `mark`: where it was, if its window is none of these, else before
    /// all of these windows that lie before it in a row.
    pub fn lower(&self, org: OrgId, mark: TimestampMs) -> TimestampMs {
        let window = Window::of(mark);
        if self.except.contains(&window) || !window.span().overlaps(self.span) {
            return mark;
        }
        let except = self.except.range(..window).next_back();
        let after = except.map_or(TimeSpan::ALL.from, |except| except.span().to);
        let first = Window::of(self.span.from).start().max(after);
        let before = TimestampMs(first.0.saturating_sub(1));
        let found = self.highest_not_owned.get(&org).copied();
        before.max(found.unwrap_or(before)).min(mark)
    }
}

/// What is to be named by the next manifest.
#[derive(Debug)]
pub enum Carried {
    /// This; `None` when nothing was counted yet, or what was is not known any more.
    On(Option<AccountRef>),
    /// Nothing: the account of the manifest before it is gone, and here is a newer one to begin again with.
    Overtaken(Box<ShardManifest>),
}

impl OrgChange {
    /// Something is added.
    pub fn counted(counted: Option<OrgAccounts>) -> Self {
        Self {
            counted,
            ..Self::default()
        }
    }
}

/// Writes the account of `next`, which follows `base` with what `change` says.
///
/// # Errors
/// [`Error::Unbalanced`] when orgs and shard would not say the same; the bucket's.
pub async fn carry_on(
    bucket: &Bucket,
    (base, next): (&ShardManifest, &ShardManifest),
    change: &OrgChange,
) -> Result<Carried> {
    let Some(counted) = &change.counted else {
        return Ok(give_up(base, &"what the step did to each org is not known"));
    };
    let covers_nothing = change.covered == Covered::default();
    if counted.is_empty() && change.taken_back.is_empty() && covers_nothing {
        return Ok(Carried::On(base.account.clone()));
    }
    let mut sums = match &base.account {
        None if has_counted(&base.counts) => return Ok(Carried::On(None)),
        None => OrgAccounts::default(),
        Some(named) => match account_log::load(bucket, base.shard, named).await {
            Ok(account) => account.orgs,
            Err(error) if is_unreadable(&error) => return overtaken(bucket, base, &error).await,
            Err(error) => return Err(error.into()),
        },
    };
    sums.add(counted);
    let Some(mut sums) = sums.without(&change.taken_back) else {
        return Ok(give_up(
            base,
            &"points are there again that no org had lost",
        ));
    };
    for (org, mark) in &mut sums.highest_not_owned {
        *mark = change.covered.lower(*org, *mark);
    }
    sums.highest_not_owned
        .retain(|_, mark| *mark > TimeSpan::ALL.from);
    check(next, &sums)?;
    let account = Account {
        shard: next.shard,
        expected_generation: next.generation,
        orgs: sums,
    };
    let named = account_log::write(bucket, &account).await?;
    Ok(Carried::On(Some(named)))
}

/// A collector may have taken the account, if there is a newer manifest.
async fn overtaken(
    bucket: &Bucket,
    base: &ShardManifest,
    error: &skein_shared::Error,
) -> Result<Carried> {
    let newest = manifest_log::newest(bucket, base.shard).await?;
    if newest.generation > base.generation {
        return Ok(Carried::Overtaken(Box::new(newest)));
    }
    Ok(give_up(base, error))
}

/// Tells that the account of the newest manifest, if it has one, cannot be carried on: its shard goes on without one.
fn give_up(base: &ShardManifest, reason: &dyn Display) -> Carried {
    if let Some(named) = &base.account {
        metrics::account_lost(base.shard, &named.key, reason);
    }
    Carried::On(None)
}

fn has_counted(counts: &ConservationCounts) -> bool {
    OrgCounts::from(*counts) != OrgCounts::default()
}

/// Whether an object is gone or damaged, so that nobody can tell any more what it said.
pub(crate) fn is_unreadable(error: &skein_shared::Error) -> bool {
    let is_gone = matches!(
        error,
        skein_shared::Error::Bucket {
            cause: BucketCause::NotFound,
            ..
        }
    );
    // What a newer build wrote is for a newer build to go on with.
    is_gone || error.kind() == ErrorKind::Corrupt && !error.is_unread_version()
}

/// All orgs together are the shard.
fn check(next: &ShardManifest, orgs: &OrgAccounts) -> Result<()> {
    let (sum, counts) = (orgs.sum(), OrgCounts::from(next.counts));
    if sum == counts && orgs.orgs.values().all(|org| org.live_points().is_some()) {
        return Ok(());
    }
    Err(Error::Unbalanced {
        shard: next.shard,
        reason: format!("orgs say {sum:?}, the shard {counts:?}"),
    })
}
