//! A compactor that cannot know the newest cutovers writes more, never less.

use skein_config::compactor::CompactorSettings;
use skein_config::cutover::timelines::OwnershipFilter::{self, Everything, Owned};
use skein_config::cutover::timelines::Timelines;
use skein_shared::format::compact_plan::CompactPlan;
use skein_shared::format::shard_manifest::Layer;
use skein_shared::ids::PlanId;
use skein_shared::units::ByteCount;

use super::{EDGE, FOREVER, compact_closed, counts_of, kept};
use crate::accounts::balanced;
use crate::fleets::new_writes_within;
use crate::incremental::{records, summaries};
use crate::plans::{plan, split_settings, task};
use crate::read_back::{assert_same, expected, live_points, manifests};
use crate::world::{DAY, NOON, World, flush_of, settings};

fn by(timelines: &Timelines, filter: OwnershipFilter) -> Timelines {
    match filter {
        Owned => timelines.clone(),
        Everything => timelines.unfiltered(),
    }
}

async fn run_tasks(world: &World, settings: &CompactorSettings, (id, plan): (PlanId, CompactPlan)) {
    for index in 0..plan.tasks.len() {
        task(world, settings, id, index).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_filtered_is_filtered_by_the_next_merge_to_the_same_bytes() {
    let all = records(31, 200);
    let mut ends = Vec::new();
    for (filter, budget) in [(Owned, 1 << 28), (Everything, 1 << 28), (Everything, 4_000)] {
        // With little memory each series is merged in slices.
        let settings = CompactorSettings {
            memory_budget: ByteCount(budget),
            ..settings()
        };
        let world = World::new().await;
        let timelines = new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], None)]).await;
        world.go_by(by(&timelines, filter));
        for part in all.chunks(50) {
            world.flush(&flush_of(part.to_vec())).await;
            world.compact_with(&settings).await.unwrap();
        }
        // All windows are over, and nobody who does not filter closes them.
        world.tell_at_end(NOON + 3 * DAY).await;
        world.compact_with(&settings).await.unwrap();
        if filter == Everything {
            assert_same(&live_points(&world).await, &expected(&all));
            let live = manifests(&world.bucket).await;
            let mut segments = live.values().flat_map(|manifest| &manifest.segments);
            assert!(segments.all(|s| s.is_unfiltered() && s.layer != Layer::Base));
            world.go_by(timelines);
            world.compact_with(&settings).await.unwrap();
        }
        let live = manifests(&world.bucket).await;
        let mut segments = live.values().flat_map(|manifest| &manifest.segments);
        assert!(segments.all(|s| s.layer == Layer::Base && !s.is_unfiltered()));
        let (counts, mark) = counts_of(&balanced(&world).await, 7);
        assert!(counts.not_owned > 0);
        // Where both are unfiltered one of two at the same time is a duplicate first.
        let gone = counts.not_owned + counts.duplicates;
        ends.push((gone, mark, summaries(&world).await));
    }
    for end in &ends[1..] {
        assert_eq!((end.0, end.1), (ends[0].0, ends[0].1));
        for (place, summary) in &ends[0].2 {
            assert_eq!(end.2.get(place), Some(summary), "{place:?}");
        }
        assert_eq!(end.2.len(), ends[0].2.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_points_that_were_not_filtered_are_so_without_their_base() {
    let world = World::new().await;
    let all = records(32, 200);
    let timelines = new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], None)]).await;
    world.go_by(timelines.clone());
    world.flush(&flush_of(all[..190].to_vec())).await;
    compact_closed(&world).await;
    world.go_by(timelines.unfiltered());
    world.flush(&flush_of(all[190..].to_vec())).await;
    compact_closed(&world).await;
    let unfiltered = async || {
        let live = manifests(&world.bucket).await;
        let segments = live.values().flat_map(|manifest| &manifest.segments);
        segments.filter(|segment| segment.is_unfiltered()).count()
    };
    assert!(unfiltered().await > 0);
    world.go_by(timelines);
    compact_closed(&world).await;
    assert_eq!(unfiltered().await, 0);
    let owned = kept(&expected(&all), 7, EDGE..FOREVER);
    assert_same(&live_points(&world).await, &owned);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_plan_filter_what_was_not_filtered() {
    let world = World::new().await;
    let all = records(33, 200);
    let timelines = new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], None)]).await;
    let run_plans = async |settings: &CompactorSettings| {
        while let Some(planned) = plan(&world, settings).await.plan {
            run_tasks(&world, settings, planned).await;
        }
    };
    for (part, filter) in all.chunks(50).zip([Owned, Everything, Everything, Owned]) {
        world.go_by(by(&timelines, filter));
        world.flush(&flush_of(part.to_vec())).await;
        run_plans(&split_settings()).await;
    }
    world.tell_at_end(NOON + 3 * DAY).await;
    run_plans(&settings()).await;
    let owned = kept(&expected(&all), 7, EDGE..FOREVER);
    assert_same(&live_points(&world).await, &owned);
    balanced(&world).await;
}
