//! What the old pipeline keeps.

use std::collections::BTreeMap;

use skein_shared::format::object_key::{Attempt, OldFileName};
use skein_shared::format::old_file::OldFile;
use skein_shared::format::old_progress::{OldCounts, OldProgress};
use skein_shared::format::order_column::{ChainIndex, Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::OrgId;
use skein_shared::offset::Offset;
use skein_shared::window::TimestampMs;

use super::fixed::{at, chain, key, span, worker, write_id};
use super::{Golden, Written};

const ATTEMPT: Attempt = Attempt(0x0123_4567_89ab_cdef);

pub(super) fn goldens() -> Vec<Golden> {
    vec![
        Golden {
            name: "old-file-1",
            written: Written::Packed(file().encode(write_id()).to_vec()),
            check: Box::new(|bytes| {
                let (found, back) = OldFile::decode(bytes).unwrap();
                assert_eq!(found, write_id(), "old-file-1");
                assert_eq!(back, file(), "old-file-1");
            }),
        },
        Golden::of_envelope(
            "old-progress-1",
            progress(),
            OldProgress::encode,
            OldProgress::decode,
        ),
    ]
}

fn order(record_timestamp: Option<TimestampMs>, offset: i64) -> Order {
    Order {
        seals: 1,
        record_timestamp,
        chain: ChainIndex(0),
        offset: Offset(offset),
    }
}

fn file() -> OldFile {
    let timestamps_ms = [100, 15_100, 30_100, 45_101].map(|ms| at(ms).0).to_vec();
    let runs = [(order(None, 4_000), 1), (order(Some(at(50_000)), 4_100), 3)];
    OldFile {
        name: OldFileName {
            series: key(42, 0x8000_0000_0000_0007),
            chain: chain("points", 5),
            span: span(4_000, 4_200),
            first: TimestampMs(timestamps_ms[0]),
            last: TimestampMs(timestamps_ms[3]),
            attempt: ATTEMPT,
        },
        fleet: 12,
        points: SeriesBuffer {
            timestamps_ms,
            values: vec![1.5, 1.5, f64::NEG_INFINITY, 0.1],
            orders: runs
                .map(|(order, points)| OrderRun { order, points })
                .to_vec(),
        },
        metadata: Some(SeriesMetadata {
            order: order(Some(at(50_000)), 4_100),
            entries: BTreeMap::from([("host".to_owned(), "a".to_owned())]),
        }),
    }
}

fn progress() -> OldProgress {
    OldProgress {
        chain: chain("points", 5),
        number: 3,
        from: Offset(4_000),
        to: Offset(4_200),
        attempt: ATTEMPT,
        writer: worker(),
        fleet: 12,
        at: at(60_000),
        counts: OldCounts {
            records: 200,
            refused_records: 1,
            points_in: 9_000,
            duplicates: 20,
            not_owned: 80,
            points: 8_900,
            files: 17,
            file_bytes: 31_000,
        },
        not_written_to: BTreeMap::from([(OrgId(42), at(70_000))]),
    }
}
