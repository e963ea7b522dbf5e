//! Two pipelines that wrote the same points, one of them with a change.

use std::collections::BTreeMap;

use skein_config::cutover::timelines::{OrgCutover, Timelines};
use skein_reader::diff::discrepancy::{Difference, Hand, Kind};
use skein_reader::diff::report::Report;
use skein_reader::diff::side::{Side, Table, TablePoint};
use skein_shared::cutover::CutoverState;
use skein_shared::ids::OrgId;
use skein_shared::series::SERIES_METADATA_KEY;
use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::window::{Resolution, TimestampMs, Window};

use super::bench::{definition, run, sides};
use crate::world::{World, Written, key};

const DAY: i64 = 86_400_000;
pub(super) const HOUR: i64 = 3_600_000;
/// From here on both pipelines write; before it the old one alone does.
pub(super) const EDGE: i64 = 19_700 * DAY + 6 * HOUR;
pub(super) const METRICS: u64 = 5;

pub(super) fn day(number: i64) -> Window {
    Window::from_number(19_700 + number)
}

/// What both pipelines should have of an org in a day, as records of an hour each.
pub(super) fn records(org: u64, window: Window) -> Vec<Written> {
    let mut records = Vec::new();
    for metric in 0..METRICS {
        for hour in 0..24 {
            let begin = window.start().0 + hour * HOUR;
            let points = (0..6).map(|n| (begin + n * HOUR / 6, value(metric, begin + n)));
            records.push(Written {
                key: key(org, metric),
                name: Some(format!("m{metric}{{org=\"{org}\"}}")),
                record_ms: begin,
                partition: u32::from(metric % 2 == 1),
                offset: window.number() * 1000 + i64::try_from(metric).unwrap() * 24 + hour,
                points: points.filter(|(at, _)| *at >= EDGE).collect(),
            });
        }
    }
    records.retain(|record| !record.points.is_empty());
    records
}

/// Numbers, and now and then a NaN with a payload, or minus zero.
pub(super) fn value(metric: u64, n: i64) -> f64 {
    match n.rem_euclid(5) {
        0 => f64::from_bits(0x7ff8_0000_0000_0000 | metric),
        1 => -0.0,
        n => f64::from(i32::try_from(n).unwrap()) * 0.1,
    }
}

pub(super) fn table(orgs: &[u64]) -> Table {
    let mut table = Table::new("old");
    for org in orgs {
        for record in [0, 1].into_iter().flat_map(|n| records(*org, day(n))) {
            let series = table.series.entry(record.key).or_default();
            let name = record.name.clone().unwrap();
            let entries = BTreeMap::from([(SERIES_METADATA_KEY.to_owned(), name)]);
            series.metadata = Some(entries);
            let points = record.points.iter();
            series
                .points
                .extend(points.map(|(at, value)| TablePoint::new(*at, *value)));
        }
    }
    table
}

/// Both write from [`EDGE`] on, and the old one is visible.
pub(super) fn timelines(orgs: &[u64]) -> Timelines {
    let phase = |from, writers| Phase {
        from: TimestampMs(from),
        writers,
        visible: Pipeline::Old,
    };
    let cutover = OrgCutover {
        version: 2,
        state: CutoverState::Shadow,
        timeline: Timeline::new([
            phase(i64::MIN, Writers::Only(Pipeline::Old)),
            phase(EDGE, Writers::Both),
        ])
        .unwrap(),
        seal: None,
        mirror_percent: 0,
        old_place: None,
    };
    let of = |timelines: Timelines, org: &u64| timelines.with(OrgId(*org), cutover.clone());
    orgs.iter().fold(Timelines::owned_by(Pipeline::Old), of)
}

/// Compares a table with what `write` puts into a bucket.
pub(super) async fn compare_with(
    orgs: &[u64],
    old: Table,
    write: impl AsyncFnOnce(&mut World),
) -> (Report, Vec<Difference>) {
    compare_as(orgs, (old, Resolution::Raw), write).await
}

pub(super) async fn compare_as(
    orgs: &[u64],
    (old, resolution): (Table, Resolution),
    write: impl AsyncFnOnce(&mut World),
) -> (Report, Vec<Difference>) {
    let mut world = World::new().await;
    write(&mut world).await;
    let right = Side::Segments(world.bucket.clone());
    let sides = sides(old, right, &world.bucket, &timelines(orgs));
    let mut definition = definition(orgs);
    definition.resolution = resolution;
    run(&sides, definition).await
}

pub(super) async fn write_all(world: &mut World, orgs: &[u64]) {
    write_changed(world, orgs, |_| {}).await;
}

/// Writes all days of the orgs, each record as `change` leaves it.
pub(super) async fn write_changed(world: &mut World, orgs: &[u64], change: impl Fn(&mut Written)) {
    for org in orgs {
        for window in [day(0), day(1)] {
            let mut records = records(*org, window);
            records.iter_mut().for_each(&change);
            records.retain(|record| !record.points.is_empty());
            world.add(window, &records).await;
        }
    }
}

/// That all differences are of one kind, and are called so.
#[track_caller]
pub(super) fn assert_found(
    (report, lines): &(Report, Vec<Difference>),
    (kind, side): (Kind, Option<Hand>),
    how: &str,
    count: usize,
) {
    let found: Vec<_> = lines
        .iter()
        .map(|it| (it.of.kind, it.of.side, it.of.how.as_str()))
        .collect();
    assert_eq!(
        found,
        vec![(kind, side, how); count],
        "{:?}",
        report.reasons
    );
    assert_eq!(report.counts.differences(), count as u64);
    assert_eq!(report.verdict, "fail");
    assert!(report.classes.iter().all(|class| !class.advice.is_empty()));
    let sampled = report.samples.iter().all(|it| !it.right_objects.is_empty());
    assert!(sampled, "a sample says where its point lies");
}
