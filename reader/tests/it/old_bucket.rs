//! What the old pipeline keeps in the bucket: a file for each series and flush.

use std::collections::BTreeMap;

use skein_reader::old_files::OldFiles;
use skein_reader::old_places::OldPlaces;
use skein_reader::old_source::OldSource;
use skein_shared::bucket::{Bucket, Created};
use skein_shared::format::object_key::{Attempt, OldFileName};
use skein_shared::format::old_file::OldFile;
use skein_shared::format::old_progress::{OldCounts, OldProgress};
use skein_shared::format::order_column::{ChainIndex, Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{SeriesKey, WorkerId};
use skein_shared::offset::{Offset, Span};
use skein_shared::old_log;
use skein_shared::series::SERIES_METADATA_KEY;
use skein_shared::window::TimestampMs;

use crate::old_folder::OldRow;
use crate::world::chain;

/// Of equal times the last record's.
type Last<'a> = BTreeMap<i64, (i64, &'a OldRow)>;

fn order(offset: i64) -> Order {
    Order {
        seals: 1,
        record_timestamp: Some(TimestampMs(offset)),
        chain: ChainIndex(0),
        offset: Offset(offset),
    }
}

fn file(key: SeriesKey, (from, to): (i64, i64), rows: &Last<'_>) -> OldFile {
    let (first, last) = (
        rows.first_key_value().unwrap(),
        rows.last_key_value().unwrap(),
    );
    let newest = rows.values().max_by_key(|(offset, _)| *offset).unwrap();
    let metadata = newest.1.name.as_ref().map(|name| SeriesMetadata {
        order: order(newest.0),
        entries: BTreeMap::from([(SERIES_METADATA_KEY.to_owned(), name.clone())]),
    });
    let mut points = SeriesBuffer::default();
    for (ms, (offset, row)) in rows {
        points.timestamps_ms.push(*ms);
        points.values.push(row.value);
        points.push_order(OrderRun {
            order: order(*offset),
            points: 1,
        });
    }
    OldFile {
        name: OldFileName {
            series: key,
            chain: chain(0),
            span: Span {
                from: Offset(from),
                to: Offset(to),
            },
            first: TimestampMs(*first.0),
            last: TimestampMs(*last.0),
            attempt: Attempt(3),
        },
        fleet: 0,
        points,
        metadata,
    }
}

/// Writes rows, each with its record's offset, in two flushes, and a file that does not count yet.
pub(crate) async fn write(bucket: &Bucket, rows: &[(i64, OldRow)], end: i64) -> OldPlaces {
    let half = end / 2;
    for (from, to) in [(0, half), (half, end)] {
        let mut series: BTreeMap<SeriesKey, Last<'_>> = BTreeMap::new();
        for (offset, row) in rows
            .iter()
            .filter(|(offset, _)| (from..to).contains(offset))
        {
            let last = series.entry(row.key).or_default();
            last.insert(row.ms, (*offset, row));
        }
        for (key, rows) in series {
            old_log::write_file(bucket, &file(key, (from, to), &rows))
                .await
                .unwrap();
            let later = file(key, (end, end + 1), &rows);
            old_log::write_file(bucket, &later).await.unwrap();
        }
    }
    let progress = OldProgress {
        chain: chain(0),
        number: 1,
        from: Offset(0),
        to: Offset(end),
        attempt: Attempt(3),
        writer: WorkerId::random(),
        fleet: 0,
        at: TimestampMs(0),
        counts: OldCounts::default(),
        not_written_to: BTreeMap::new(),
    };
    let appended = old_log::append(bucket, &progress).await.unwrap();
    assert_eq!(appended, Created::Ours);
    let files = OldFiles::open(bucket).await.unwrap();
    OldPlaces::only(OldSource::Files(files))
}
