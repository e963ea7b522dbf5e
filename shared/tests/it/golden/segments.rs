//! Segments: an overlay with every encoding of raw points and with orders, a base, and a rollup.

mod series;
mod object;

use std::collections::BTreeSet;

use skein_shared::format::order_column::ChainTable;
use skein_shared::format::profile::Profile;
use skein_shared::format::rollup_columns::{self, RollupColumn};
use skein_shared::format::segment_writer::{SegmentIdentity, SegmentWriter, SeriesPoints};
use skein_shared::ids::{Chain, OrgId, ShardId};
use skein_shared::rollup::Rollup;
use skein_shared::window::Resolution;

use self::object::Object;
use self::series::{Series, rolled, series};
use super::fixed::{WINDOW, chain, shared_shard};
use super::{Golden, Written};

pub(super) fn goldens() -> Vec<Golden> {
    vec![
        Golden {
            name: "segment-overlay-1",
            written: Written::Packed(written(SegmentKind::Overlay)),
            check: Box::new(check_overlay),
        },
        Golden {
            name: "segment-base-1",
            written: Written::Packed(written(SegmentKind::Base)),
            check: Box::new(check_base),
        },
        Golden {
            name: "segment-rollup-1",
            written: Written::Packed(rollup_written()),
            check: Box::new(check_rollup),
        },
    ]
}

#[derive(Clone, Copy)]
enum SegmentKind {
    Overlay,
    Base,
}

/// Out of order in the bytes: a segment numbers them by first use.
fn chains() -> ChainTable {
    ChainTable::new(used_chains())
}

fn used_chains() -> Vec<Chain> {
    vec![chain("more", 1), chain("points", 5), chain("points", 6)]
}

fn identity(shard: ShardId, resolution: Resolution) -> SegmentIdentity {
    SegmentIdentity {
        shard,
        window: WINDOW,
        resolution,
    }
}

fn all_of(kind: SegmentKind) -> Vec<Series> {
    let all = series();
    match kind {
        SegmentKind::Overlay => all,
        SegmentKind::Base => all
            .into_iter()
            .take(3)
            .map(Series::without_orders)
            .collect(),
    }
}

fn written(kind: SegmentKind) -> Vec<u8> {
    let (chains, shard) = match kind {
        SegmentKind::Overlay => (chains(), shared_shard()),
        SegmentKind::Base => (ChainTable::default(), ShardId::Dedicated(OrgId(300))),
    };
    let identity = identity(shard, Resolution::Raw);
    let mut writer = SegmentWriter::new(identity, chains, Profile::Balanced);
    for series in all_of(kind) {
        let points = SeriesPoints {
            timestamps_ms: &series.points.timestamps_ms,
            values: &series.points.values,
            orders: &series.points.orders,
        };
        writer.push_series(series.key, &points, series.metadata.as_ref());
    }
    writer.finish().unwrap().rest.to_vec()
}

fn rollup_written() -> Vec<u8> {
    let identity = identity(shared_shard(), Resolution::FiveMinutes);
    let mut writer = SegmentWriter::new(identity, ChainTable::default(), Profile::Archive);
    for (series, rollup) in rolled() {
        writer.push_rollup(series.key, &rollup, series.metadata.as_ref());
    }
    writer.finish().unwrap().rest.to_vec()
}

/// What the footers of all three say alike.
fn check_footer(object: &Object<'_>, profile: Profile, series: &[Series]) {
    let footer = &object.footer;
    assert_eq!(footer.encoder_version, ENCODER_OF_THE_FILES);
    assert_eq!(footer.profile, profile.to_string());
    assert_eq!(footer.identity.window, WINDOW);
    assert_eq!(footer.series, series.len() as u64);
    let points = series
        .iter()
        .map(|series| series.points.values.len() as u64);
    assert_eq!(footer.raw_points, points.sum::<u64>());
}

/// When `ENCODER_VERSION` is raised, files of the new one stand beside these.
const ENCODER_OF_THE_FILES: u32 = 3;

fn check_overlay(bytes: &[u8]) {
    let object = Object::open(bytes);
    let expected = all_of(SegmentKind::Overlay);
    check_footer(&object, Profile::Balanced, &expected);
    assert_eq!(object.footer.identity.shard, shared_shard());
    assert_eq!(object.footer.chains.chains(), used_chains());
    let numbers = object.footer.chain_numbers.iter().map(|index| index.0);
    assert_eq!(numbers.collect::<Vec<_>>(), [2, 0, 1], "by first use");
    assert_eq!(object.series(&chains()), expected);
    let blocks = object.blocks();
    let timestamps: BTreeSet<u8> = blocks.iter().map(|block| block.timestamps[0]).collect();
    assert!(
        timestamps.into_iter().eq(1..=5),
        "every encoding of timestamps"
    );
    let values: BTreeSet<u8> = blocks.iter().map(|block| block.values[0]).collect();
    assert!(values.into_iter().eq(0..=10), "every encoding of values");
}

fn check_base(bytes: &[u8]) {
    let object = Object::open(bytes);
    let expected = all_of(SegmentKind::Base);
    check_footer(&object, Profile::Balanced, &expected);
    assert_eq!(object.footer.identity.shard, ShardId::Dedicated(OrgId(300)));
    assert!(object.footer.chains.chains().is_empty());
    assert_eq!(object.series(&ChainTable::default()), expected);
}

fn check_rollup(bytes: &[u8]) {
    let object = Object::open(bytes);
    let (series, rollups): (Vec<Series>, Vec<Rollup>) = rolled().into_iter().unzip();
    check_footer(&object, Profile::Archive, &series);
    assert_eq!(object.footer.identity.resolution, Resolution::FiveMinutes);
    let found = object.rollups();
    assert_eq!(found.len(), rollups.len());
    for ((found, metadata), (expected, series)) in found.iter().zip(rollups.iter().zip(&series)) {
        assert!(object::buckets(found).eq(object::buckets(expected)));
        assert_eq!(*metadata, series.metadata);
    }
    let mut is_there = [false; 8];
    let mut has_near_decimals = false;
    for block in object.blocks() {
        let columns = rollup_columns::cut(block.values).unwrap();
        for (is_there, column) in is_there.iter_mut().zip(columns) {
            *is_there |= !column.is_empty();
        }
        let sum = columns[RollupColumn::Sum as usize];
        has_near_decimals |= sum.first() == Some(&128);
    }
    assert_eq!(is_there, [true; 8], "each column is stored somewhere");
    assert!(has_near_decimals, "sums that are nearly decimals");
}
