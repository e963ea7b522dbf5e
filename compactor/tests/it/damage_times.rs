//! Which windows a damage leaves incomplete.

use skein_shared::window::{TimeSpan, TimestampMs};

use crate::damage::{DEDICATED, flip, manifest_of, middle_of_block, records_of, state_object_of};
use crate::world::{DAY, NOON, Record, World, flush_of, record};

/// Compacts the records of org 1000 with their first block damaged; answers which event times may be missing.
async fn missing_times(records: Vec<Record>) -> TimeSpan {
    let world = World::new().await;
    world.flush(&flush_of(records)).await;
    let key = state_object_of(&world, DEDICATED).await;
    flip(&world, &key, middle_of_block(&world, &key, 0).await).await;
    world.compact().await;
    let manifest = manifest_of(&world, DEDICATED).await;
    assert_eq!(manifest.damages.len(), 1);
    manifest.damages[0].times
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_timestamp_leaves_no_window_out_that_it_may_have_points_of() {
    let org = 1000;
    let timed = records_of(org, 1, 20);
    let bounded = missing_times(timed.clone()).await;
    assert!(bounded.contains(TimestampMs(NOON)) && bounded != TimeSpan::ALL);
    // Nothing bounds its points, neither before the others nor behind them.
    let old = NOON - 3000 * DAY;
    for place in [0, 5] {
        let mut mixed = timed.clone();
        let offset = mixed[place].offset;
        mixed[place] = Record {
            timestamp: None,
            ..record((1, offset, 0), (org, 1), &[(old, 1.0)])
        };
        assert_eq!(missing_times(mixed).await, TimeSpan::ALL, "record {place}");
    }
}
