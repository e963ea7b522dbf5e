//! A base keeps no orders. What lies beyond its seal is a later write, in every later merge and in a rebuild alike.

use std::collections::BTreeMap;

use skein_compactor::rebuild::{Found, Mode};
use skein_shared::format::seal::Seal;
use skein_shared::format::shard_manifest::{Layer, ShardManifest};
use skein_shared::ids::{OrgId, SeriesKey, ShardId};
use skein_shared::offset::Offset;
use skein_shared::payload::{Limits, PayloadView};
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::window::{TimeSpan, TimestampMs, Window};

use crate::incremental::{Dice, records};
use crate::read_back::{Place, live_points, manifests};
use crate::rebuilds::rebuilt;
use crate::world::{DAY, NOON, Record, World, chain, flush_of, record};

const SHARD: ShardId = ShardId::Dedicated(OrgId(1000));

fn noon() -> Window {
    Window::of(TimestampMs(NOON))
}

async fn seals_of(world: &World, manifest: &ShardManifest, window: Window) -> Vec<Seal> {
    let mut seals = Vec::new();
    for named in &manifest.seals {
        if named.windows.contains(&window) {
            let bytes = world.bucket.get(&named.key).await.unwrap();
            seals.push(Seal::decode(&bytes).unwrap().1);
        }
    }
    seals
}

/// The value of the one point at `NOON` of series 7 of org 1000.
async fn assert_at_noon(world: &World, value: f64, why: &str) {
    let live = live_points(world).await;
    let (_, (bits, _)) = live.iter().find(|((_, ms), _)| *ms == NOON).unwrap();
    assert_eq!(f64::from_bits(*bits).to_bits(), value.to_bits(), "{why}");
}

/// One record with the time of noon and many that no other has.
fn noon_and(offset: i64, sent: i64, value: f64, others: i64) -> Record {
    let others = (1..=others).map(|i| (NOON + offset * 100_000 + i * 1000, 0.5));
    let points: Vec<_> = std::iter::once((NOON, value)).chain(others).collect();
    record((0, offset, sent), (1000, 7), &points)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_has_no_orders_and_a_seal_with_the_shards_positions() {
    let world = World::new().await;
    world
        .flush(&flush_of(vec![noon_and(0, NOON, 1.0, 20)]))
        .await;
    world.compact().await;
    assert!(manifests(&world.bucket).await[&SHARD].seals.is_empty());
    world.tell_at_end(NOON + 2 * DAY).await;
    world.compact().await;
    let manifest = manifests(&world.bucket).await.remove(&SHARD).unwrap();
    let base = manifest.raw_segments().next().unwrap();
    assert_eq!(base.layer, Layer::Base);
    let file = SegmentFile::open(&world.bucket, base).await.unwrap();
    assert!(file.chains().chains().is_empty());
    let seals = seals_of(&world, &manifest, noon()).await;
    assert_eq!(seals.len(), 1);
    assert_eq!(seals[0].positions, manifest.positions);
    assert_eq!(seals[0].positions[&chain(0)], Offset(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_seal_wins_though_it_was_sent_before() {
    let world = World::new().await;
    world
        .flush(&flush_of(vec![noon_and(0, NOON + 500, 1.0, 20)]))
        .await;
    world.tell_at_end(NOON + 2 * DAY).await;
    world.compact().await;
    assert_at_noon(&world, 1.0, "the base").await;

    world
        .flush(&flush_of(vec![noon_and(1, NOON + 400, 2.0, 2)]))
        .await;
    world.compact().await;
    assert_at_noon(&world, 2.0, "merged by readers").await;
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    assert!(rows.iter().all(|row| row.found == Found::OtherPoints));
    assert_at_noon(&world, 2.0, "merged by a rebuild").await;
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    assert!(rows.iter().all(|row| row.found == Found::Same), "{rows:?}");

    // The first of the two is so much that the second has the base written again.
    for (offset, sent, value) in [(2, NOON + 300, 3.0), (3, NOON + 200, 4.0)] {
        world
            .flush(&flush_of(vec![noon_and(offset, sent, value, 30)]))
            .await;
        world.compact().await;
    }
    let manifest = manifests(&world.bucket).await.remove(&SHARD).unwrap();
    assert_eq!(manifest.raw_segments().count(), 1);
    assert_eq!(seals_of(&world, &manifest, noon()).await.len(), 3);
    // Both lie beyond the same seals: of them the one that was sent later wins.
    assert_at_noon(&world, 3.0, "merged by a compactor").await;
    let rows = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
    assert!(rows.iter().all(|row| row.found == Found::Same), "{rows:?}");
}

/// Records whose timestamps say nothing of when they come.
fn shuffled(seed: u64) -> Vec<Record> {
    let mut dice = Dice(seed);
    let mut records = records(seed, 160);
    for record in &mut records {
        record.timestamp = Some(NOON + DAY + i64::from(dice.roll(40)));
    }
    records
}

/// The last write of every point, by (seals that the record lies beyond, timestamp, position, index).
async fn last_writes(world: &World, records: &[Record]) -> BTreeMap<Place, u64> {
    let mut seals: BTreeMap<(ShardId, Window), Vec<Seal>> = BTreeMap::new();
    for (shard, manifest) in manifests(&world.bucket).await {
        let windows = manifest.raw_segments().map(|segment| segment.window);
        for window in windows {
            seals.insert((shard, window), seals_of(world, &manifest, window).await);
        }
    }
    let mut writes = Vec::new();
    for record in records {
        let view = PayloadView::parse(&record.value, &Limits::default(), None).unwrap();
        let key: SeriesKey = view.series();
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        view.points().decode_into(&mut timestamps, &mut values);
        for (index, (ms, value)) in timestamps.into_iter().zip(values).enumerate() {
            let window = Window::of(TimestampMs(ms));
            let place = (world.map.owner_of(key.org, window), window);
            let is_beyond = |seal: &&Seal| {
                let sealed_to = seal.positions.get(&chain(record.partition));
                sealed_to.is_none_or(|to| to.0 <= record.offset)
            };
            let beyond = seals[&place].iter().filter(is_beyond).count();
            let order = (beyond, record.timestamp, record.partition, record.offset);
            writes.push((order, index, (key, ms), value.to_bits()));
        }
    }
    writes.sort();
    writes
        .into_iter()
        .map(|(_, _, place, bits)| (place, bits))
        .collect()
}

async fn assert_last_writes_are_live(world: &World, records: &[Record], why: &str) {
    let live = live_points(world).await.into_iter();
    let live: BTreeMap<Place, u64> = live.map(|(place, (bits, _))| (place, bits)).collect();
    let expected = last_writes(world, records).await;
    let differing = expected
        .iter()
        .filter(|(place, bits)| live.get(place) != Some(bits))
        .count();
    assert_eq!(
        (differing, live.len()),
        (0, expected.len()),
        "{why}, {} points",
        expected.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_seals_and_rebuilds_agree_on_the_last_write_over_random_histories() {
    for seed in 20..26 {
        let records = shuffled(seed);
        let mut dice = Dice(seed * 7);
        let world = World::new().await;
        let mut written = 0;
        while written < records.len() {
            let until = (written + 1 + dice.roll(60) as usize).min(records.len());
            go_on(&world, &mut dice, &records[written..until]).await;
            written = until;
            let why = format!("seed {seed}, {written} records");
            assert_last_writes_are_live(&world, &records[..written], &why).await;
        }
        rebuilt(&world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
        let why = format!("seed {seed}, rebuilt");
        assert_last_writes_are_live(&world, &records, &why).await;
        let rows = rebuilt(&world, TimeSpan::ALL, Mode::Compare).await;
        assert!(rows.iter().all(|row| row.found == Found::Same), "{rows:?}");
    }
}

/// A flush and a run; now and then the watermark moves before it, or everything is rebuilt after it.
async fn go_on(world: &World, dice: &mut Dice, records: &[Record]) {
    world.flush(&flush_of(records.to_vec())).await;
    if dice.roll(3) == 0 {
        let days = i64::from(dice.roll(3));
        world.tell_at_end(NOON + days * DAY + DAY / 2).await;
    }
    world.compact().await;
    if dice.roll(4) == 0 {
        rebuilt(world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await;
    }
}
