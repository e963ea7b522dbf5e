//! Rules of `explain`.

use skein_reader::inspect::explain::explain;
use skein_shared::ErrorKind;
use skein_shared::format::object_key::Prefix;
use skein_shared::ids::WriteId;

use crate::inspect::world::World;

#[tokio::test]
async fn every_byte_of_a_segment_has_a_use_and_every_point_an_org() {
    let world = World::build().await;
    let mut segments = 0;
    for entry in world.manifests.values().flat_map(|it| &it.segments) {
        let explained = explain(&world.bucket, &entry.key, 2).await.unwrap();
        let summary = &entry.summary;
        assert_eq!(explained.object_bytes, summary.size_bytes);
        let bytes: u64 = explained.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(bytes, summary.size_bytes);
        let points_of = |column: &str| -> u64 {
            let parts = explained.parts.iter();
            let parts = parts.filter(|part| part.name.starts_with(column));
            parts.map(|part| part.points).sum()
        };
        assert_eq!(points_of("timestamps "), summary.points);
        assert_eq!(points_of("values "), summary.points);
        let of_orgs = |of: fn(&_) -> u64| explained.orgs.iter().map(of).sum::<u64>();
        assert_eq!(of_orgs(|org| org.points), summary.points);
        assert_eq!(of_orgs(|org| org.series), summary.series);
        let largest = &explained.largest_series;
        assert_eq!(largest.len() as u64, summary.series.min(2));
        assert!(largest.is_sorted_by(|a, b| a.bytes >= b.bytes));
        segments += 1;
    }
    assert_eq!(segments, 6);
}

#[tokio::test]
async fn a_damaged_block_is_named_by_its_place_and_what_is_no_segment_by_its_key() {
    let world = World::build().await;
    let key = &world.manifests.values().next().unwrap().segments[0].key;
    let mut bytes = world.bucket.get(key).await.unwrap().to_vec();
    bytes[20] ^= 1;
    let put = world.bucket.put(key, bytes.into(), WriteId::random());
    put.await.unwrap();
    let error = explain(&world.bucket, key, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(
        text.contains(key) && text.contains("crc32c of the block"),
        "{text}"
    );
    let manifests = world.bucket.list(Prefix::MANIFESTS, None).await.unwrap();
    let manifest = &manifests[0].key;
    let error = explain(&world.bucket, manifest, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(manifest), "{error}");
}
