use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::format::order_column::OrderRun;
use crate::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName};
use crate::offset::{Offset, Span};

fn order(record_ms: Option<i64>, offset: i64) -> Order {
    Order {
        seals: 1,
        record_timestamp: record_ms.map(TimestampMs),
        chain: ChainIndex(0),
        offset: Offset(offset),
    }
}

/// A file of these points, each from a record of its own.
fn file(points: &BTreeMap<i64, u64>, records: &[(Option<i64>, i64)]) -> OldFile {
    let mut buffer = SeriesBuffer::default();
    for ((time, bits), record) in points.iter().zip(records.iter().cycle()) {
        buffer.timestamps_ms.push(*time);
        buffer.values.push(f64::from_bits(*bits));
        let order = order(record.0, record.1);
        buffer.push_order(OrderRun { order, points: 1 });
    }
    OldFile {
        name: OldFileName {
            series: SeriesKey {
                org: OrgId(7),
                metric: MetricId(u64::MAX),
            },
            chain: Chain {
                source: SourceName::new("kafka").unwrap(),
                topic: TopicName::new("points").unwrap(),
                incarnation: Incarnation(1),
                partition: PartitionId(3),
            },
            span: Span::new(Offset(0), Offset(i64::MAX)),
            first: TimestampMs(buffer.timestamps_ms[0]),
            last: TimestampMs(*buffer.timestamps_ms.last().unwrap()),
            attempt: Attempt(0xfedc_ba98_7654_3210),
        },
        fleet: 12,
        points: buffer,
        metadata: None,
    }
}

fn bits(file: &OldFile) -> Vec<u64> {
    file.points.values.iter().map(|it| it.to_bits()).collect()
}

/// Without the values, of which NaN is never equal to itself.
fn without_values(mut file: OldFile) -> OldFile {
    file.points.values.clear();
    file
}

#[test]
fn the_ends_of_time_and_odd_floats_keep_every_bit() {
    let odd = [f64::NAN, -0.0, f64::MIN_POSITIVE / 8.0, f64::NEG_INFINITY].map(f64::to_bits);
    let times = [i64::MIN, -1, 0, i64::MAX];
    let file = file(&times.into_iter().zip(odd).collect(), &[(None, 0)]);
    let (_, back) = OldFile::decode(&file.encode(WriteId::random())).unwrap();
    assert_eq!(bits(&back), odd);
    assert_eq!(back.points.timestamps_ms, times);
}

#[test]
fn an_even_grid_of_a_still_value_takes_next_to_nothing() {
    let grid = (0..10_000).map(|i| (i * 15_000, 1.5_f64.to_bits()));
    let file = file(&grid.collect(), &[(Some(1), 1)]);
    let bytes = file.encode(WriteId::random());
    assert!(bytes.len() < 300, "{}", bytes.len());
}

proptest! {
    #[test]
    fn a_file_reads_back_and_damage_is_refused(
        points in prop::collection::btree_map(any::<i64>(), any::<u64>(), 1..200),
        records in prop::collection::vec((any::<Option<i64>>(), 0..i64::MAX), 1..9),
        entries in prop::option::of(prop::collection::btree_map(".{0,9}", ".{0,9}", 0..4)),
        flip in 1_u8..,
        place: prop::sample::Index,
    ) {
        let mut file = file(&points, &records);
        let said_by = records[0];
        file.metadata = entries.map(|entries| SeriesMetadata {
            order: order(said_by.0, said_by.1),
            entries,
        });
        let id = WriteId::random();
        let mut bytes = file.encode(id).to_vec();
        let (found, back) = OldFile::decode(&bytes).unwrap();
        prop_assert_eq!(found, id);
        prop_assert_eq!(bits(&back), bits(&file));
        prop_assert_eq!(without_values(back), without_values(file));
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        prop_assert!(OldFile::decode(&bytes).is_err());
    }

    #[test]
    fn no_column_makes_the_decoder_panic(
        bytes: Vec<u8>,
        (points, times_raw_bytes, stretches) in (0_u64..300, 0_u64..400, 0_u64..300),
        (first_ms, last_ms) in any::<(i64, i64)>(),
    ) {
        let squeezed = crate::format::number_chunk::squeeze(&bytes);
        for column in [&bytes, &squeezed] {
            let message = OldFileMessage {
                points,
                first_ms,
                last_ms,
                times: column.clone(),
                times_raw_bytes,
                values: column.clone(),
                stretches,
                stretch_column: column.clone(),
                stretches_raw_bytes: bytes.len() as u64,
                ..OldFileMessage::default()
            };
            let sealed = envelope::seal(Kind::OldFile, WriteId::random(), &message);
            prop_assert!(OldFile::decode(&sealed).is_err());
        }
    }
}
