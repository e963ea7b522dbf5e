//! What deletes leave of a record that goes from state back into a topic.
//!
//! A record that no delete takes a point of goes as it came, byte for byte. Of the others no deleted point goes back: a
//! record with none but deleted ones is left out, and one with some goes with the rest of its points, encoded anew.

use bytes::Bytes;
use serde::Serialize;
use skein_shared::format::delete_entry::DeleteEntry;
use skein_shared::ids::{Chain, OrgId};
use skein_shared::payload::{Limits, ORG_HEADER, Payload, PayloadView, org_in_header, org_of};
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::TimestampMs;

use crate::replay::ordered_records::StateRecord;

/// What is decoded to look for deleted points: whatever any settings may have allowed.
const ANY: Limits = Limits {
    payload_bytes: ByteCount(1 << 40),
    points: u32::MAX,
    metadata_entries: u32::MAX,
    metadata_bytes: ByteCount(1 << 40),
    windows: 1_000_000,
    past: Millis(u64::MAX),
    future: Millis(u64::MAX),
};

/// Points that no replay into a topic brings back.
#[derive(Debug, Clone, Default)]
pub struct DeletedPoints {
    deletes: Vec<DeleteEntry>,
}

/// What is left of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// All of it.
    All,
    /// These of its points, as a value; so many are deleted.
    Some {
        /// The value without them.
        value: Bytes,
        /// How many.
        deleted: u64,
    },
    /// Nothing; so many points are deleted.
    Nothing {
        /// How many.
        deleted: u64,
    },
}

/// What was not brought back because it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DeletedCounts {
    /// Records that were left out: every point of theirs is deleted, or they do not decode and are of an org of which
    /// records at their place are deleted.
    pub records_left_out: u64,
    /// Records that went without some of their points.
    pub records_cut: u64,
    /// Points of both.
    pub points: u64,
}

impl DeletedPoints {
    /// Those of `deletes`.
    pub fn new(deletes: Vec<DeleteEntry>) -> Self {
        Self { deletes }
    }

    /// What is left of a record of `chain`.
    pub fn left_of(&self, chain: &Chain, record: &StateRecord) -> Left {
        let Some(value) = &record.value else {
            return Left::All;
        };
        let mut headers = record.headers.iter().rev();
        let header = headers.find(|(name, _)| name == ORG_HEADER);
        let header = header.and_then(|(_, value)| value.as_deref());
        // Whose it claims to be: a record that names two orgs is refused by compactors, and may be either's.
        let orgs: [Option<OrgId>; 2] = [
            org_of(Some(value), None).ok(),
            header.and_then(|header| org_in_header(header).ok()),
        ];
        let bears = |delete: &&DeleteEntry| {
            orgs.contains(&Some(delete.selector.org)) && record.offset < delete.end_of(chain)
        };
        let bearing: Vec<&DeleteEntry> = self.deletes.iter().filter(bears).collect();
        if bearing.is_empty() {
            return Left::All;
        }
        match PayloadView::parse(value, &ANY, None) {
            Ok(view) if view.check_org(header).is_ok() => left_of_points(&view, &bearing),
            // Nobody can say which points it has.
            Ok(_) | Err(_) => Left::Nothing { deleted: 0 },
        }
    }
}

fn left_of_points(view: &PayloadView<'_>, bearing: &[&DeleteEntry]) -> Left {
    let series = view.series();
    let names = |delete: &&&DeleteEntry| {
        let (first, last) = delete.selector.series();
        first <= series && series <= last
    };
    let naming: Vec<&&DeleteEntry> = bearing.iter().filter(names).collect();
    let is_deleted = |ms: i64| {
        let mut spans = naming.iter().map(|delete| delete.selector.span);
        spans.any(|span| span.contains(TimestampMs(ms)))
    };
    let (mut times, mut values) = (Vec::new(), Vec::new());
    view.points().decode_into(&mut times, &mut values);
    let kept = times
        .iter()
        .zip(&values)
        .filter(|(ms, _)| !is_deleted(**ms));
    let (timestamps, values): (Vec<TimestampMs>, Vec<f64>) =
        kept.map(|(ms, value)| (TimestampMs(*ms), *value)).unzip();
    let deleted = (times.len() - timestamps.len()) as u64;
    if deleted == 0 {
        return Left::All;
    }
    if timestamps.is_empty() {
        return Left::Nothing { deleted };
    }
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let mut value = Vec::new();
    Payload {
        org: series.org,
        metric: series.metric,
        timestamps,
        values,
        metadata: view.points().metadata().map(text).collect(),
    }
    .encode(&mut value);
    Left::Some {
        value: value.into(),
        deleted,
    }
}

impl DeletedCounts {
    /// Counts a record of which `left` is left.
    pub fn add(&mut self, left: &Left) {
        match left {
            Left::All => {}
            Left::Some { deleted, .. } => {
                self.records_cut += 1;
                self.points += deleted;
            }
            Left::Nothing { deleted } => {
                self.records_left_out += 1;
                self.points += deleted;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_shared::format::delete_entry::{DeleteSelector, EntryHash, Statement};
    use skein_shared::format::frame::RecordTimestamp;
    use skein_shared::ids::{Incarnation, MetricId, PartitionId, SourceName, TopicName};
    use skein_shared::offset::Offset;
    use skein_shared::window::TimeSpan;

    use super::*;

    fn chain() -> Chain {
        Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(0),
        }
    }

    fn delete_of((org, metric): (u64, Option<u64>), end: i64, span: TimeSpan) -> DeleteEntry {
        DeleteEntry {
            number: 1,
            selector: DeleteSelector {
                org: OrgId(org),
                metric: metric.map(MetricId),
                span,
            },
            positions: Some([(chain(), Offset(end))].into()),
            stated: Statement::default(),
            at: TimestampMs(0),
            deadline: TimestampMs(0),
            previous: EntryHash::default(),
        }
    }

    fn record(offset: i64, value: Option<&[u8]>, header: Option<&'static str>) -> StateRecord {
        let header = header.map(|org| {
            let org = Bytes::from_static(org.as_bytes());
            (ORG_HEADER.to_owned(), Some(org))
        });
        StateRecord {
            passage: 0,
            offset: Offset(offset),
            timestamp: RecordTimestamp::Missing,
            key: None,
            value: value.map(Bytes::copy_from_slice),
            headers: header.into_iter().collect(),
        }
    }

    fn payload(org: u64, metric: u64, points: &[(i64, f64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Payload {
            org: OrgId(org),
            metric: MetricId(metric),
            timestamps: points.iter().map(|(ms, _)| TimestampMs(*ms)).collect(),
            values: points.iter().map(|(_, value)| *value).collect(),
            metadata: vec![("host".into(), "a".into())],
        }
        .encode(&mut bytes);
        bytes
    }

    fn span(from: i64, to: i64) -> TimeSpan {
        TimeSpan {
            from: TimestampMs(from),
            to: TimestampMs(to),
        }
    }

    proptest! {
        #[test]
        fn what_is_left_of_a_record_is_what_no_delete_takes(
            points in prop::collection::vec((-20_i64..20, 0_u8..9), 0..12),
            place in (0_i64..6, 0_u64..2, 0_u64..2),
            deletes in prop::collection::vec(
                (0_u64..2, prop::option::of(0_u64..2), 0_i64..6, -20_i64..20, 1_i64..30), 0..4),
        ) {
            let (offset, org, metric) = place;
            let points: Vec<(i64, f64)> =
                points.into_iter().map(|(ms, value)| (ms, f64::from(value))).collect();
            let deletes: Vec<DeleteEntry> = deletes
                .into_iter()
                .map(|(org, metric, end, from, length)| {
                    delete_of((org, metric), end, span(from, from + length))
                })
                .collect();
            let is_deleted = |ms: i64| deletes.iter().any(|delete| {
                delete.selector.org == OrgId(org)
                    && delete.selector.metric.is_none_or(|named| named == MetricId(metric))
                    && offset < delete.end_of(&chain()).0
                    && delete.selector.span.contains(TimestampMs(ms))
            });
            let kept: Vec<(i64, f64)> =
                points.iter().copied().filter(|(ms, _)| !is_deleted(*ms)).collect();
            let deleted = (points.len() - kept.len()) as u64;
            let expected = if deleted == 0 {
                Left::All
            } else if kept.is_empty() {
                Left::Nothing { deleted }
            } else {
                Left::Some { value: payload(org, metric, &kept).into(), deleted }
            };
            let value = payload(org, metric, &points);
            let left = DeletedPoints::new(deletes.clone());
            let left = left.left_of(&chain(), &record(offset, Some(&value), None));
            prop_assert_eq!(left, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(value: Vec<u8>, end in 0_i64..9) {
            let all = DeletedPoints::new(vec![delete_of((0, None), end, TimeSpan::ALL)]);
            let _ = all.left_of(&chain(), &record(3, Some(&value), Some("0")));
        }
    }

    #[test]
    fn a_record_that_nobody_can_look_into_is_left_out_where_its_org_is_deleted() {
        let deleted = DeletedPoints::new(vec![delete_of((7, Some(1)), 5, span(0, 9))]);
        let poison = [8, 7, 0xff, 0xff];
        let nothing = Left::Nothing { deleted: 0 };
        let left = |record| deleted.left_of(&chain(), &record);
        assert_eq!(left(record(4, Some(&poison), None)), nothing);
        assert_eq!(left(record(5, Some(&poison), None)), Left::All);
        assert_eq!(left(record(4, Some(b"\xff"), Some("7"))), nothing);
        assert_eq!(left(record(4, Some(b"\xff"), Some("8"))), Left::All);
        assert_eq!(left(record(4, None, Some("7"))), Left::All);
        // Two orgs in one record.
        let of_seven = payload(7, 2, &[(3, 1.0)]);
        assert_eq!(left(record(4, Some(&of_seven), Some("8"))), nothing);
        assert_eq!(left(record(4, Some(&of_seven), Some("7"))), Left::All);
    }
}
