//! A chain's genesis and its entries: which spans of offsets are durable, and where.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::frame::{LastRecord, RecordTimes};
use crate::format::wire::{self, Reading};
use crate::ids::{Chain, FlushId, Tenure, WriteId};
use crate::offset::{Offset, Span};

/// Where a chain begins, and why there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Which chain.
    pub chain: Chain,
    /// Its first offset.
    pub start: Offset,
    /// What chose it.
    pub policy: StartPolicy,
}

/// What chose a chain's first offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StartPolicy {
    /// The oldest record that Kafka had.
    Earliest,
    /// The end of the partition.
    Latest,
    /// An operator.
    Chosen,
}

/// One link of a chain: the offsets `[from, to)` are accounted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Which chain.
    pub chain: Chain,
    /// Which offsets; never empty.
    pub span: Span,
    /// What became of them.
    pub kind: EntryKind,
    /// How many records there were.
    pub frames: u64,
    /// Timestamps of the records that have one.
    pub times: Option<RecordTimes>,
    /// The last record; `None` when the span has none.
    pub last: Option<LastRecord>,
}

/// What became of a span of offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// They are frames in the objects of a flush.
    Flushed {
        /// Which flush.
        flush: FlushId,
        /// The tenure whose frames count.
        tenure: Tenure,
    },
    /// Kafka no longer had them.
    LostSpan {
        /// Who decided to go on, and why.
        reason: String,
    },
}

impl StartPolicy {
    /// The word that settings and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
            Self::Chosen => "chosen",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Earliest, Self::Latest, Self::Chosen]
            .into_iter()
            .find(|policy| policy.name() == name)
    }
}

impl Genesis {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let message = GenesisMessage {
            chain: Some(wire::Chain::of(&self.chain)),
            start: wire::offset_number(self.start),
            policy: self.policy.name().to_owned(),
        };
        envelope::seal(Kind::Genesis, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact genesis.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<GenesisMessage>(Kind::Genesis, bytes)?;
        Ok((id, message.read().map_err(refused(Kind::Genesis))?))
    }
}

impl LedgerEntry {
    /// The object's bytes.
    ///
    /// # Panics
    /// If the span is empty: its key would be the next entry's.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        assert!(
            self.span.from < self.span.to,
            "empty span in the ledger: {}",
            self.span
        );
        envelope::seal(Kind::LedgerEntry, write_id, &EntryMessage::of(self))
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact ledger entry.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<EntryMessage>(Kind::LedgerEntry, bytes)?;
        Ok((id, message.read().map_err(refused(Kind::LedgerEntry))?))
    }
}

fn refused(kind: Kind) -> impl Fn(String) -> Error {
    move |reason| Error::decode(kind.name(), HEADER_BYTES as u64, reason)
}

#[derive(Clone, PartialEq, Message)]
struct GenesisMessage {
    #[prost(message, optional, tag = "1")]
    chain: Option<wire::Chain>,
    #[prost(uint64, tag = "2")]
    start: u64,
    #[prost(string, tag = "3")]
    policy: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryMessage {
    #[prost(message, optional, tag = "1")]
    chain: Option<wire::Chain>,
    #[prost(uint64, tag = "2")]
    from: u64,
    #[prost(uint64, tag = "3")]
    to: u64,
    /// Set with `tenure` when the records are in a flush,
    #[prost(string, optional, tag = "4")]
    flush: Option<String>,
    #[prost(uint64, tag = "5")]
    tenure: u64,
    /// and this one when they are lost.
    #[prost(string, optional, tag = "6")]
    lost: Option<String>,
    #[prost(uint64, tag = "7")]
    frames: u64,
    #[prost(message, optional, tag = "8")]
    times: Option<wire::Times>,
    #[prost(message, optional, tag = "9")]
    last: Option<wire::LastRecord>,
}

impl GenesisMessage {
    fn read(self) -> Reading<Genesis> {
        let policy = StartPolicy::from_name(&self.policy)
            .ok_or_else(|| format!("unknown start policy `{}`", self.policy))?;
        Ok(Genesis {
            chain: wire::required(self.chain, "chain")?.read()?,
            start: wire::offset(self.start)?,
            policy,
        })
    }
}

impl EntryMessage {
    pub(super) fn of(entry: &LedgerEntry) -> Self {
        let (flush, tenure, lost) = match &entry.kind {
            EntryKind::Flushed { flush, tenure } => (Some(flush.to_string()), tenure.0, None),
            EntryKind::LostSpan { reason } => (None, 0, Some(reason.clone())),
        };
        Self {
            chain: Some(wire::Chain::of(&entry.chain)),
            from: wire::offset_number(entry.span.from),
            to: wire::offset_number(entry.span.to),
            flush,
            tenure,
            lost,
            frames: entry.frames,
            times: entry.times.map(wire::Times::of),
            last: entry.last.as_ref().map(wire::LastRecord::of),
        }
    }

    pub(super) fn read(self) -> Reading<LedgerEntry> {
        let kind = match (self.flush, self.lost) {
            (Some(flush), None) => EntryKind::Flushed {
                flush: flush.parse()?,
                tenure: Tenure(self.tenure),
            },
            (None, Some(reason)) => EntryKind::LostSpan { reason },
            (Some(_), Some(_)) | (None, None) => {
                return Err("an entry is either flushed or lost".to_owned());
            }
        };
        let span = wire::span(self.from, self.to)?;
        let last = self.last.map(wire::LastRecord::read).transpose()?;
        if last.is_some_and(|last| !span.contains(last.offset)) {
            return Err(format!("the last record lies outside the span {span}"));
        }
        Ok(LedgerEntry {
            chain: wire::required(self.chain, "chain")?.read()?,
            span,
            kind,
            frames: self.frames,
            times: self.times.map(|times| times.read()),
            last,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::format::frame::RecordTimestamp;
    use crate::ids::{Incarnation, PartitionId, SourceName, TopicName, WorkerId};
    use crate::window::TimestampMs;

    use super::*;

    fn chain() -> Chain {
        Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(1),
            partition: PartitionId(2),
        }
    }

    fn entry(from: i64, length: i64, ms: i64, kind: EntryKind) -> LedgerEntry {
        let last = LastRecord {
            offset: Offset(from + length - 1),
            timestamp: RecordTimestamp::Created(TimestampMs(ms)),
            crc32c: 5,
        };
        LedgerEntry {
            chain: chain(),
            span: Span::new(Offset(from), Offset(from + length)),
            kind,
            frames: 3,
            times: Some(RecordTimes::of(TimestampMs(ms))),
            last: Some(last),
        }
    }

    fn flushed() -> EntryKind {
        EntryKind::Flushed {
            flush: FlushId {
                worker: WorkerId::random(),
                counter: 1,
            },
            tenure: Tenure(4),
        }
    }

    proptest! {
        #[test]
        fn an_entry_reads_back(from in 0..i64::MAX / 2, length in 1..i64::MAX / 2, ms: i64) {
            let lost = EntryKind::LostSpan { reason: "retention".into() };
            for kind in [flushed(), lost] {
                let entry = entry(from, length, ms, kind);
                let id = WriteId::random();
                let read = LedgerEntry::decode(&entry.encode(id)).unwrap();
                prop_assert_eq!(read, (id, entry));
            }
        }
    }

    #[test]
    fn a_genesis_reads_back() {
        for policy in [
            StartPolicy::Earliest,
            StartPolicy::Latest,
            StartPolicy::Chosen,
        ] {
            let genesis = Genesis {
                chain: chain(),
                start: Offset(7),
                policy,
            };
            let id = WriteId::random();
            assert_eq!(Genesis::decode(&genesis.encode(id)).unwrap(), (id, genesis));
        }
    }

    #[test]
    fn an_entry_that_is_both_flushed_and_lost_is_refused() {
        let mut message = EntryMessage::of(&entry(1, 1, 1, flushed()));
        message.lost = Some("retention".into());
        let bytes = envelope::seal(Kind::LedgerEntry, WriteId::random(), &message);
        assert!(LedgerEntry::decode(&bytes).is_err());
    }

    #[test]
    fn a_last_record_outside_the_span_is_refused() {
        let mut message = EntryMessage::of(&entry(10, 1, 1, flushed()));
        message.last.as_mut().unwrap().offset = 11;
        let bytes = envelope::seal(Kind::LedgerEntry, WriteId::random(), &message);
        assert!(LedgerEntry::decode(&bytes).is_err());
    }
}
