//! The versions of the shard map: who may add one, and what they have to be.

use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_map_version::ShardMapVersion;
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::shard_map::Routing;
use skein_shared::window::{TimestampMs, Window};
use skein_shared::{ErrorKind, shard_map_log};

use crate::bucket::stores::open_embedded;

fn routing(modulus: u32, dedicated: &[u64]) -> Routing {
    Routing {
        modulus,
        dedicated: dedicated.iter().map(|org| OrgId(*org)).collect(),
    }
}

#[tokio::test]
async fn workers_that_start_at_once_agree_on_one_shard_map() {
    let (_server, bucket) = open_embedded().await;
    assert_eq!(shard_map_log::load(&bucket).await.unwrap(), None);
    let now = TimestampMs(1_700_000_000_000);
    let wanted = routing(64, &[7]);
    let loads = (0..8).map(|_| shard_map_log::load_or_publish(&bucket, &wanted, now));
    let maps = futures::future::try_join_all(loads).await.unwrap();
    assert!(
        maps.iter()
            .all(|map| *map == maps[0] && map.version_count() == 1)
    );

    let changed = routing(64, &[7, 8]);
    let loads = (0..8).map(|_| shard_map_log::load_or_publish(&bucket, &changed, now));
    let maps = futures::future::try_join_all(loads).await.unwrap();
    assert!(
        maps.iter()
            .all(|map| *map == maps[0] && map.version_count() == 2)
    );
    let from = Window::from_number(Window::of(now).number() + 2).start();
    let before = TimestampMs(from.0 - 1);
    assert_eq!(
        maps[0].shard_of(OrgId(8), Some(before)),
        wanted.shard_of(OrgId(8))
    );
    assert_eq!(
        maps[0].shard_of(OrgId(8), Some(from)),
        changed.shard_of(OrgId(8))
    );
    assert_eq!(
        shard_map_log::load(&bucket).await.unwrap().as_ref(),
        Some(&maps[0])
    );
}

#[tokio::test]
async fn a_change_before_the_last_one_is_in_force_comes_after_it() {
    let (_server, bucket) = open_embedded().await;
    let now = TimestampMs(1_700_000_000_000);
    for (count, modulus) in [(1, 4), (2, 5), (3, 6)] {
        let map = shard_map_log::load_or_publish(&bucket, &routing(modulus, &[]), now).await;
        assert_eq!(map.unwrap().version_count(), count);
    }
}

#[tokio::test]
async fn a_worker_with_old_settings_takes_no_change_of_the_routing_back() {
    let (_server, bucket) = open_embedded().await;
    let now = TimestampMs(1_700_000_000_000);
    let (old, new) = (routing(4, &[]), routing(4, &[9]));
    for routing in [&old, &new] {
        shard_map_log::load_or_publish(&bucket, routing, now)
            .await
            .unwrap();
    }
    let map = shard_map_log::load_or_publish(&bucket, &old, now)
        .await
        .unwrap();
    assert_eq!((map.version_count(), map.newest()), (2, &new));

    let map = shard_map_log::publish(&bucket, &old, now).await.unwrap();
    assert_eq!((map.version_count(), map.newest()), (3, &old));
    let again = shard_map_log::publish(&bucket, &old, now).await.unwrap();
    assert_eq!(again, map, "what is in force is not published twice");
}

#[tokio::test]
async fn a_missing_or_misplaced_shard_map_version_is_refused() {
    let (_server, bucket) = open_embedded().await;
    let now = TimestampMs(0);
    shard_map_log::load_or_publish(&bucket, &routing(4, &[]), now)
        .await
        .unwrap();
    let stray = ShardMapVersion {
        version: 2,
        from: Some(Window::from_number(9).start()),
        routing: routing(5, &[]),
    };
    let key = ObjectKey::ShardMap(2).to_string();
    let id = WriteId::random();
    bucket.put(&key, stray.encode(id), id).await.unwrap();
    let error = shard_map_log::load(&bucket).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("version 1 is missing"),
        "{error}"
    );
    bucket.delete(&key).await.unwrap();
    let misplaced = ObjectKey::ShardMap(1).to_string();
    bucket.put(&misplaced, stray.encode(id), id).await.unwrap();
    assert!(shard_map_log::load(&bucket).await.is_err());
}
