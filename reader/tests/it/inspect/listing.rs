//! Rules of `ls` and `cat`.

use skein_reader::inspect::{cat::cat, ls::ls};
use skein_shared::ErrorKind;

use crate::inspect::world::{POINTS, World};

#[tokio::test]
async fn a_listing_adds_up_over_shards_windows_and_segments() {
    let world = World::build().await;
    let listing = ls(&world.bucket).await.unwrap();
    assert_eq!(listing.shards.len(), 3);
    assert_eq!(listing.segments.len(), 6);
    assert_eq!(listing.chains.len(), 2);
    let points: u64 = listing.shards.iter().map(|row| row.points).sum();
    assert_eq!(points, 36 * POINTS as u64);
    assert_eq!(
        listing.windows.iter().map(|row| row.points).sum::<u64>(),
        points
    );
    assert_eq!(
        listing.segments.iter().map(|row| row.points).sum::<u64>(),
        points
    );
    assert!(listing.shards.iter().all(|row| row.behind_offsets == 0));
    assert_eq!(listing.chains[1].end, Some(20));
    assert_eq!(listing.chains[1].compacted_to, Some(20));
    assert_eq!(listing.quarantine.undecodable_records, 2);
    assert_eq!(listing.quarantine.unroutable_records, 2);
    serde_json::to_string(&listing).unwrap();
}

#[tokio::test]
async fn an_empty_bucket_lists_nothing() {
    let world = World::build().await;
    for object in world.bucket.list("", None).await.unwrap() {
        world.bucket.delete(&object.key).await.unwrap();
    }
    let listing = ls(&world.bucket).await.unwrap();
    assert!(listing.shards.is_empty() && listing.chains.is_empty());
}

#[tokio::test]
async fn every_object_can_be_shown() {
    let world = World::build().await;
    let mut kinds = std::collections::BTreeSet::new();
    for object in world.bucket.list("", None).await.unwrap() {
        let shown = cat(&world.bucket, &object.key, 3).await.unwrap();
        assert_eq!(shown["key"], object.key);
        assert_eq!(shown["object_bytes"], object.object_bytes);
        if shown["kind"] == "state object" {
            let frames = shown["footer"]["frames"].as_u64().unwrap();
            let records = shown["records"].as_array().unwrap();
            assert_eq!(records.len() as u64, frames.min(3));
        }
        kinds.insert(shown["kind"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds.len(), 12, "{kinds:?}");
}

#[tokio::test]
async fn a_key_that_is_none_of_ours_is_refused_by_name() {
    let world = World::build().await;
    let error = cat(&world.bucket, "some/thing", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("some/thing"));
}
