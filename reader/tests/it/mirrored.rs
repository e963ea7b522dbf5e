//! Reads of an org in canary are made again on the new pipeline: exactly those of its share, and never to be seen.

use std::path::Path;

use skein_config::cutover::timelines::{OrgCutover, Timelines};
use skein_reader::export::{ExportFormat, ExportOptions, export};
use skein_reader::mirror::{Difference, EmptyRead, MirrorShare, compare_all, is_found_in_old};
use skein_reader::old_places::OldPlaces;
use skein_reader::old_source::OldSource;
use skein_reader::page_token::PageScope;
use skein_reader::parquet_files::ParquetFiles;
use skein_reader::read_source::ReadSource;
use skein_reader::snapshot::Selection;
use skein_shared::cutover::CutoverState;
use skein_shared::ids::{MetricId, OrgId};
use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use crate::serving::client::Server;
use crate::serving::{Row, json_rows};
use crate::world::{World, Written, key};

const WINDOW: Window = Window::from_number(19_700);
const ORG: OrgId = OrgId(7);
const SERIES: u64 = 40;

/// What the old system has: numbers from 0 on, one a minute.
fn record(metric: u64) -> Written {
    let start = WINDOW.start().0;
    let point = |minute: i32| (start + i64::from(minute) * 60_000, f64::from(minute));
    Written {
        key: key(ORG.0, metric),
        name: None,
        record_ms: 5,
        partition: 0,
        offset: i64::try_from(metric).unwrap(),
        points: (0..60).map(point).collect(),
    }
}

async fn world_of(records: &[Written]) -> World {
    let mut world = World::new().await;
    world.add(WINDOW, records).await;
    world
}

/// The rows of an org as the files of an old system.
pub(crate) async fn old_system(world: &World, org: OrgId, folder: &Path) -> OldPlaces {
    let options = ExportOptions {
        format: ExportFormat::Parquet,
        resolution: Resolution::Raw,
        span: TimeSpan::ALL,
        file: folder.join("old.parquet"),
    };
    let snapshot = world.snapshot(Selection::Org(org)).await;
    export(snapshot, &options).await.unwrap();
    let files = ParquetFiles::in_folder(folder).await.unwrap();
    OldPlaces::only(OldSource::Parquet(files))
}

/// Both pipelines write; the old one is visible up to an edge.
fn timelines(state: CutoverState, percent: u8, visible_from: i64) -> Timelines {
    let phase = |from, visible| Phase {
        from: TimestampMs(from),
        writers: Writers::Both,
        visible,
    };
    let phases = [
        phase(i64::MIN, Pipeline::Old),
        phase(visible_from, Pipeline::New),
    ];
    let cutover = OrgCutover {
        version: 1,
        state,
        timeline: Timeline::new(phases).unwrap(),
        seal: None,
        mirror_percent: percent,
        old_place: None,
    };
    Timelines::new_owns_everything().with(ORG, cutover)
}

/// Series that a share takes, and that it does not.
fn shared(timelines: &Timelines) -> (Vec<u64>, Vec<u64>) {
    let share = MirrorShare::of(timelines, ORG);
    (0..SERIES).partition(|metric| share.takes(key(ORG.0, *metric)))
}

fn rows_of(records: &[Written]) -> Vec<Row> {
    let rows = records.iter().flat_map(|record| {
        let metric = record.key.metric.0;
        let points = record.points.iter();
        points.map(move |(at, value)| (metric, *at, value.to_bits()))
    });
    rows.collect()
}

/// What was found, once so many series were compared.
async fn found(server: &Server, series: u64) -> serde_json::Value {
    loop {
        let status = server.get("/status", "*/*").await.json();
        let found = status["mirror"]["found"].clone();
        if found["series"].as_u64() >= Some(series) {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canary_mirrors_exactly_the_share_and_never_changes_the_answer() {
    let canary = timelines(CutoverState::Canary, 50, i64::MAX);
    let (taken, passed) = shared(&canary);
    assert!(taken.len() > 9 && passed.len() > 9, "{taken:?}");
    let old: Vec<Written> = (0..SERIES).map(record).collect();
    let mut new = old.clone();
    // The new pipeline differs in a series of the share by a bit and a point, and in all of the others.
    let differing = usize::try_from(taken[1]).unwrap();
    new[differing].points[7].1 = f64::from_bits(7.0_f64.to_bits() ^ 1);
    new[differing].points.remove(30);
    for metric in &passed {
        new[usize::try_from(*metric).unwrap()].points.truncate(1);
    }
    let directory = tempfile::tempdir().unwrap();
    let places = old_system(&world_of(&old).await, ORG, directory.path()).await;
    let world = world_of(&new).await;
    let source = ReadSource::new(world.bucket.clone()).with_old(places);
    let server = Server::with(&world, |setup| setup.source = source).await;

    server.go_by(timelines(CutoverState::Shadow, 50, i64::MAX));
    let path = "/api/v1/points?org=7";
    let shown = json_rows(&server.get(path, "*/*").await.json());
    assert_eq!(shown, rows_of(&old), "readers see the old system alone");
    server.go_by(canary);
    let shown = json_rows(&server.get(path, "*/*").await.json());
    assert_eq!(shown, rows_of(&old), "readers see the old system alone");
    for metric in &passed[..3] {
        let one = server.get(&format!("{path}&metric={metric}"), "*/*").await;
        assert_eq!(one.json()["rows"], 60);
    }
    let one = server
        .get(&format!("{path}&metric={}", taken[0]), "*/*")
        .await;
    assert_eq!(one.json()["rows"], 60);
    // They are compared in the order of the answers, so that nothing else is under way once the last one is counted.
    let found = found(&server, taken.len() as u64 + 1).await;
    assert_eq!(found["series"], taken.len() as u64 + 1);
    assert_eq!(found["differing_series"], 1, "{found}");
    assert_eq!(
        (&found["value"], &found["missing_in_new"]),
        (&1.into(), &1.into())
    );
    assert_eq!(found["alike"], (taken.len() as u64 + 1) * 60 - 2);
    server.end().await;
}

#[tokio::test]
async fn all_of_an_org_is_compared_on_both_pipelines() {
    let old: Vec<Written> = (0..6).map(record).collect();
    let mut new = old[1..].to_vec();
    new.push(record(9));
    new[0].points[20].1 += 1e-7;
    let directory = tempfile::tempdir().unwrap();
    let places = old_system(&world_of(&old).await, ORG, directory.path()).await;
    let world = world_of(&new).await;
    let source = ReadSource::new(world.bucket.clone()).with_old(places);
    let half = WINDOW.start().0 + 30 * 60_000;
    for (visible_from, rows) in [(i64::MAX, 60), (half, 30)] {
        let timelines = timelines(CutoverState::Switched, 0, visible_from);
        let mut scope = PageScope {
            org: ORG,
            metric: None,
            span: TimeSpan::ALL,
            resolution: Resolution::Raw,
        };
        let both = compare_all(&source, &timelines, scope).await.unwrap();
        assert_eq!((both.tally.series, both.tally.differing_series), (7, 3));
        assert_eq!(both.tally.rows(Difference::MissingInNew), rows);
        assert_eq!(both.tally.rows(Difference::MissingInVisible), rows);
        assert_eq!(both.tally.rows(Difference::Value), 1);
        assert_eq!((both.visible.pieces(), both.new.pieces()), (6, 6));
        scope.resolution = Resolution::FiveMinutes;
        let both = compare_all(&source, &timelines, scope).await.unwrap();
        assert_eq!(
            both.tally.rows(Difference::Value),
            0,
            "within the tolerance"
        );
        assert_eq!(both.tally.alike, rows / 5 * 5);
    }
}

#[tokio::test]
async fn what_new_lacks_after_a_switch_is_looked_up_in_old() {
    let old: Vec<Written> = (0..2).map(record).collect();
    let directory = tempfile::tempdir().unwrap();
    let places = old_system(&world_of(&old).await, ORG, directory.path()).await;
    let world = world_of(&old[..1]).await;
    let source = ReadSource::new(world.bucket.clone()).with_old(places);
    let edge = WINDOW.start().0;
    let lookup = |metric, from| EmptyRead {
        timelines: timelines(CutoverState::Switched, 0, edge),
        scope: PageScope {
            org: ORG,
            metric: Some(MetricId(metric)),
            span: TimeSpan {
                from: TimestampMs(from),
                to: TimeSpan::ALL.to,
            },
            resolution: Resolution::Raw,
        },
    };
    assert!(is_found_in_old(&source, &lookup(1, edge)).await.unwrap());
    assert!(!is_found_in_old(&source, &lookup(5, edge)).await.unwrap());
    let behind = edge + 86_400_000;
    assert!(!is_found_in_old(&source, &lookup(1, behind)).await.unwrap());
}
