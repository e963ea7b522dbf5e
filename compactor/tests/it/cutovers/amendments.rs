//! After the old pipeline has ended the new one writes what comes for its times.

use skein_compactor::rebuild::{Found, Mode};
use skein_shared::window::TimeSpan;

use super::{EDGE, FOREVER, compact_closed, counts_of};
use crate::accounts::balanced;
use crate::fleets::new_writes_within;
use crate::read_back::{assert_same, expected, live_points};
use crate::rebuilds::rebuilt;
use crate::world::{NOON, Record, World, flush_of, record};

/// Up to here the old pipeline has read each partition.
const END: i64 = 5;

/// A record of two points before the edge, and one at it. The sooner it was sent, the later it says that it was.
fn written(offset: i64, value: f64) -> Record {
    let points = [(EDGE - 2, value), (EDGE - 1, value), (EDGE, value)];
    record((0, offset, NOON - offset), (7, 1), &points)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_amend_from_the_end_of_the_old_pipeline_on_and_none_before_competes_with_them() {
    let world = World::new().await;
    let timelines = new_writes_within(&world, 1, &[(7, [EDGE, FOREVER], Some(END))]).await;
    world.go_by(timelines);
    // Of equal times the one with the later record timestamp would win, if it were ours: that with the lower offset.
    let before = [written(END - 2, 1.0), written(END - 1, 2.0)];
    let amending = [written(END, 3.0), written(END + 1, 4.0)];
    for records in [&before[..1], &before[1..], &amending[..1], &amending[1..]] {
        world.seal_and_compact(records).await;
    }
    let mut all = expected(&amending);
    // At the edge all of them count.
    let everything = expected(before.iter().chain(&amending));
    all.extend(everything.into_iter().filter(|((_, ms), _)| *ms >= EDGE));
    assert_same(&live_points(&world).await, &all);
    let (counts, mark) = counts_of(&balanced(&world).await, 7);
    assert_eq!((counts.not_owned, mark), (4, Some(EDGE - 1)));

    // A base does not know which of its points amend, and keeps them all, also when more come for it.
    compact_closed(&world).await;
    assert_same(&live_points(&world).await, &all);
    let late = [written(END + 2, 5.0), written(END + 3, 6.0)];
    for record in &late {
        world.seal_and_compact(std::slice::from_ref(record)).await;
    }
    compact_closed(&world).await;
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    assert!(rows.iter().all(|row| row.found == Found::Same), "{rows:?}");
    let (counts, _) = counts_of(&balanced(&world).await, 7);
    assert_eq!(counts.not_owned, 4);
}

impl World {
    async fn seal_and_compact(&self, records: &[Record]) {
        self.flush(&flush_of(records.to_vec())).await;
        self.compact().await;
    }
}
