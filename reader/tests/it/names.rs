//! Series are found by what people call them, and shown so that they can be produced again.

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use skein_config::cutover::timelines::Timelines;
use skein_reader::points_output::{OutputFormat, PointsOutput};
use skein_reader::segment_scan::{Scan, ScanOptions};
use skein_reader::series_names;
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::format::points_csv::PointsReader;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::series::Series;
use skein_shared::window::{TimeSpan, Window};

use crate::world::{World, Written};

const ORG: OrgId = OrgId(1);
const NAMES: [&str; 4] = [
    r#"http_requests{code="200",job="api"}"#,
    r#"http_requests{code="500",job="api"}"#,
    "up",
    r#"up{zone="a,b"}"#,
];

async fn world() -> World {
    let mut world = World::new().await;
    for number in [19_700, 19_701] {
        let window = Window::from_number(number);
        let record = |(index, name): (i64, &str)| {
            let series: Series = name.parse().unwrap();
            assert_eq!(series.to_string(), name);
            Written {
                key: SeriesKey {
                    org: ORG,
                    metric: series.id(),
                },
                name: Some(name.to_owned()),
                record_ms: index,
                partition: 0,
                offset: index,
                points: (0..50)
                    .map(|i| {
                        (
                            window.start().0 + i * 1000 + index,
                            f64::from_bits(0x7ff0_dead_beef_0000),
                        )
                    })
                    .collect(),
            }
        };
        let records: Vec<Written> = (0..).zip(NAMES).map(record).collect();
        world.add(window, &records).await;
    }
    world
}

#[tokio::test]
async fn a_series_is_found_by_id_by_text_and_by_a_name_that_only_it_has() {
    let world = world().await;
    let snapshot = world.snapshot(Selection::Org(ORG)).await;
    for name in NAMES {
        let id = name.parse::<Series>().unwrap().id();
        assert_eq!(series_names::find(&snapshot, ORG, name).await.unwrap(), id);
        let digits = id.to_string();
        assert_eq!(
            series_names::find(&snapshot, ORG, &digits).await.unwrap(),
            id
        );
    }
    let listed = series_names::list(&snapshot).await.unwrap();
    assert_eq!(listed.len(), NAMES.len());
    let error = series_names::find(&snapshot, ORG, "http_requests")
        .await
        .unwrap_err();
    assert!(error.to_string().contains(NAMES[0]), "{error}");
    assert!(error.to_string().contains("2 series"), "{error}");
    for unknown in ["down", "99999999999999999999", "a{b"] {
        assert!(
            series_names::find(&snapshot, ORG, unknown).await.is_err(),
            "{unknown}"
        );
    }
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_was_read_as_csv_can_be_produced_again_bit_by_bit() {
    let world = world().await;
    let timelines = Timelines::new_owns_everything();
    let load = Snapshot::load(&world.bucket, timelines, Selection::All);
    let snapshot = load.await.unwrap();
    let tag_keys = series_names::tag_keys(&snapshot).await.unwrap();
    assert_eq!(
        tag_keys.iter().map(String::as_str).collect::<Vec<_>>(),
        ["code", "job", "zone"]
    );
    let written = Shared::default();
    let mut output = PointsOutput::new(OutputFormat::Csv(tag_keys), written.clone()).unwrap();
    let options = ScanOptions {
        span: TimeSpan::ALL,
        metadata: MetadataFetch::Fetch,
    };
    let mut scan = Scan::start(snapshot, options).await.unwrap();
    while let Some(piece) = scan.next().await.unwrap() {
        output.write(&piece).unwrap();
    }
    output.finish().unwrap();
    let bytes = written.0.lock().unwrap().clone();
    let mut rows: Vec<(SeriesKey, i64, u64)> = PointsReader::new(Cursor::new(bytes))
        .unwrap()
        .unwrap()
        .map(|row| {
            let row = row.unwrap().unwrap();
            let key = SeriesKey {
                org: row.org,
                metric: row.metric.id(),
            };
            (key, row.timestamp.0, row.value.to_bits())
        })
        .collect();
    let expected = world.expected(Selection::All, TimeSpan::ALL);
    assert_eq!(rows.len(), expected.len());
    rows.sort_unstable();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn the_tags_of_one_series_are_its_own() {
    let world = world().await;
    let metric = NAMES[3].parse::<Series>().unwrap().id();
    let selection = Selection::Series(SeriesKey { org: ORG, metric });
    let keys = series_names::tag_keys(&world.snapshot(selection).await)
        .await
        .unwrap();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["zone"]);
}
