//! Requests under way and those that wait to be sent again.

use std::collections::BTreeMap;

use skein_shared::ids::FlushId;
use skein_shared::units::Millis;

use crate::core::action::{Action, ObjectNumber, Request, RequestId};
use crate::core::event::{Failure, Remedy};
use crate::core::partition::Slot;
use crate::core::roll_policy;

/// Whom an answer concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Where a partition stands.
    LookUp(Slot),
    /// Whether Kafka still has a partition's position.
    Recheck(Slot),
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
}

#[derive(Debug)]
struct Entry {
    purpose: Purpose,
    request: Request,
    failures: u32,
    again_at: Option<Millis>,
}

/// All requests that have not come to their end.
#[derive(Debug, Default)]
pub(super) struct RequestTable {
    last: u64,
    entries: BTreeMap<RequestId, Entry>,
}

impl RequestTable {
    /// Sends a request. It is kept, so that it can be sent again as it is: with the same identity a repeated
    /// write can never count twice.
    pub(super) fn send(
        &mut self,
        purpose: Purpose,
        request: Request,
        actions: &mut Vec<Action>,
    ) -> RequestId {
        self.last += 1;
        let id = RequestId(self.last);
        actions.push(Action::Send(id, request.clone()));
        let entry = Entry {
            purpose,
            request,
            failures: 0,
            again_at: None,
        };
        self.entries.insert(id, entry);
        id
    }

    /// Takes out a request that came to its end. `None` when nobody waits for it any more.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<Purpose> {
        self.entries.remove(&id).map(|entry| entry.purpose)
    }

    /// Whom a request's answer concerns, while it is waited for.
    pub(super) fn purpose(&self, id: RequestId) -> Option<Purpose> {
        self.entries.get(&id).map(|entry| entry.purpose)
    }

    /// Forgets a request whose answer no longer matters.
    pub(super) fn forget(&mut self, matches: impl Fn(Purpose) -> bool) {
        self.entries.retain(|_, entry| !matches(entry.purpose));
    }

    /// Takes note of a failure. `Some` when the request is given up.
    pub(super) fn failed(
        &mut self,
        id: RequestId,
        failure: &Failure,
        now: Millis,
    ) -> Option<(Purpose, &'static str)> {
        let entry = self.entries.get_mut(&id)?;
        match failure.remedy {
            Remedy::Again | Remedy::AgainAndAlert => {
                let delay = roll_policy::retry_delay(entry.failures);
                entry.failures += 1;
                entry.again_at = Some(Millis(now.0 + delay.0));
                None
            }
            Remedy::GiveUp(_) => {
                let entry = self.entries.remove(&id)?;
                Some((entry.purpose, entry.request.step()))
            }
        }
    }

    /// Sends again what has waited long enough.
    pub(super) fn send_due(&mut self, now: Millis, actions: &mut Vec<Action>) {
        for (id, entry) in &mut self.entries {
            if entry.again_at.is_some_and(|at| at <= now) {
                entry.again_at = None;
                actions.push(Action::Send(*id, entry.request.clone()));
            }
        }
    }

    /// Whether a ledger entry is under way.
    pub(super) fn appends_under_way(&self) -> bool {
        let mut purposes = self.entries.values().map(|entry| entry.purpose);
        purposes.any(|purpose| matches!(purpose, Purpose::Ledger(_)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
