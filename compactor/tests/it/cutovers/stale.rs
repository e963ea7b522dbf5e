//! Compactors that go by older cutovers than others do.

use skein_compactor::rebuild::Mode;
use skein_shared::window::TimeSpan;

use super::{EDGE, FOREVER, counts_of, kept};
use crate::accounts::balanced;
use crate::fleets::new_writes_within;
use crate::incremental::records;
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::rebuilds::rebuilt;
use crate::world::{DAY, NOON, World, flush_of, settings};

const EARLIER: i64 = EDGE - DAY;

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_compactor_counts_what_it_left_out_and_a_rebuild_brings_it_in() {
    let world = World::new().await;
    let all = records(21, 60);
    world.go_by(new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], None)]).await);
    world.flush(&flush_of(all.clone())).await;
    world.compact().await;
    // By the fleet that it did not know these were ours: the mark says up to where they may be missing.
    world.go_by(new_writes_within(&world, 2, &[(7, [EARLIER, FOREVER], None)]).await);
    let left_out = kept(&expected(&all), 7, EARLIER..EDGE);
    let latest = left_out.keys().filter(|(key, _)| key.org.0 == 7);
    let latest = latest.map(|(_, ms)| *ms).max();
    let (counts, mark) = counts_of(&balanced(&world).await, 7);
    assert!(counts.not_owned > 0);
    assert_eq!(mark, latest);
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    let owned = kept(&expected(&all), 7, EARLIER..FOREVER);
    assert_same(&live_points(&world).await, &owned);
    let (_, mark) = counts_of(&balanced(&world).await, 7);
    assert!(mark < Some(EARLIER), "{mark:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_compactor_leaves_nothing_out_where_others_know_more() {
    let world = World::new().await;
    let all = records(22, 60);
    let old = new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], None)]).await;
    let new = new_writes_within(&world, 2, &[(7, [EARLIER, FOREVER], None)]).await;
    world.go_by(new.clone());
    world.flush(&flush_of(all[..30].to_vec())).await;
    world.compact().await;
    world.flush(&flush_of(all[30..].to_vec())).await;
    world.go_by(old.clone());
    let refused = world.compact_with(&settings()).await.unwrap_err();
    assert!(refused.to_string().contains("older timelines"), "{refused}");
    // It may write more than others know of, and what they know of stays.
    world.go_by(old.unfiltered());
    world.compact().await;
    for manifest in manifests(&world.bucket).await.into_values() {
        assert!([0, 2].contains(&manifest.versions.timeline));
    }
    world.go_by(new);
    world.compact().await;
    let owned = kept(&expected(&all), 7, EARLIER..FOREVER);
    assert_same(&live_points(&world).await, &owned);
}
