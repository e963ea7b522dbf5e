//! The versions of the shard map in the bucket: gapless, created if absent, never changed.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::format::object_key::{ObjectKey, Prefix};
use crate::format::shard_map_version::ShardMapVersion;
use crate::ids::WriteId;
use crate::shard_map::{Routing, ShardMap};
use crate::window::{TimestampMs, Window};

const FORMAT: &str = "shard map";
const CONCURRENT_GETS: usize = 8;

/// Loads every version; `None` when nothing was ever published.
///
/// # Errors
/// `Corrupt` when a version is damaged, missing or does not follow the one before.
pub fn load(bucket: &Bucket) -> BoxFuture<'_, Result<Option<ShardMap>>> {
    Box::pin(async move {
        let (map, _) = load_versions(bucket).await?;
        Ok(map)
    })
}

/// Loads the map, publishing `routing` as its first version, or as a further one when no version routes so.
/// A further version is in force from the start of the second window after the one that holds `now`, so
/// that every worker knows it before a record needs it.
///
/// A routing that an earlier version has is not published: in a rolling change, a worker that restarts with
/// the old settings must not take the change back. It is warned of; [`publish`] goes back on purpose.
///
/// # Errors
/// As [`load`], and what the bucket says.
pub fn load_or_publish<'a>(
    bucket: &'a Bucket,
    routing: &'a Routing,
    now: TimestampMs,
) -> BoxFuture<'a, Result<ShardMap>> {
    Box::pin(async move {
        publish_unless(bucket, (routing, now), |map| {
        let Some(version) = map.version_of(routing) else {
            return false;
        };
        let newest = map.version_count() - 1;
        if version < newest {
            tracing::warn!(
                version,
                newest,
                "the settings' [shards] are those of an earlier version of the shard map: going on with the \
                 newest; correct the settings, or go back with `skein config publish-shards`"
            );
        }
        true
    })
    .await
    })
}

/// As [`load_or_publish`], but also goes back to the routing of an earlier version.
///
/// # Errors
/// As [`load_or_publish`].
pub fn publish<'a>(
    bucket: &'a Bucket,
    routing: &'a Routing,
    now: TimestampMs,
) -> BoxFuture<'a, Result<ShardMap>> {
    Box::pin(
        async move { publish_unless(bucket, (routing, now), |map| map.newest() == routing).await },
    )
}

async fn publish_unless(
    bucket: &Bucket,
    (routing, now): (&Routing, TimestampMs),
    is_enough: impl Fn(&ShardMap) -> bool,
) -> Result<ShardMap> {
    loop {
        let (map, newest_from) = load_versions(bucket).await?;
        if let Some(map) = map.as_ref().filter(|map| is_enough(map)) {
            return Ok(map.clone());
        }
        let version = map.as_ref().map_or(0, |map| map.version_count() as u64);
        let from = map.is_some().then(|| first_free_window(newest_from, now));
        let next = ShardMapVersion {
            version,
            from,
            routing: routing.clone(),
        };
        let key = ObjectKey::ShardMap(version).to_string();
        let id = WriteId::random();
        match bucket.create(&key, next.encode(id), id).await? {
            // Either way the log has grown: what it says now is what counts.
            Created::Ours | Created::Taken => {}
        }
    }
}

/// The second window after `now`, or the one after the newest version's if that is later still.
fn first_free_window(newest_from: Option<TimestampMs>, now: TimestampMs) -> TimestampMs {
    let after_now = Window::of(now).number() + 2;
    let after_newest = newest_from.map_or(after_now, |from| Window::of(from).number() + 1);
    Window::from_number(after_now.max(after_newest)).start()
}

async fn load_versions(bucket: &Bucket) -> Result<(Option<ShardMap>, Option<TimestampMs>)> {
    let listed = bucket.list(Prefix::SHARD_MAP, None).await?;
    let versions: Vec<(String, ShardMapVersion)> = futures::stream::iter(listed)
        .map(|object| read_version(bucket, object.key))
        .buffered(CONCURRENT_GETS)
        .try_collect()
        .await?;
    let mut map: Option<ShardMap> = None;
    let mut newest_from = None;
    for (expected, (key, version)) in (0_u64..).zip(versions) {
        let refuse = |reason: &str| Err(Error::decode(FORMAT, 0, reason).in_object(&key));
        if version.version != expected {
            return refuse(&format!("version {expected} is missing before it"));
        }
        match (&mut map, version.from) {
            (None, _) => map = Some(ShardMap::new(version.routing)),
            (Some(map), Some(from)) if newest_from.is_none_or(|newest| newest < from) => {
                map.push(from, version.routing);
                newest_from = Some(from);
            }
            (Some(_), _) => return refuse("it does not start after the version before it"),
        }
    }
    Ok((map, newest_from))
}

async fn read_version(bucket: &Bucket, key: String) -> Result<(String, ShardMapVersion)> {
    let bytes = bucket.get(&key).await?;
    let (_, version) = ShardMapVersion::decode(&bytes).map_err(|error| error.in_object(&key))?;
    if ObjectKey::ShardMap(version.version).to_string() == key {
        return Ok((key, version));
    }
    let reason = format!("holds version {}", version.version);
    Err(Error::decode(FORMAT, 0, reason).in_object(&key))
}
