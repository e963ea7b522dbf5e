//! Points that are to be gone for ever: the objects at `deletes/<number>`.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::segment_writer::SegmentSummary;
use crate::format::wire::Reading;
use crate::ids::{Chain, MetricId, OrgId, SeriesKey, WriteId};
use crate::offset::Offset;
use crate::window::{TimeSpan, TimestampMs, Window};

/// One delete. It takes the points that its selector names out of all records below its positions, for ever: also when
/// such a record is compacted later, or again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteEntry {
    /// Its number; the first is 1, and each is one more than the one before.
    pub number: u64,
    /// Which points.
    pub selector: DeleteSelector,
    /// Per chain the end of the ledger at a moment after it was made. A chain that is absent began later, and nothing of it
    /// is taken. `None` is an object that leaves them to [`DeletePositions`](super::delete_positions::DeletePositions):
    /// until these are known it takes the records of every chain.
    pub positions: Option<BTreeMap<Chain, Offset>>,
    /// Who made it, and why, in the words of that person.
    pub stated: Statement,
    /// When, by the bucket's clock.
    pub at: TimestampMs,
    /// When no segment may hold any of the points any more, by the same clock.
    pub deadline: TimestampMs,
    /// Of the entry before and its positions: a change to any of them shows. Of nothing for the first.
    pub previous: EntryHash,
}

/// What a person says about a delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Where it was asked for.
    pub ticket: Option<String>,
}

/// Points of one org: of all metrics or one, of all time or a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteSelector {
    /// Whose.
    pub org: OrgId,
    /// Of which metric; `None` is all.
    pub metric: Option<MetricId>,
    /// Of which event times.
    pub span: TimeSpan,
}

/// xxh3-128 of an entry's whole object, and of that of its positions behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryHash(pub u128);

impl EntryHash {
    /// Of the bytes of an entry that has its positions inside.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }

    /// Of the bytes of an entry and of those of its positions.
    pub fn of_both(entry: &[u8], positions: &[u8]) -> Self {
        Self::of(&[entry, positions].concat())
    }
}

impl DeleteSelector {
    /// The first and the last series that it names.
    pub fn series(&self) -> (SeriesKey, SeriesKey) {
        let key = |metric| SeriesKey {
            org: self.org,
            metric,
        };
        match self.metric {
            Some(metric) => (key(metric), key(metric)),
            None => (key(MetricId(0)), key(MetricId(u64::MAX))),
        }
    }

    /// Whether a segment with these bounds may hold points that it names. Errs only towards yes.
    pub fn may_touch(&self, summary: &SegmentSummary) -> bool {
        let (first, last) = self.series();
        first <= summary.last_series
            && summary.first_series <= last
            && self.span.from <= summary.last_timestamp
            && summary.first_timestamp < self.span.to
    }

    /// The same of a rollup of `window`, of which bounds say where buckets begin.
    pub fn may_touch_rollup(&self, window: Window, summary: &SegmentSummary) -> bool {
        let (first, last) = self.series();
        let has_series = first <= summary.last_series && summary.first_series <= last;
        has_series && self.span.overlaps(window.span())
    }
}

impl DeleteEntry {
    /// The first offset of `chain` that is not taken: the end of all while its positions are not known.
    pub fn end_of(&self, chain: &Chain) -> Offset {
        match &self.positions {
            Some(positions) => positions.get(chain).copied().unwrap_or(Offset(0)),
            None => Offset(i64::MAX),
        }
    }

    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let span = self.selector.span;
        let bound = |at: TimestampMs, none: TimestampMs| (at != none).then_some(at.0);
        let positions = self.positions.iter().flatten();
        let message = DeleteMessage {
            number: self.number,
            org: self.selector.org.0,
            metric: self.selector.metric.map(|metric| metric.0),
            from_ms: bound(span.from, TimeSpan::ALL.from),
            to_ms: bound(span.to, TimeSpan::ALL.to),
            positions: chain_groups::group(positions.map(|(chain, end)| (chain, end.0))),
            actor: self.stated.actor.clone(),
            reason: self.stated.reason.clone(),
            ticket: self.stated.ticket.clone(),
            at_ms: self.at.0,
            deadline_ms: self.deadline.0,
            previous: self.previous.0.to_be_bytes().to_vec(),
            positions_apart: self.positions.is_none(),
        };
        envelope::seal(Kind::DeleteEntry, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact delete.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<DeleteMessage>(Kind::DeleteEntry, bytes)?;
        let refuse = |reason| Error::decode(Kind::DeleteEntry.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct DeleteMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    org: u64,
    #[prost(fixed64, optional, tag = "3")]
    metric: Option<u64>,
    #[prost(sint64, optional, tag = "4")]
    from_ms: Option<i64>,
    #[prost(sint64, optional, tag = "5")]
    to_ms: Option<i64>,
    #[prost(message, repeated, tag = "6")]
    positions: Vec<ChainGroup>,
    #[prost(string, tag = "7")]
    actor: String,
    #[prost(string, tag = "8")]
    reason: String,
    #[prost(string, optional, tag = "9")]
    ticket: Option<String>,
    #[prost(sint64, tag = "10")]
    at_ms: i64,
    #[prost(sint64, tag = "11")]
    deadline_ms: i64,
    #[prost(bytes = "vec", tag = "12")]
    previous: Vec<u8>,
    #[prost(bool, tag = "13")]
    positions_apart: bool,
}

impl DeleteMessage {
    fn read(self) -> Reading<DeleteEntry> {
        if self.number == 0 {
            return Err("number 0 is never written".into());
        }
        let span = TimeSpan {
            from: self.from_ms.map_or(TimeSpan::ALL.from, TimestampMs),
            to: self.to_ms.map_or(TimeSpan::ALL.to, TimestampMs),
        };
        if span.is_empty() {
            return Err("its span is empty or runs backwards".into());
        }
        let positions = chain_groups::ungroup(self.positions)?;
        if self.positions_apart && !positions.is_empty() {
            return Err("it has positions, and says that they are kept apart".into());
        }
        let positions = positions.into_iter().map(|(chain, at)| (chain, Offset(at)));
        let previous = self.previous.try_into();
        let previous = previous.map_err(|_| "the hash of the delete before is not 16 bytes")?;
        Ok(DeleteEntry {
            number: self.number,
            selector: DeleteSelector {
                org: OrgId(self.org),
                metric: self.metric.map(MetricId),
                span,
            },
            positions: (!self.positions_apart).then(|| positions.collect()),
            stated: Statement {
                actor: self.actor,
                reason: self.reason,
                ticket: self.ticket,
            },
            at: TimestampMs(self.at_ms),
            deadline: TimestampMs(self.deadline_ms),
            previous: EntryHash(u128::from_be_bytes(previous)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Incarnation, PartitionId, SourceName, TopicName};

    prop_compose! {
        fn entry()(
            numbers in (1_u64.., any::<u64>(), any::<Option<u64>>()),
            span in (any::<Option<i32>>(), any::<Option<u16>>()),
            ends in proptest::option::of(
                proptest::collection::btree_map(any::<u32>(), 0_i64.., 0..9)),
            texts in (".{0,9}", ".{0,40}", proptest::option::of(".{0,9}")),
            times in (any::<i64>(), any::<i64>(), any::<u128>()),
        ) -> DeleteEntry {
            let (number, org, metric) = numbers;
            let (actor, reason, ticket) = texts;
            let (at, deadline, previous) = times;
            let from = span.0.map_or(i64::MIN, i64::from);
            let to = span.1.map_or(i64::MAX, |more| i64::from(i32::MAX) + 1 + i64::from(more));
            let chain = |partition| Chain {
                source: SourceName::new("a").unwrap(),
                topic: TopicName::new("t").unwrap(),
                incarnation: Incarnation(1),
                partition: PartitionId(partition),
            };
            DeleteEntry {
                number,
                selector: DeleteSelector {
                    org: OrgId(org),
                    metric: metric.map(MetricId),
                    span: TimeSpan { from: TimestampMs(from), to: TimestampMs(to) },
                },
                positions: ends.map(|ends| {
                    ends.into_iter().map(|(p, end)| (chain(p), Offset(end))).collect()
                }),
                stated: Statement { actor, reason, ticket },
                at: TimestampMs(at),
                deadline: TimestampMs(deadline),
                previous: EntryHash(previous),
            }
        }
    }

    proptest! {
        #[test]
        fn a_delete_reads_back(entry in entry()) {
            let id = WriteId::random();
            prop_assert_eq!(DeleteEntry::decode(&entry.encode(id)).unwrap(), (id, entry));
        }

        #[test]
        fn a_flipped_bit_or_a_cut_of_a_delete_is_refused(
            entry in entry(),
            at: proptest::sample::Index,
            bit in 0_u8..8,
        ) {
            let bytes = entry.encode(WriteId::random());
            let at = at.index(bytes.len());
            prop_assert!(DeleteEntry::decode(&bytes[..at]).is_err());
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << bit;
            prop_assert!(DeleteEntry::decode(&damaged).is_err());
        }

        #[test]
        fn a_body_of_any_bytes_is_read_or_refused(body: Vec<u8>) {
            if let Ok(message) = DeleteMessage::decode(&body[..]) {
                let _ = message.read();
            }
        }
    }

    #[test]
    fn a_delete_that_nobody_can_have_made_is_refused() {
        let message = DeleteMessage {
            number: 1,
            previous: vec![0; 16],
            ..DeleteMessage::default()
        };
        assert!(message.clone().read().is_ok());
        let change = |change: fn(&mut DeleteMessage)| {
            let mut changed = message.clone();
            change(&mut changed);
            changed.read()
        };
        assert!(change(|m| m.number = 0).is_err());
        assert!(change(|m| m.previous.clear()).is_err());
        assert!(change(|m| (m.from_ms, m.to_ms) = (Some(5), Some(5))).is_err());
        let chain = Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(0),
        };
        let mut twice = message.clone();
        twice.positions = chain_groups::group([(&chain, 5)].into_iter());
        assert!(twice.clone().read().is_ok());
        twice.positions_apart = true;
        assert!(twice.read().is_err());
    }
}
