//! The fleet: what the newest versions of all orgs say, for nodes that poll. Numbered, created if absent, the newest first.
//!
//! The versions are the truth. Whoever appends one publishes a fleet that has it; one that was not published, because that
//! process ended between the two, is found and published by [`catch_up`].

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use crate::bucket::{Bucket, Created};
use crate::cutover_log::{self, Hashed};
use crate::error::{Error, Result};
use crate::format::cutover_fleet::{CutoverFleet, FleetHead};
use crate::format::envelope::Kind;
use crate::format::object_key::{CutoverKey, Prefix};
use crate::ids::WriteId;
use crate::timeline::Pipeline;
use crate::window::TimestampMs;

const CONCURRENT_GETS: usize = 16;

/// The newest fleet; `None` of a bucket in which no org was ever cut over.
///
/// # Errors
/// `Corrupt` when it is damaged or another's, and what the bucket says.
pub fn newest(bucket: &Bucket) -> BoxFuture<'_, Result<Option<CutoverFleet>>> {
    Box::pin(async move {
        // Numbers are inverted in keys: the first key listed is the newest.
        let page = bucket.list_page(Prefix::FLEETS, None, 1).await?;
        let Some(listed) = page.objects.first() else {
            return Ok(None);
        };
        Ok(Some(read(bucket, &listed.key).await?))
    })
}

/// The fleet of this number.
///
/// # Errors
/// As [`newest`]; a missing one is [`Error::Bucket`] with cause `NotFound`.
pub fn load(bucket: &Bucket, number: u64) -> BoxFuture<'_, Result<CutoverFleet>> {
    Box::pin(async move { read(bucket, &CutoverKey::Fleet(number).to_string()).await })
}

async fn read(bucket: &Bucket, key: &str) -> Result<CutoverFleet> {
    let bytes = bucket.get(key).await?;
    let (_, fleet) = CutoverFleet::decode(&bytes).map_err(|error| error.in_object(key))?;
    if CutoverKey::Fleet(fleet.number).to_string() == key {
        return Ok(fleet);
    }
    let reason = format!("holds fleet {}", fleet.number);
    Err(Error::decode(Kind::CutoverFleet.name(), 0, reason).in_object(key))
}

/// Publishes versions: a fleet in which no org has an older one, unless the newest is that already. `unenrolled` counts for
/// the first fleet alone.
///
/// # Errors
/// As [`newest`].
pub fn publish<'a>(
    bucket: &'a Bucket,
    unenrolled: Pipeline,
    versions: &'a [Hashed],
) -> BoxFuture<'a, Result<CutoverFleet>> {
    Box::pin(async move {
        loop {
            let before = newest(bucket).await?;
            let mut fleet = before.clone().unwrap_or(CutoverFleet {
                number: 0,
                unenrolled,
                at: TimestampMs(0),
                heads: BTreeMap::new(),
            });
            let is_newer = |(version, _): &&Hashed| {
                let head = fleet.heads.get(&version.org);
                head.is_none_or(|head| head.version < version.version)
            };
            let newer: Vec<&Hashed> = versions.iter().filter(is_newer).collect();
            if newer.is_empty()
                && let Some(before) = before
            {
                return Ok(before);
            }
            for hashed in newer {
                fleet.heads.insert(hashed.0.org, head_of(hashed));
            }
            fleet.number += 1;
            fleet.at = bucket.now().await?;
            let (key, id) = (
                CutoverKey::Fleet(fleet.number).to_string(),
                WriteId::random(),
            );
            match bucket.create(&key, fleet.encode(id), id).await? {
                Created::Ours => return Ok(fleet),
                // Somebody else's has the number: ours comes after it.
                Created::Taken => {}
            }
        }
    })
}

/// Publishes every newest version that the fleet lacks; answers the newest fleet, if there is one.
///
/// # Errors
/// As [`newest`]; also what the versions say.
pub fn catch_up(
    bucket: &Bucket,
    unenrolled: Pipeline,
) -> BoxFuture<'_, Result<Option<CutoverFleet>>> {
    Box::pin(async move {
        let orgs = cutover_log::orgs(bucket).await?;
        let versions: Vec<Option<Hashed>> = stream::iter(orgs)
            .map(|org| cutover_log::newest(bucket, org))
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        let versions: Vec<Hashed> = versions.into_iter().flatten().collect();
        if versions.is_empty() {
            return newest(bucket).await;
        }
        Ok(Some(publish(bucket, unenrolled, &versions).await?))
    })
}

fn head_of((version, hash): &Hashed) -> FleetHead {
    FleetHead {
        version: version.version,
        hash: *hash,
        state: version.state,
        timeline: version.timeline.clone(),
        seal: version.seal,
        mirror_percent: version.mirror_percent,
        old_place: version.old_place.clone(),
    }
}
