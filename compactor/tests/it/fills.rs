//! What comes in later for a lost span is compacted like anything else, once, however late it comes.

use skein_shared::fills::{Filled, Fills};
use skein_shared::format::fill_entry::FillEntry;
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::ids::{FlushId, Tenure, WriteId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};

use crate::read_back::{assert_same, expected, live_points};
use crate::world::{NOON, World, chain, flush_of, record, tenure_of};

fn entry([from, to]: [i64; 2], kind: EntryKind) -> LedgerEntry {
    LedgerEntry {
        chain: chain(0),
        span: Span::new(Offset(from), Offset(to)),
        kind,
        frames: 0,
        times: None,
        last: None,
    }
}

async fn append(world: &World, entry: &LedgerEntry) {
    let ledger = Ledger::new(world.bucket.clone());
    let genesis = Genesis {
        chain: chain(0),
        start: Offset(0),
        policy: StartPolicy::Earliest,
    };
    ledger.create_genesis(&genesis).await.unwrap();
    ledger.append(entry, WriteId::random()).await.unwrap();
}

async fn fill(world: &World, flush: FlushId, span: [i64; 2]) {
    let tenure = tenure_of(Tenure(1), 0);
    let fill = FillEntry {
        hole: Offset(0),
        entry: entry(span, EntryKind::Flushed { flush, tenure }),
    };
    let fills = Fills::new(world.bucket.clone());
    let filled = fills.append(&fill, WriteId::random()).await.unwrap();
    assert_eq!(filled, Filled::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_a_fill_counts_once_and_only_where_a_fill_names_it() {
    let world = World::new().await;
    let at = |offset| record((0, offset, NOON), (7, 1), &[(NOON + offset, offset as f64)]);
    let records: Vec<_> = (0..30).map(at).collect();
    let lost = EntryKind::LostSpan {
        reason: "retention".into(),
    };
    append(&world, &entry([0, 10], lost)).await;
    let flushed = flush_of(records[10..20].to_vec());
    world.seal(&flushed, Tenure(1)).await;
    let (flush, tenure) = (flushed.id, tenure_of(Tenure(1), 0));
    append(
        &world,
        &entry([10, 20], EntryKind::Flushed { flush, tenure }),
    )
    .await;
    world.compact().await;
    assert_same(&live_points(&world).await, &expected(&records[10..20]));

    // Sealed for the hole, but no fill names it yet.
    let late = flush_of(records[..10].to_vec());
    world.seal(&late, Tenure(1)).await;
    assert_eq!(world.compact().await.steps.generations, 0);

    // A part of it counts, then the rest, from the same objects.
    fill(&world, late.id, [0, 4]).await;
    assert_eq!(world.compact().await.steps.counts.records, 4);
    let now = [&records[..4], &records[10..20]].concat();
    assert_same(&live_points(&world).await, &expected(&now));
    fill(&world, late.id, [4, 10]).await;
    assert_eq!(world.compact().await.steps.counts.records, 6);
    assert_same(&live_points(&world).await, &expected(&records[..20]));
    let writes = world.bucket.requests().writes();
    assert_eq!(world.compact().await.steps.generations, 0);
    assert_eq!(world.bucket.requests().writes(), writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_of_what_is_not_lost_stops_the_compactor_by_name() {
    let world = World::new().await;
    let at = |offset| record((0, offset, NOON), (7, 1), &[(NOON + offset, 1.0)]);
    world.flush(&flush_of((0..10).map(at).collect())).await;
    let other = flush_of((0..10).map(at).collect());
    world.seal(&other, Tenure(1)).await;
    fill(&world, other.id, [0, 10]).await;
    let error = world
        .compact_with(&crate::world::settings())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is not lost") && error.contains("ledger/src/points/0/0/"),
        "{error}"
    );
}
