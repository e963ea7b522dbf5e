//! What is exported reads back bit by bit, and says where it comes from.

use std::fs::{self, File};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, TimestampMillisecondType, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use skein_reader::export::{ExportFormat, ExportOptions, Exported, export};
use skein_reader::snapshot::Selection;
use skein_shared::ErrorKind;
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::window::{Resolution, TimeSpan, Window};

use crate::world::{World, Written, key, rolled};

const WINDOW: Window = Window::from_number(19_700);

/// Org, metric, name, time, value's bits.
type Row = (u64, u64, Option<String>, i64, u64);

fn record(metric: u64, window: Window, values: &[f64]) -> Written {
    let start = window.start().0;
    let times = (0..).map(|second| start + second * 1000);
    Written {
        key: key(7, metric),
        // An id that no text makes: such a series has no name.
        name: Some(format!("m{metric}")),
        record_ms: 5,
        partition: 0,
        offset: i64::try_from(metric).unwrap(),
        points: times.zip(values.iter().copied()).collect(),
    }
}

/// Two windows; more rows than a row group takes, floats of every kind.
async fn world() -> World {
    let mut world = World::new().await;
    let mut rng = fastrand::Rng::with_seed(3);
    let odd = [-0.0, 0.0, f64::NAN, f64::NEG_INFINITY, 5e-324];
    let payload = [
        0x7ff8_0000_0000_0123,
        0xfff0_0000_0000_0001,
        0x7ff0_0000_0000_0002,
    ];
    let mut odd = odd.to_vec();
    odd.extend(payload.map(f64::from_bits));
    for number in [0, 1] {
        let window = Window::from_number(WINDOW.number() + number);
        let many = |rng: &mut fastrand::Rng| -> Vec<f64> {
            (0..60_000).map(|_| f64::from_bits(rng.u64(..))).collect()
        };
        let mut records = vec![record(1, window, &odd)];
        records.extend((2..12).map(|metric| record(metric, window, &many(&mut rng))));
        world.add(window, &records).await;
    }
    world
}

async fn exported(
    world: &World,
    (format, resolution): (ExportFormat, Resolution),
    file: &Path,
) -> skein_reader::Result<Exported> {
    let options = ExportOptions {
        format,
        resolution,
        span: TimeSpan::ALL,
        file: file.to_owned(),
    };
    let snapshot = world.snapshot(Selection::Org(OrgId(7))).await;
    export(snapshot, &options).await
}

fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let orgs = batch.column(0).as_primitive::<UInt64Type>();
        let metrics = batch.column(1).as_primitive::<UInt64Type>();
        let names = batch.column(2).as_dictionary::<Int32Type>();
        let texts = names.values().as_string::<i32>();
        let times = batch.column(3).as_primitive::<TimestampMillisecondType>();
        let values = batch.column(4).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let name = names.key(row).map(|place| texts.value(place).to_owned());
            let value = values.value(row).to_bits();
            rows.push((
                orgs.value(row),
                metrics.value(row),
                name,
                times.value(row),
                value,
            ));
        }
    }
    rows
}

fn expected(world: &World) -> Vec<Row> {
    let points = world.expected(Selection::Org(OrgId(7)), TimeSpan::ALL);
    let row = |(key, ms, bits): (skein_shared::ids::SeriesKey, i64, u64)| {
        (key.org.0, key.metric.0, None, ms, bits)
    };
    points.into_iter().map(row).collect()
}

#[tokio::test]
async fn parquet_holds_every_bit_in_groups_of_rows_and_says_where_it_comes_from() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("points.parquet");
    let done = exported(&world, (ExportFormat::Parquet, Resolution::Raw), &file)
        .await
        .unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&file).unwrap()).unwrap();
    let metadata = reader.metadata().clone();
    let groups: Vec<i64> = metadata
        .row_groups()
        .iter()
        .map(parquet::file::metadata::RowGroupMetaData::num_rows)
        .collect();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let (rows, expected) = (rows(&batches), expected(&world));
    assert_eq!(rows.len(), expected.len());
    assert!(rows == expected);
    assert_eq!(done.rows, rows.len() as u64);
    assert_eq!(groups, [1 << 20, done.rows.cast_signed() - (1 << 20)]);
    let said = metadata.file_metadata().key_value_metadata().unwrap();
    let said = |key: &str| {
        let entry = said.iter().find(|entry| entry.key == key).unwrap();
        entry.value.clone().unwrap()
    };
    assert_eq!(said("skein.source"), "s3://skein-test");
    assert_eq!(said("skein.selection"), "org 7");
    assert_eq!(said("skein.from"), "unbounded");
    assert_eq!(said("skein.profile"), "balanced");
    assert_eq!(said("skein.rows"), done.rows.to_string());
    assert_eq!(said("skein.digest"), done.digest.to_string());
    assert!(
        said("skein.manifests").ends_with("@2"),
        "{}",
        said("skein.manifests")
    );
    assert_eq!(done.file_bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn an_arrow_stream_holds_the_same_rows() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("points.arrows");
    exported(&world, (ExportFormat::Arrow, Resolution::Raw), &file)
        .await
        .unwrap();
    let file = std::io::BufReader::new(File::open(&file).unwrap());
    let reader = arrow_ipc::reader::StreamReader::try_new(file, None).unwrap();
    let metadata = reader.schema().metadata().clone();
    assert_eq!(metadata.get("skein.source").unwrap(), "s3://skein-test");
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert!(rows(&batches) == expected(&world));
}

#[tokio::test]
async fn buckets_are_exported_with_all_their_columns() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hours.parquet");
    let done = exported(&world, (ExportFormat::Parquet, Resolution::OneHour), &file)
        .await
        .unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&file).unwrap()).unwrap();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let [batch] = batches.as_slice() else {
        panic!("few rows are one batch");
    };
    let schema = batch.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let expected = "org metric series start count nans sum min max first last increase avg";
    assert_eq!(names.join(" "), expected);
    let points = world.expected(Selection::Series(key(7, 3)), WINDOW.span());
    let points = points
        .into_iter()
        .map(|(_, ms, bits)| (ms, f64::from_bits(bits)));
    let hours = rolled(&points.collect(), Resolution::OneHour);
    let metrics = batch.column(1).as_primitive::<UInt64Type>();
    let starts = batch.column(3).as_primitive::<TimestampMillisecondType>();
    let first = (0..batch.num_rows())
        .find(|row| metrics.value(*row) == 3 && starts.value(*row) == hours.starts_ms[0])
        .unwrap();
    for (at, bucket) in (first..).zip(hours.buckets()) {
        let count = |column: usize| batch.column(column).as_primitive::<UInt64Type>().value(at);
        let float = |column: usize| batch.column(column).as_primitive::<Float64Type>().value(at);
        assert_eq!(
            (starts.value(at), count(4), count(5)),
            (bucket.start_ms, bucket.count, bucket.nans)
        );
        let found = [6, 7, 8, 9, 10, 11, 12].map(|column| float(column).to_bits());
        let floats = skein_reader::buckets_output::float_columns(&bucket);
        assert_eq!(found, floats.map(f64::to_bits));
    }
    assert_eq!(done.rows, batch.num_rows() as u64);
}

#[tokio::test]
async fn an_export_that_fails_leaves_nothing_and_one_of_a_taken_name_changes_nothing() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let count = || fs::read_dir(directory.path()).unwrap().count();
    let manifest = world.manifests.values().next().unwrap();
    let segment = &manifest.segments[1].key;
    let mut damaged = world.bucket.get(segment).await.unwrap().to_vec();
    let sound = damaged.clone();
    // In the last run: much is written before it is read.
    let place =
        damaged.len() - usize::try_from(manifest.segments[1].summary.tail_bytes).unwrap() - 5000;
    damaged[place] ^= 1;
    let put = |bytes: Vec<u8>| world.bucket.put(segment, bytes.into(), WriteId::random());
    put(damaged).await.unwrap();
    let formats = [
        ExportFormat::Parquet,
        ExportFormat::Arrow,
        ExportFormat::Csv,
        ExportFormat::Jsonl,
    ];
    let file = directory.path().join("points");
    for format in formats {
        let failed = exported(&world, (format, Resolution::Raw), &file).await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Corrupt, "{format:?}");
        assert_eq!(count(), 0, "{format:?}");
    }
    put(sound).await.unwrap();
    exported(&world, (ExportFormat::Csv, Resolution::Raw), &file)
        .await
        .unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), expected(&world).len() + 1);
    let taken = exported(&world, (ExportFormat::Parquet, Resolution::Raw), &file).await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        (fs::read_to_string(&file).unwrap() == text, count()),
        (true, 1)
    );
}
