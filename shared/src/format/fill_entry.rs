//! One link of a hole's fills: which of its offsets came in later, and where they are.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::ledger_entry::{EntryMessage, LedgerEntry};
use crate::format::wire::{self, Reading};
use crate::ids::{Hole, WriteId};
use crate::offset::Offset;

/// The offsets `[from, to)` of a hole are accounted for: its entry says by what, as a ledger's does. An entry of
/// the kind lost says that somebody gave them up for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillEntry {
    /// First offset of the hole.
    pub hole: Offset,
    /// Chain, span and what became of it.
    pub entry: LedgerEntry,
}

#[derive(Clone, PartialEq, Message)]
struct FillMessage {
    #[prost(uint64, tag = "1")]
    hole: u64,
    #[prost(message, optional, tag = "2")]
    entry: Option<EntryMessage>,
}

impl FillEntry {
    /// The hole that it belongs to.
    pub fn hole(&self) -> Hole {
        Hole {
            chain: self.entry.chain.clone(),
            from: self.hole,
        }
    }

    /// The object's bytes.
    ///
    /// # Panics
    /// If the span is empty or begins before its hole.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let span = self.entry.span;
        assert!(
            self.hole <= span.from && span.from < span.to,
            "no span of the hole at {}: {span}",
            self.hole
        );
        let message = FillMessage {
            hole: wire::offset_number(self.hole),
            entry: Some(EntryMessage::of(&self.entry)),
        };
        envelope::seal(Kind::FillEntry, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact fill entry.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<FillMessage>(Kind::FillEntry, bytes)?;
        let refused = |reason| Error::decode(Kind::FillEntry.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refused)?))
    }
}

impl FillMessage {
    fn read(self) -> Reading<FillEntry> {
        let hole = wire::offset(self.hole)?;
        let entry = wire::required(self.entry, "entry")?.read()?;
        if entry.span.from < hole {
            return Err(format!("{} begins before its hole at {hole}", entry.span));
        }
        Ok(FillEntry { hole, entry })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::format::ledger_entry::EntryKind;
    use crate::ids::{
        Chain, FlushId, Incarnation, PartitionId, SourceName, Tenure, TopicName, WorkerId,
    };
    use crate::offset::Span;

    use super::*;

    fn sample(hole: i64, skip: i64, length: i64, kind: EntryKind) -> FillEntry {
        let chain = Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(1),
            partition: PartitionId(2),
        };
        let from = hole + skip;
        FillEntry {
            hole: Offset(hole),
            entry: LedgerEntry {
                chain,
                span: Span::new(Offset(from), Offset(from + length)),
                kind,
                frames: 3,
                times: None,
                last: None,
            },
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
        fn a_fill_reads_back(hole in 0..1_i64 << 60, skip in 0..1_i64 << 60, length in 1..1_i64 << 60) {
            let given_up = EntryKind::LostSpan { reason: "kafka has them no more".into() };
            for kind in [flushed(), given_up] {
                let fill = sample(hole, skip, length, kind);
                let id = WriteId::random();
                prop_assert_eq!(FillEntry::decode(&fill.encode(id)).unwrap(), (id, fill));
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let bytes = sample(7, 3, 9, flushed()).encode(WriteId::random());
        for cut in 0..bytes.len() {
            assert!(FillEntry::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(FillEntry::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_fill_that_begins_before_its_hole_is_refused() {
        let message = FillMessage {
            hole: 9,
            entry: Some(EntryMessage::of(&sample(7, 0, 9, flushed()).entry)),
        };
        let bytes = envelope::seal(Kind::FillEntry, WriteId::random(), &message);
        assert!(FillEntry::decode(&bytes).is_err());
    }
}
