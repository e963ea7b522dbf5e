//! `verify` and `ls` know fills: of holes that the ledger has, contiguous, and never beyond them.

use bytes::Bytes;
use skein_reader::inspect::ls::ls;
use skein_reader::inspect::verify::{VerifyReport, verify};
use skein_shared::fills::key_of;
use skein_shared::format::fill_entry::FillEntry;
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::ids::WriteId;
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::window::TimestampMs;

use crate::inspect::world::{World, chain};

fn entry([from, to]: [i64; 2]) -> LedgerEntry {
    LedgerEntry {
        chain: chain(0),
        span: Span::new(Offset(from), Offset(to)),
        kind: EntryKind::LostSpan {
            reason: "retention".into(),
        },
        frames: 0,
        times: None,
        last: None,
    }
}

fn fill(hole: i64, span: [i64; 2]) -> FillEntry {
    FillEntry {
        hole: Offset(hole),
        entry: entry(span),
    }
}

async fn put(world: &World, fill: &FillEntry) -> String {
    let (key, id) = (key_of(fill), WriteId::random());
    world.bucket.put(&key, fill.encode(id), id).await.unwrap();
    key
}

async fn check(world: &World) -> VerifyReport {
    let now = TimestampMs(0);
    verify(&world.bucket, now, &mut |_| {}).await.unwrap()
}

/// A world whose first chain ends with a hole of ten offsets; where that begins.
async fn with_a_hole() -> (World, i64) {
    let world = World::build().await;
    let ledger = Ledger::new(world.bucket.clone());
    let end = ledger.end(&chain(0), None).await.unwrap().unwrap().offset.0;
    let lost = entry([end, end + 10]);
    ledger.append(&lost, WriteId::random()).await.unwrap();
    (world, end)
}

#[tokio::test]
async fn fills_of_a_hole_are_sound_and_listed() {
    let (world, hole) = with_a_hole().await;
    put(&world, &fill(hole, [hole, hole + 3])).await;
    put(&world, &fill(hole, [hole + 3, hole + 5])).await;
    let report = check(&world).await;
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.checked.fills, 2);
    let holes = ls(&world.bucket).await.unwrap().holes;
    let [row] = &holes[..] else {
        panic!("{holes:?}");
    };
    assert_eq!(
        [row.from, row.to, row.filled_to],
        [hole, hole + 10, hole + 5]
    );
    assert_eq!(row.compacted_to, Some(hole));
}

#[tokio::test]
async fn a_fill_that_does_not_fit_its_hole_is_located() {
    let (world, hole) = with_a_hole().await;
    put(&world, &fill(hole, [hole, hole + 3])).await;
    let cases = [
        (
            fill(hole, [hole + 4, hole + 5]),
            "the fills before it end at",
        ),
        (fill(hole, [hole + 3, hole + 11]), "only"),
        (fill(hole - 1, [hole - 1, hole]), "has no lost span at"),
    ];
    for (wrong, what) in cases {
        let key = put(&world, &wrong).await;
        let findings = check(&world).await.findings;
        let [finding] = &findings[..] else {
            panic!("{what}: {findings:?}");
        };
        assert_eq!(finding.object, key);
        assert!(finding.what.contains(what), "{finding}");
        world.bucket.delete(&key).await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_fill_and_a_position_beyond_all_fills_are_located() {
    let (world, hole) = with_a_hole().await;
    let key = put(&world, &fill(hole, [hole, hole + 3])).await;
    let mut bytes = world.bucket.get(&key).await.unwrap().to_vec();
    bytes[40] ^= 1;
    let damaged = Bytes::from(bytes);
    world
        .bucket
        .put(&key, damaged, WriteId::random())
        .await
        .unwrap();
    let findings = check(&world).await.findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].object, key);
    world.bucket.delete(&key).await.unwrap();

    let manifest = world.manifests.values().next().unwrap();
    let mut ahead = manifest.clone();
    let first = fill(hole, [hole, hole + 3]);
    ahead.fills.insert(first.hole(), Offset(hole + 3));
    let newest = skein_shared::format::object_key::ObjectKey::Manifest {
        shard: ahead.shard,
        generation: ahead.generation,
    };
    let id = WriteId::random();
    let body = ahead.encode(id);
    world
        .bucket
        .put(&newest.to_string(), body, id)
        .await
        .unwrap();
    let findings = check(&world).await.findings;
    assert!(
        findings.iter().any(|finding| finding.object == key),
        "{findings:?}"
    );
}
