//! What one side alone knows, what it costs to ask the other, and what is said when it does not answer.

use std::collections::BTreeSet;

use skein_config::cutover::timelines::Timelines;
use skein_reader::old_files::OldFiles;
use skein_reader::old_places::OldPlaces;
use skein_reader::old_source::OldSource;
use skein_reader::parquet_files::ParquetFiles;
use skein_reader::read_plan::explain;
use skein_reader::series_names;
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::series::{SERIES_METADATA_KEY, Series};
use skein_shared::timeline::Pipeline;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::old_bucket;
use crate::old_folder::{OldFolder, OldRow};
use crate::stitched::{NEW, OLD, SHADOW, SWITCHED, WINDOW, cutover, timeline};
use crate::world::{self, World, Written, key};

const ORG: OrgId = OrgId(5);

fn edge() -> i64 {
    WINDOW.start().0 + 3_600_000
}

fn named(name: &str) -> (SeriesKey, Option<String>) {
    let series: Series = name.parse().unwrap();
    (key(ORG.0, series.id().0), Some(name.to_owned()))
}

fn row(name: &str, ms: i64) -> OldRow {
    let (key, name) = named(name);
    OldRow {
        key,
        name,
        ms,
        value: 1.0,
    }
}

fn written(name: &str, ms: i64) -> Written {
    let (key, name) = named(name);
    Written {
        key,
        name,
        record_ms: 1,
        partition: 0,
        offset: 1,
        points: vec![(ms, 2.0)],
    }
}

/// `old` in the folder, `new` in segments, `both` in both; `tail` is named by one side alone.
async fn world() -> (World, OldFolder) {
    let (mut world, mut folder) = (World::new().await, OldFolder::new());
    let (before, after) = (edge() - 1, edge());
    let mut nameless = row("tail", before);
    nameless.name = None;
    folder.add(&[
        row("old", before),
        row("both", before),
        row("head", before),
        nameless,
    ]);
    let mut headless = written("head", after);
    headless.name = None;
    let records = [
        written("new", after),
        written("both", after),
        headless,
        written("tail", after),
    ];
    world.add(WINDOW, &records).await;
    (world, folder)
}

async fn load(world: &World, timelines: &Timelines, selection: Selection) -> Snapshot {
    Snapshot::load(&world.bucket, timelines.clone(), selection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_series_that_one_side_alone_has_or_names_is_read_with_its_name() {
    let (world, folder) = world().await;
    let places = folder.places().await;
    let phases = [(i64::MIN, OLD), (edge(), SWITCHED)];
    let switched = Timelines::owned_by(Pipeline::New).with(ORG, cutover(timeline(&phases), None));
    let snapshot = load(&world, &switched, Selection::Org(ORG))
        .await
        .with_old(places.clone());
    let (found, summary) = world::scan(snapshot.clone(), TimeSpan::ALL).await.unwrap();
    let names: BTreeSet<&str> = found.names.values().map(String::as_str).collect();
    assert_eq!(
        names,
        BTreeSet::from(["old", "both", "head", "new", "tail"])
    );
    assert_eq!((summary.from_old, summary.points), (4, 8));
    let listed = series_names::list(&snapshot).await.unwrap();
    let listed: Vec<String> = listed.iter().map(Series::to_string).collect();
    assert_eq!(listed, ["both", "head", "new", "old", "tail"]);
    let id = series_names::find(&snapshot, ORG, "old").await.unwrap();
    assert_eq!(named("old").0.metric, id);

    // In shadow nothing that only the new one knows is to be seen.
    let shadow = timeline(&[(i64::MIN, OLD), (edge(), SHADOW)]);
    let shadow = Timelines::owned_by(Pipeline::New).with(ORG, cutover(shadow, None));
    let snapshot = load(&world, &shadow, Selection::Org(ORG))
        .await
        .with_old(places);
    let listed = series_names::list(&snapshot).await.unwrap();
    let listed: Vec<String> = listed.iter().map(Series::to_string).collect();
    assert_eq!(listed, ["both", "head", "old"]);
    let (found, _) = world::scan(snapshot, TimeSpan::ALL).await.unwrap();
    assert!(!found.names.values().any(|name| name == "new"));
}

#[tokio::test]
async fn where_old_is_never_seen_nobody_asks_for_it() {
    let (world, folder) = world().await;
    let requests = async |timelines: &Timelines, places: Option<OldPlaces>| {
        let before = world.bucket.requests().reads();
        let mut snapshot = load(&world, timelines, Selection::Org(ORG)).await;
        if let Some(places) = places {
            snapshot = snapshot.with_old(places);
        }
        world::scan(snapshot, TimeSpan::ALL).await.unwrap();
        world.bucket.requests().reads() - before
    };
    let alone = requests(&Timelines::new_owns_everything(), None).await;
    let other = cutover(timeline(&[(i64::MIN, OLD)]), Some(7));
    let done = cutover(timeline(&[(i64::MIN, NEW)]), Some(7));
    let beside = Timelines::owned_by(Pipeline::New)
        .with(ORG, done)
        .with(OrgId(6), other);
    // Without a place, whoever asked for one would be refused.
    assert_eq!(requests(&beside, None).await, alone);
    let beside =
        Timelines::owned_by(Pipeline::Old).with(ORG, cutover(timeline(&[(i64::MIN, NEW)]), None));
    assert_eq!(requests(&beside, Some(folder.places().await)).await, alone);
}

#[tokio::test]
async fn an_old_side_that_cannot_be_reached_is_an_error_and_never_a_hole() {
    let (world, folder) = world().await;
    let phases = [(i64::MIN, OLD), (edge(), SWITCHED)];
    let timelines = Timelines::owned_by(Pipeline::New).with(ORG, cutover(timeline(&phases), None));
    let snapshot = load(&world, &timelines, Selection::Org(ORG)).await;
    let error = world::scan(snapshot.clone(), TimeSpan::ALL)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("org=`5`") && error.contains("cutover.old_place"),
        "{error}"
    );
    // What lies behind the edge needs no old side.
    let after = TimeSpan {
        from: TimestampMs(edge()),
        to: TimeSpan::ALL.to,
    };
    let (found, _) = world::scan(snapshot.clone(), after).await.unwrap();
    assert_eq!(found.points.len(), 4);

    let files = folder.files().await;
    std::fs::remove_dir_all(folder.path().join("day=0")).unwrap();
    let gone = snapshot.with_old(OldPlaces::only(OldSource::Parquet(files)));
    let error = world::scan(gone, TimeSpan::ALL)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("old_place"), "{error}");
    let empty = ParquetFiles::in_folder(folder.path())
        .await
        .unwrap_err()
        .to_string();
    assert!(empty.contains(".parquet"), "{empty}");
}

#[tokio::test]
async fn every_span_says_which_objects_it_comes_from_and_why() {
    let (world, folder) = world().await;
    let phases = [(i64::MIN, OLD), (edge(), SWITCHED)];
    let timelines = Timelines::owned_by(Pipeline::New).with(ORG, cutover(timeline(&phases), None));
    let snapshot = load(&world, &timelines, Selection::Org(ORG)).await;
    let snapshot = snapshot.with_old(folder.places().await);
    let spans = explain(&snapshot, TimeSpan::ALL).await.unwrap();
    let [before, after] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!((before.visible, before.from.clone()), ("old", None));
    assert_eq!(before.to, Some(TimestampMs(edge()).to_string()));
    assert_eq!(before.objects.len(), 1);
    assert_eq!(before.objects[0].key, "day=0/part.snappy.parquet");
    assert_eq!(
        (after.visible, after.state, after.version),
        ("new", Some("switched"), Some(4))
    );
    assert!(after.objects[0].key.contains("/segment/"), "{after:?}");
    // Sealed, what amends the old one stands beside it.
    let sealed = Timelines::owned_by(Pipeline::New).with(ORG, cutover(timeline(&phases), Some(1)));
    let snapshot = load(&world, &sealed, Selection::Org(ORG)).await;
    let snapshot = snapshot.with_old(folder.places().await);
    let spans = explain(&snapshot, TimeSpan::ALL).await.unwrap();
    assert_eq!(
        spans[0].objects.len(),
        1,
        "no segment holds a point of that span"
    );
}

#[tokio::test]
async fn one_series_of_the_old_pipelines_files_costs_a_listing_and_its_files_alone() {
    let (world, _) = world().await;
    let rows = [(1, row("old", edge() - 1)), (7, row("both", edge() - 1))];
    let places = old_bucket::write(&world.bucket, &rows, 10).await;
    let phases = [(i64::MIN, OLD), (edge(), SWITCHED)];
    let timelines = Timelines::owned_by(Pipeline::New).with(ORG, cutover(timeline(&phases), None));
    let snapshot = load(&world, &timelines, Selection::Org(ORG)).await;
    let snapshot = snapshot.with_old(places.clone());
    let (found, summary) = world::scan(snapshot.clone(), TimeSpan::ALL).await.unwrap();
    assert_eq!((summary.from_old, summary.points), (2, 6));
    assert!(found.names.values().any(|name| name == "old"));
    let spans = explain(&snapshot, TimeSpan::ALL).await.unwrap();
    let keys = spans[0].objects.iter();
    assert!(
        keys.clone().all(|object| object.key.starts_with("old/")),
        "{spans:?}"
    );
    assert_eq!(
        keys.len(),
        2,
        "a file that does not count yet is none: {spans:?}"
    );

    // Looked at anew, nothing is known yet.
    let OldSource::Files(files) = snapshot.old_source(ORG).await.unwrap() else {
        panic!("the files lie in the bucket");
    };
    assert_eq!(files.positions().len(), 1);
    let source = OldSource::Files(OldFiles::open(&world.bucket).await.unwrap());
    let before = world.bucket.requests().reads();
    let key = named("old").0;
    let series = source
        .series_within((key, key), TimeSpan::ALL)
        .await
        .unwrap();
    let metadata = source.metadata(&series[0], TimeSpan::ALL).await.unwrap();
    assert_eq!(metadata[SERIES_METADATA_KEY], "old");
    let mut points = SeriesBuffer::default();
    source.read(key, TimeSpan::ALL, &mut points).await.unwrap();
    assert_eq!(points.values, [1.0]);
    assert_eq!(world.bucket.requests().reads() - before, 2);
}
