//! Files of Parquet are read whichever software wrote them, or refused with what to change.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use skein_reader::export::{ExportFormat, ExportOptions, export};
use skein_reader::parquet_files::ParquetFiles;
use skein_reader::snapshot::Selection;
use skein_shared::ErrorKind;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::series::{SERIES_METADATA_KEY, Series};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use crate::old_folder::{OldFolder, OldRow};
use crate::world::{World, Written, key};

/// Names and rows.
type Columns = Vec<(&'static str, ArrayRef)>;

const ALL: (SeriesKey, SeriesKey) = (SeriesKey::MIN, SeriesKey::MAX);

fn numbers(values: &[u64]) -> ArrayRef {
    Arc::new(UInt64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn millis(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// All points, by what names their series.
async fn read(files: &ParquetFiles) -> Vec<(String, i64, u64)> {
    let mut all = Vec::new();
    for series in files.series(ALL, TimeSpan::ALL).await.unwrap() {
        let name = series.metadata.get(SERIES_METADATA_KEY);
        let name = name
            .cloned()
            .unwrap_or_else(|| series.key.metric.to_string());
        let mut points = SeriesBuffer::default();
        files
            .read(series.key, TimeSpan::ALL, &mut points)
            .await
            .unwrap();
        let points = points.timestamps_ms.iter().zip(&points.values);
        all.extend(points.map(|(ms, value)| (name.clone(), *ms, value.to_bits())));
    }
    all
}

async fn read_one(columns: Vec<(&str, ArrayRef)>) -> Vec<(String, i64, u64)> {
    let mut folder = OldFolder::new();
    folder.add_columns(columns);
    let mut points = read(&folder.files().await).await;
    points.sort_unstable();
    points
}

fn point(name: &str, ms: i64, value: f64) -> (String, i64, u64) {
    (name.to_owned(), ms, value.to_bits())
}

#[tokio::test]
async fn what_an_export_wrote_is_read_back_bit_by_bit() {
    let mut world = World::new().await;
    let mut records = Vec::new();
    let mut rng = fastrand::Rng::with_seed(5);
    for (number, name) in [(0, Some("cpu{host=\"a\"}")), (1, None), (2, Some("mem"))] {
        let series = name.map(|name| name.parse::<Series>().unwrap());
        let metric = series.map_or(number, |series| series.id().0);
        let start = Window::from_number(19_700).start().0;
        let points = (0..200).map(|at| (start + at * 1000, f64::from_bits(rng.u64(..))));
        records.push(Written {
            key: key(7, metric),
            name: name.map(str::to_owned),
            record_ms: 1,
            partition: 0,
            offset: i64::try_from(number).unwrap(),
            points: points.collect(),
        });
    }
    world.add(Window::from_number(19_700), &records).await;
    let folder = tempfile::tempdir().unwrap();
    let options = ExportOptions {
        format: ExportFormat::Parquet,
        resolution: Resolution::Raw,
        span: TimeSpan::ALL,
        file: folder.path().join("points.parquet"),
    };
    let selection = Selection::Org(OrgId(7));
    export(world.snapshot(selection).await, &options)
        .await
        .unwrap();
    let files = ParquetFiles::in_folder(folder.path()).await.unwrap();
    let mut found = Vec::new();
    for series in files.series(ALL, TimeSpan::ALL).await.unwrap() {
        let record = records
            .iter()
            .find(|record| record.key == series.key)
            .unwrap();
        assert_eq!(
            series.metadata.get(SERIES_METADATA_KEY),
            record.name.as_ref()
        );
        let mut points = SeriesBuffer::default();
        files
            .read(series.key, TimeSpan::ALL, &mut points)
            .await
            .unwrap();
        let points = points.timestamps_ms.iter().zip(&points.values);
        found.extend(points.map(|(ms, value)| (series.key, *ms, value.to_bits())));
    }
    assert_eq!(found, world.expected(selection, TimeSpan::ALL));

    let buckets = ExportOptions {
        resolution: Resolution::OneHour,
        file: folder.path().join("buckets.parquet"),
        ..options
    };
    export(world.snapshot(selection).await, &buckets)
        .await
        .unwrap();
    let error = ParquetFiles::in_folder(folder.path())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("buckets.parquet") && error.contains("--resolution raw"),
        "{error}"
    );
}

#[tokio::test]
async fn columns_of_other_software_are_read_for_what_they_mean() {
    let seconds = [7_000_000_i64, 7_001_000];
    let micros = TimestampMicrosecondArray::from(seconds.map(|at| at * 1000).to_vec());
    let tags = vec![
        ("org_id", Arc::new(Int32Array::from(vec![4, 4])) as ArrayRef),
        ("metric", texts(&[Some("cpu"), Some("cpu")])),
        ("host", texts(&[Some("a"), None])),
        ("time", Arc::new(micros)),
        ("value", Arc::new(Float32Array::from(vec![0.5, 1.5]))),
    ];
    let expected = [
        point("cpu", 7_001_000, 1.5),
        point("cpu{host=\"a\"}", 7_000_000, 0.5),
    ];
    assert_eq!(read_one(tags).await, expected);

    let nanos = TimestampNanosecondArray::from(seconds.map(|at| at * 1_000_000).to_vec());
    let ids = |name, times: ArrayRef| {
        vec![
            ("org", numbers(&[4, 4])),
            ("metric_id", numbers(&[u64::MAX, u64::MAX])),
            (name, times),
            ("value", floats(&[1.0, 2.0])),
        ]
    };
    let max = u64::MAX.to_string();
    let expected = [point(&max, 7_000_000, 1.0), point(&max, 7_001_000, 2.0)];
    assert_eq!(read_one(ids("ts", Arc::new(nanos))).await, expected);
    for (name, factor) in [("timestamp", 1), ("ts_ms", 1), ("time_us", 1000)] {
        let times = millis(&seconds.map(|at| at * factor));
        assert_eq!(read_one(ids(name, times)).await, expected, "{name}");
    }
    // A name of digits is an id, and whole numbers are values.
    let digits = vec![
        ("org", numbers(&[4])),
        ("metric", texts(&[Some("17")])),
        ("timestamp", millis(&[-1])),
        ("value", millis(&[3])),
    ];
    assert_eq!(read_one(digits).await, [point("17", -1, 3.0)]);
}

#[tokio::test]
async fn of_equal_times_the_last_row_counts_and_groups_that_hold_nothing_are_not_read() {
    let mut folder = OldFolder::new();
    let row = |org, ms, value| OldRow {
        key: key(org, 1),
        name: None,
        ms,
        value,
    };
    folder.add(&[row(1, 5, 1.0), row(1, 4, 2.0), row(1, 5, 3.0)]);
    folder.add(&[row(1, 4, 4.0), row(2, 4, 5.0)]);
    let files = folder.files().await;
    let mut points = SeriesBuffer::default();
    files
        .read(key(1, 1), TimeSpan::ALL, &mut points)
        .await
        .unwrap();
    assert_eq!(
        (points.timestamps_ms, points.values),
        (vec![4, 5], vec![4.0, 3.0])
    );
    let orgs: Vec<OrgId> = files.orgs().await.unwrap().into_iter().collect();
    assert_eq!(orgs, [OrgId(1), OrgId(2)]);

    // With the first file damaged behind its footer, what the second one alone holds is read all the same.
    let first = folder.path().join("day=0/part.snappy.parquet");
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[4..40].fill(0xff);
    std::fs::write(&first, bytes).unwrap();
    let files = folder.files().await;
    let mut points = SeriesBuffer::default();
    files
        .read(key(2, 1), TimeSpan::ALL, &mut points)
        .await
        .unwrap();
    assert_eq!(points.values, [5.0]);
    let after = TimeSpan {
        from: TimestampMs(6),
        to: TimestampMs(99),
    };
    assert!(
        files
            .series((key(1, 0), key(1, 9)), after)
            .await
            .unwrap()
            .is_empty()
    );
    let error = files
        .read(key(1, 1), TimeSpan::ALL, &mut points)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("day=0/part.snappy.parquet"),
        "{error}"
    );
}

fn good() -> Columns {
    vec![
        ("org", numbers(&[1])),
        ("metric", texts(&[Some("cpu")])),
        ("timestamp", millis(&[1])),
        ("value", floats(&[1.0])),
    ]
}

#[tokio::test]
async fn a_file_that_cannot_be_read_names_its_column_and_what_to_do() {
    let refused = async |change: &dyn Fn(&mut Columns), words: &[&str]| {
        let (mut columns, mut folder) = (good(), OldFolder::new());
        change(&mut columns);
        folder.add_columns(columns);
        let error = match ParquetFiles::in_folder(folder.path()).await {
            Ok(files) => files.series(ALL, TimeSpan::ALL).await.unwrap_err(),
            Err(error) => error,
        };
        let text = error.to_string();
        for word in ["part.snappy.parquet"].iter().chain(words) {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert_eq!(error.kind(), ErrorKind::Invalid);
    };
    refused(&|it| drop(it.remove(0)), &["column=`org`", "org_id"]).await;
    refused(
        &|it| drop(it.remove(2)),
        &["column=`timestamp`", "timestamp_us"],
    )
    .await;
    refused(
        &|it| it[0].1 = texts(&[Some("a")]),
        &["column=`org`", "whole number"],
    )
    .await;
    refused(
        &|it| it[1].1 = millis(&[-1]),
        &["column=`metric`", "below 0"],
    )
    .await;
    refused(&|it| it[1].1 = texts(&[None]), &["column=`metric`", "null"]).await;
    refused(
        &|it| it[1].1 = texts(&[Some("a=b")]),
        &["column=`metric`", "a=b"],
    )
    .await;
    refused(
        &|it| it[2].0 = "timestamp_us",
        &["timestamp_us", "finer than a millisecond"],
    )
    .await;
    refused(
        &|it| it[2].1 = floats(&[1.0]),
        &["column=`timestamp`", "TIMESTAMP"],
    )
    .await;
    refused(
        &|it| it[3].1 = texts(&[Some("1")]),
        &["column=`value`", "DOUBLE"],
    )
    .await;
    refused(
        &|it| it[3].1 = millis(&[(1 << 53) + 1]),
        &["column=`value`", "no double"],
    )
    .await;
    refused(
        &|it| it.push(("shard", numbers(&[1]))),
        &["column=`shard`", "tag"],
    )
    .await;
    refused(
        &|it| it.push(("ts", millis(&[1]))),
        &["column=`timestamp`", "`ts`"],
    )
    .await;
}
