//! Ours against what any protobuf library makes of the `.proto`.

use proptest::prelude::*;
use prost::Message;
use protox::prost_reflect::{DescriptorPool, DynamicMessage, MapKey, MessageDescriptor, Value};

use crate::ids::{MetricId, OrgId};
use crate::payload::{Limits, Payload, PayloadPoints, PayloadView, Refusal, org_of};
use crate::units::ByteCount;
use crate::window::TimestampMs;

/// Lets points of one payload lie as far apart as they can.
const ALL_OF_TIME: Limits = Limits {
    payload_bytes: ByteCount(u64::MAX),
    windows: u64::MAX,
    ..Limits::DEFAULT
};

/// The message as the `.proto` file has it.
fn descriptor() -> MessageDescriptor {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(["skein/v1/payload.proto"], [root]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    pool.get_message_by_name("skein.v1.Payload").unwrap()
}

/// What a producer in another language writes.
fn foreign_bytes(payload: &Payload) -> Vec<u8> {
    let mut message = DynamicMessage::new(descriptor());
    message.set_field_by_name("org_id", Value::U64(payload.org.0));
    message.set_field_by_name("metric_id", Value::U64(payload.metric.0));
    let mut last = 0;
    let deltas = payload.timestamps.iter().map(|t| {
        let delta = t.0 - last;
        last = t.0;
        Value::I64(delta)
    });
    message.set_field_by_name("timestamps_ms", Value::List(deltas.collect()));
    let values = payload.values.iter().map(|v| Value::F64(*v));
    message.set_field_by_name("values", Value::List(values.collect()));
    let entries = payload.metadata.iter();
    let map = entries.map(|(k, v)| (MapKey::String(k.clone()), Value::String(v.clone())));
    message.set_field_by_name("metadata", Value::Map(map.collect()));
    message.encode_to_vec()
}

fn points(view: &PayloadView<'_>) -> Vec<(i64, u64)> {
    decoded(view.points())
}

fn decoded(points: &PayloadPoints<'_>) -> Vec<(i64, u64)> {
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    points.decode_into(&mut timestamps, &mut values);
    let bits = values.iter().map(|value| value.to_bits());
    timestamps.into_iter().zip(bits).collect()
}

/// What is packed is what was parsed.
#[track_caller]
fn check_packed(points: &PayloadPoints<'_>) {
    let mut bytes = vec![7];
    points.pack_into(&mut bytes);
    assert_eq!(bytes.len() - 1, points.packed_bytes());
    let packed = PayloadPoints::of_packed(&bytes[1..]);
    assert_eq!(decoded(&packed), decoded(points));
    assert!(packed.metadata().eq(points.metadata()));
    assert_eq!(packed.has_metadata(), points.metadata().next().is_some());
}

fn points_of(payload: &Payload) -> Vec<(i64, u64)> {
    let bits = payload.values.iter().map(|value| value.to_bits());
    payload.timestamps.iter().map(|t| t.0).zip(bits).collect()
}

fn sorted_metadata<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mut all: Vec<_> = entries.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    all.sort();
    all
}

prop_compose! {
    fn any_payload()(
        org: u64, metric: u64,
        points in proptest::collection::vec((-(1_i64 << 61)..1 << 61, any::<u64>()), 0..40),
        regular: bool, step in 0..1_i64 << 40,
        metadata in proptest::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..4),
    ) -> Payload {
        let time = |i: i64, t: i64| if regular { points[0].0 + i * step } else { t };
        Payload {
            org: OrgId(org),
            metric: MetricId(metric),
            timestamps: (0..).zip(&points).map(|(i, (t, _))| TimestampMs(time(i, *t))).collect(),
            values: points.iter().map(|(_, bits)| f64::from_bits(*bits)).collect(),
            metadata: metadata.into_iter().collect(),
        }
    }
}

proptest! {
    #[test]
    fn a_foreign_payload_decodes_bit_for_bit(payload in any_payload()) {
        let bytes = foreign_bytes(&payload);
        let view = PayloadView::parse(&bytes, &ALL_OF_TIME, None).unwrap();
        prop_assert_eq!((view.org(), view.series().metric), (payload.org, payload.metric));
        prop_assert_eq!(points(&view), points_of(&payload));
        check_packed(view.points());
        prop_assert_eq!(sorted_metadata(view.points().metadata()), payload.metadata.clone());
        prop_assert_eq!(org_of(Some(&bytes), None), Ok(payload.org));
        let earliest = payload.timestamps.iter().min().copied();
        prop_assert_eq!(view.time_range().map(|r| r.earliest), earliest);
        prop_assert_eq!(view.time_range().map(|r| r.first), payload.timestamps.first().copied());
    }

    #[test]
    fn our_payload_decodes_bit_for_bit_here_and_elsewhere(payload in any_payload()) {
        let mut bytes = Vec::new();
        payload.encode(&mut bytes);
        let view = PayloadView::parse(&bytes, &ALL_OF_TIME, None).unwrap();
        prop_assert_eq!(points(&view), points_of(&payload));

        let foreign = DynamicMessage::decode(descriptor(), bytes.as_slice()).unwrap();
        prop_assert_eq!(foreign.unknown_fields().count(), 0);
        prop_assert_eq!(foreign.get_field_by_name("org_id").unwrap().as_u64(), Some(payload.org.0));
        let values = foreign.get_field_by_name("values").unwrap();
        let bits = values.as_list().unwrap().iter().map(|v| v.as_f64().unwrap().to_bits());
        prop_assert!(bits.eq(payload.values.iter().map(|v| v.to_bits())));
        let deltas = foreign.get_field_by_name("timestamps_ms").unwrap();
        let regular = foreign.get_field_by_name("regular").unwrap();
        let count = regular.as_message().unwrap().get_field_by_name("count").unwrap().as_u32();
        let timestamps = deltas.as_list().unwrap().len() + count.unwrap() as usize;
        prop_assert_eq!(timestamps, payload.timestamps.len());
        let metadata = foreign.get_field_by_name("metadata").unwrap();
        prop_assert_eq!(metadata.as_map().unwrap().len(), payload.metadata.len());
    }

    #[test]
    fn a_truncated_payload_never_panics_and_never_loses_a_part_of_the_points(payload in any_payload(), cut in 0_usize..400) {
        let mut bytes = Vec::new();
        payload.encode(&mut bytes);
        let cut = cut % bytes.len();
        if let Ok(view) = PayloadView::parse(&bytes[..cut], &Limits::default(), None) {
            // A cut between two fields leaves a payload of its own, with all of the points or none.
            prop_assert!(view.point_count() == 0 || points(&view) == points_of(&payload));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), like in 0_u8..8) {
        let mut soup = vec![0x08, 1, 0x10, 2, like << 3 | 2];
        soup.extend(&bytes);
        for bytes in [&bytes, &soup] {
            let _ = org_of(Some(bytes), None);
            let _ = org_of(None, Some(bytes));
            if let Ok(view) = PayloadView::parse(bytes, &Limits::default(), Some(TimestampMs(0))) {
                prop_assert_eq!(points(&view).len(), view.point_count());
                check_packed(view.points());
                view.points().metadata().for_each(drop);
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(payload in any_payload(), at: prop::sample::Index, bit in 0..8) {
        let mut bytes = Vec::new();
        payload.encode(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(view) = PayloadView::parse(&bytes, &Limits::default(), None) {
            prop_assert_eq!(points(&view).len(), view.point_count());
        }
    }
}

#[test]
fn lists_may_come_unpacked_and_in_pieces() {
    // org 1, metric 2, value 1.0 unpacked, times [10] packed, +5 unpacked, value -0.0 packed, unknown field 9.
    let mut bytes = vec![0x08, 1, 0x10, 2, 0x29];
    bytes.extend(1.0_f64.to_le_bytes());
    bytes.extend([0x1a, 1, 20, 0x18, 10, 0x2a, 8]);
    bytes.extend((-0.0_f64).to_le_bytes());
    bytes.extend([0x4a, 2, 7, 7]);
    let view = PayloadView::parse(&bytes, &Limits::default(), None).unwrap();
    let zero = (-0.0_f64).to_bits();
    assert_eq!(points(&view), [(10, 1.0_f64.to_bits()), (15, zero)]);
}

#[track_caller]
fn check(fields: &[u8], expected: &Refusal) {
    let bytes = [&[0x08, 1, 0x10, 2], fields].concat();
    let refusal = PayloadView::parse(&bytes, &Limits::default(), Some(TimestampMs(0)));
    assert_eq!(
        refusal.map(|view| view.point_count()).as_ref(),
        Err(expected)
    );
}

#[test]
fn every_fault_has_its_reason() {
    let one_value = [&[0x2a, 8][..], &1.0_f64.to_le_bytes()].concat();
    let with_value = |fields: &[u8]| [&one_value[..], fields].concat();
    let (timestamps, values) = (0, 1);
    check(&one_value, &Refusal::CountsDiffer { timestamps, values });
    check(
        &with_value(&[0x22, 2, 0x18, 1, 0x1a, 1, 0]),
        &Refusal::TimesTwice,
    );
    let (first, second) = (OrgId(1), OrgId(3));
    check(&[0x08, 3], &Refusal::OrgMismatch { first, second });
    let reason = "a field whose wire type is not its own";
    check(&[0x1d, 0, 0, 0, 0], &Refusal::Malformed { at: 4, reason });
    let reason = "a length beyond the end";
    check(&[0x1a, 9], &Refusal::Malformed { at: 6, reason });
    let huge_step = [
        0x22, 13, 0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0x18, 2,
    ];
    let two_values = [with_value(&[]), with_value(&huge_step)].concat();
    check(&two_values, &Refusal::TimestampOverflow { index: 1 });

    let day = 24 * 3600 * 1000;
    let record = TimestampMs(0);
    let at = |ms: i64| {
        let mut bytes = Vec::new();
        let (timestamps, values) = (vec![TimestampMs(ms)], vec![0.0]);
        Payload {
            timestamps,
            values,
            ..Payload::default()
        }
        .encode(&mut bytes);
        PayloadView::parse(&bytes, &Limits::default(), Some(record)).map(|view| view.point_count())
    };
    assert_eq!(at(day), Ok(1));
    let timestamp = TimestampMs(day + 1);
    assert_eq!(at(day + 1), Err(Refusal::TooNew { timestamp, record }));
    assert_eq!(at(-3650 * day), Ok(1));
    let timestamp = TimestampMs(-3650 * day - 1);
    assert_eq!(at(timestamp.0), Err(Refusal::TooOld { timestamp, record }));
}

#[test]
fn every_limit_has_its_reason() {
    let limits = Limits {
        points: 3,
        metadata_entries: 2,
        ..Limits::default()
    };
    let refusal = |points: usize, metadata: &[(&str, usize)]| {
        let mut bytes = Vec::new();
        let metadata = metadata
            .iter()
            .map(|(k, len)| ((*k).to_owned(), "x".repeat(*len)));
        Payload {
            timestamps: vec![TimestampMs(0); points],
            values: vec![0.0; points],
            metadata: metadata.collect(),
            ..Payload::default()
        }
        .encode(&mut bytes);
        PayloadView::parse(&bytes, &limits, None).map_or_else(|refusal| refusal.name(), |_| "none")
    };
    assert_eq!(refusal(3, &[("a", 1), ("b", 1)]), "none");
    assert_eq!(refusal(4, &[]), "points");
    assert_eq!(
        refusal(0, &[("a", 1), ("b", 1), ("c", 1)]),
        "metadata-entries"
    );
    assert_eq!(refusal(0, &[("a", 64 * 1024)]), "metadata-bytes");
    assert_eq!(refusal(0, &[("a", 8 * 1024 * 1024)]), "payload-bytes");
}

#[test]
fn points_over_more_windows_than_their_metadata_affords_are_refused() {
    let limits = Limits {
        windows: 10,
        ..Limits::default()
    };
    let day = 86_400_000;
    let refusal = |days: i64, metadata_bytes: usize| {
        let mut bytes = Vec::new();
        Payload {
            timestamps: vec![TimestampMs(day * (days - 1)), TimestampMs(0)],
            values: vec![0.0; 2],
            metadata: vec![(String::new(), "x".repeat(metadata_bytes))],
            ..Payload::default()
        }
        .encode(&mut bytes);
        let limits = Limits {
            payload_bytes: ByteCount(9 * 1024),
            ..limits
        };
        PayloadView::parse(&bytes, &limits, None).map(drop)
    };
    assert_eq!(refusal(10, 0), Ok(()));
    let refused = |windows, limit| Err(Refusal::Windows { windows, limit });
    assert_eq!(refusal(11, 0), refused(11, 10));
    assert_eq!(refusal(9, 1024), Ok(()));
    assert_eq!(refusal(10, 1024), refused(10, 9));
    assert_eq!(refusal(1, 8 * 1024), Ok(()));
}

#[test]
fn the_one_instant_that_no_span_can_hold_is_refused() {
    let parse = |ms: i64| {
        let mut bytes = Vec::new();
        Payload {
            timestamps: vec![TimestampMs(ms)],
            values: vec![0.0],
            ..Payload::default()
        }
        .encode(&mut bytes);
        PayloadView::parse(&bytes, &Limits::default(), None).map(drop)
    };
    assert_eq!(parse(i64::MAX), Err(Refusal::TimestampReserved));
    assert_eq!(parse(i64::MAX - 1), Ok(()));
    assert_eq!(parse(i64::MIN), Ok(()));
}
