//! The versions of the shard map in the bucket: gapless, created if absent, never changed.

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
pub async fn load(bucket: &Bucket) -> Result<Option<ShardMap>> {
    let (map, _) = load_versions(bucket).await?;
    Ok(map)
}

/// Loads the map, publishing `routing` as its first version, or as a further one when the newest differs.
/// A further version is in force from the start of the second window after the one that holds `now`, so
/// that every worker knows it before a record needs it.
///
/// # Errors
/// As [`load`], and what the bucket says.
pub async fn load_or_publish(
    bucket: &Bucket,
    routing: &Routing,
    now: TimestampMs,
) -> Result<ShardMap> {
    loop {
        let (map, newest_from) = load_versions(bucket).await?;
        if let Some(map) = &map
            && map.newest() == routing
        {
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
