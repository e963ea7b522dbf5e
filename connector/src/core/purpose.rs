//! Whom the answer to a request concerns, and which requests concern a partition.

use std::collections::BTreeSet;

use skein_shared::ids::FlushId;
use skein_shared::offset::{Offset, Span};

use crate::core::action::{ObjectNumber, RequestId};
use crate::core::partition::Slot;

/// Whom an answer concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Where a partition stands.
    LookUp(Slot),
    /// Whether Kafka still has the position that a partition had when it was asked.
    Recheck { slot: Slot, position: Offset },
    /// The first entry of a partition's chain.
    Genesis(Slot),
    /// An object, put whole.
    Put(ObjectNumber),
    /// A part of an object.
    Part { object: ObjectNumber, bytes: u64 },
    /// An object whose parts are stored.
    Complete(ObjectNumber),
    /// What a flush holds.
    Manifest(FlushId),
    /// A span of a partition.
    Ledger(Slot),
    /// Where this worker stands.
    Status,
    /// A span of a partition that Kafka no longer has.
    LostSpan { slot: Slot, span: Span },
}

/// Requests by what they are about, so that nobody looks at all of them for those of one partition.
#[derive(Debug, Default)]
pub(super) struct PurposeIndex {
    of_slots: BTreeSet<(Slot, RequestId)>,
    appends: BTreeSet<RequestId>,
}

impl Purpose {
    /// The partition that it is about, if it is about one.
    pub(super) fn slot(self) -> Option<Slot> {
        match self {
            Self::LookUp(slot)
            | Self::Recheck { slot, .. }
            | Self::Genesis(slot)
            | Self::Ledger(slot)
            | Self::LostSpan { slot, .. } => Some(slot),
            Self::Put(_)
            | Self::Part { .. }
            | Self::Complete(_)
            | Self::Manifest(_)
            | Self::Status => None,
        }
    }
}

impl PurposeIndex {
    /// Takes a request in.
    pub(super) fn add(&mut self, purpose: Purpose, id: RequestId) {
        if let Some(slot) = purpose.slot() {
            self.of_slots.insert((slot, id));
        }
        if matches!(purpose, Purpose::Ledger(_)) {
            self.appends.insert(id);
        }
    }

    /// Takes a request out.
    pub(super) fn remove(&mut self, purpose: Purpose, id: RequestId) {
        if let Some(slot) = purpose.slot() {
            self.of_slots.remove(&(slot, id));
        }
        self.appends.remove(&id);
    }

    /// The requests about a partition, oldest first.
    pub(super) fn of(&self, slot: Slot) -> impl Iterator<Item = RequestId> {
        let all = (slot, RequestId(0))..=(slot, RequestId(u64::MAX));
        self.of_slots.range(all).map(|(_, id)| *id)
    }

    /// Whether a ledger entry is under way.
    pub(super) fn has_appends(&self) -> bool {
        !self.appends.is_empty()
    }
}
