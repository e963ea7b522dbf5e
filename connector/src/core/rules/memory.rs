//! Rules about memory: whatever the shards, the skew and the store do, the buffers keep their share (SK-6).

use std::collections::BTreeSet;

use fastrand::Rng;
use skein_config::settings::connector_floor;
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::units::ByteCount;

use crate::core::event::Event;
use crate::core::model::{World, options};
use crate::core::rules::reading;
use crate::core::{CoreOptions, Floors, test_settings};

const VALUE_BYTES: usize = 40_000;

/// Which org the next record is of.
type Draw = fn(&mut Rng, u16) -> u16;

fn crowded(shards: u16) -> CoreOptions {
    let mut options = options(1);
    options.payload_limit_bytes = 1 << 20;
    options.settings.roll_records = 1_000_000;
    options.settings.memory_budget = connector_floor(u64::from(shards), ByteCount::mib(1));
    options.shard_map = ShardMap::new(Routing {
        modulus: u32::from(shards),
        dedicated: BTreeSet::new(),
    });
    options
}

/// The smallest budget that the settings allow, a store that stalls twice until the intake is closed, and all
/// of it caught up after.
fn check(shards: u16, draw: Draw) {
    let mut world = World::new(&[100_000]);
    let options = crowded(shards);
    let limit = options.settings.memory_shares().buffers.0;
    let mut worker = reading(&mut world, options);
    let mut rng = Rng::with_seed(u64::from(shards));
    let mut given: i64 = 0;
    for _ in 0..2 {
        while !worker.paused {
            let org = draw(&mut rng, shards);
            let [low, high] = [org & 127, org >> 7].map(|part| u8::try_from(part).unwrap());
            let mut value = vec![8, low | 128, high];
            value.extend(std::iter::repeat_with(|| rng.u8(..)).take(VALUE_BYTES));
            worker.give(0, given, &value);
            given += 1;
            let buffered = worker.core.buffered_bytes();
            assert!(buffered <= limit, "{shards} shards: {buffered} of {limit}");
            if given % 50 == 0 {
                worker.encode(&mut rng);
            }
        }
        worker.settle(&mut world, &mut rng);
        assert!(!worker.paused, "{shards} shards: it goes on by itself");
    }
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut rng);
    let frames: u64 = world.ledger.values().flatten().map(|e| e.frames).sum();
    assert_eq!(frames, given.cast_unsigned());
    assert_eq!(worker.core.buffered_bytes(), 0);
}

/// Small records, each of another partition than the one before: what is kept of each partition in each block
/// outweighs the records, and is counted as well.
#[test]
fn many_partitions_weigh_more_than_their_records_and_keep_the_budget() {
    const PARTITIONS: u32 = 3000;
    let mut world = World::new(&vec![100_000; PARTITIONS as usize]);
    let options = crowded(70);
    let limit = options.settings.memory_shares().buffers.0;
    let Floors {
        stream_bytes,
        index,
        ..
    } = options.floors;
    let mut worker = reading(&mut world, options);
    let mut rng = Rng::with_seed(70);
    let mut given: u64 = 0;
    while !worker.paused {
        let value = [8, rng.u8(0..70), rng.u8(..), rng.u8(..)];
        let partition = u32::try_from(given % u64::from(PARTITIONS)).unwrap();
        let offset = given / u64::from(PARTITIONS);
        worker.give(partition, offset.cast_signed(), &value);
        given += 1;
        let buffered = worker.core.buffered_bytes();
        assert!(buffered <= limit, "{buffered} of {limit}");
        if given.is_multiple_of(500) {
            worker.encode(&mut rng);
        }
    }
    assert!(given * stream_bytes > limit / 4, "{given} records");
    assert!(given * index.span_bytes < limit, "{given} records");
    worker.settle(&mut world, &mut rng);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut rng);
    let frames: u64 = world.ledger.values().flatten().map(|e| e.frames).sum();
    assert_eq!(frames, given);
    assert_eq!(worker.core.buffered_bytes(), 0);
}

#[test]
fn the_smallest_budget_is_kept_with_one_shard_and_with_a_thousand_and_any_skew() {
    let even: Draw = |rng, shards| rng.u16(0..shards);
    let skewed: Draw = |rng, shards| rng.u16(0..shards).min(rng.u16(0..shards)) / 50;
    for shards in [1, 70, 1000] {
        check(shards, even);
        check(shards, skewed);
    }
}

/// Everything by a sixteenth of what it is: the default budget, its parts and blocks.
fn sixteenth() -> CoreOptions {
    let mut options = options(1);
    let default = test_settings();
    let settings = &mut options.settings;
    // The queue's share is at most a quarter, and here it is one.
    settings.memory_budget = ByteCount(default.memory_shares().buffers.0 / 16 * 4 / 3);
    settings.part_bytes.0 = default.part_bytes.0 / 16;
    settings.small_object_bytes.0 = default.small_object_bytes.0 / 16;
    settings.block_bytes.0 = default.block_bytes.0 / 16;
    settings.roll_records = 1_000_000;
    options.payload_limit_bytes = 1 << 20;
    let floors = Floors::S3;
    options.floors = Floors {
        block_bytes: floors.block_bytes / 16,
        part_bytes: floors.part_bytes / 16,
        entry_bytes: floors.entry_bytes / 16,
        ..floors
    };
    options.shard_map = ShardMap::new(Routing {
        modulus: 70,
        dedicated: BTreeSet::new(),
    });
    options
}

#[test]
fn seventy_shards_alike_share_the_default_budget_and_still_make_objects_of_several_parts() {
    let mut world = World::new(&[1_000_000]);
    let options = sixteenth();
    let (part_bytes, buffers) = (
        options.floors.part_bytes,
        options.settings.memory_shares().buffers.0,
    );
    let mut worker = reading(&mut world, options);
    let mut rng = Rng::with_seed(70);
    let (mut given, mut bytes) = (0, 0);
    while bytes < 12 * buffers {
        let mut value = vec![8, rng.u8(0..70)];
        value.extend(std::iter::repeat_with(|| rng.u8(..)).take(2_500));
        worker.give(0, given, &value);
        given += 1;
        bytes += value.len() as u64;
        if given % 100 == 0 {
            worker.settle(&mut world, &mut rng);
        }
    }
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut rng);
    assert_eq!(worker.core.stats().pauses, 0, "the store is fast");
    let objects = world.objects.len() as u64;
    let mean = bytes / objects;
    assert!(
        mean > 2 * part_bytes,
        "{objects} objects of {mean} bytes on average, a part has {part_bytes}"
    );
}
