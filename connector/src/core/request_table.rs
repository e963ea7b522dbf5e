//! All requests until their end: the only retry loop of what the connector writes.
//!
//! A request waits for room in its lane, is under way, and after a failure waits for a random time and then
//! for a retry that the budget allows. It keeps its number and its write id all that time.

use std::array;
use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use skein_shared::ids::FlushId;
use skein_shared::offset::{Offset, Span};
use skein_shared::retry::RetryPolicy;
use skein_shared::units::Millis;

use crate::core::action::{Action, ObjectNumber, Request, RequestId};
use crate::core::event::{Failure, Remedy};
use crate::core::hedging::Hedging;
use crate::core::partition::Slot;
use crate::core::retry_budget::RetryBudget;
use crate::core::stats::RequestStats;
use crate::core::upload_limit::{Lane, Round, UploadLimit};

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

#[derive(Debug)]
struct Entry {
    /// `None` when its answer no longer matters.
    purpose: Option<Purpose>,
    request: Request,
    lane: Lane,
    failures: u32,
    /// Why it has to be sent again.
    trouble: Option<Remedy>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// For room in its lane.
    Queued,
    /// Sent; its outcome is to come.
    UnderWay(Sent),
    /// Until this time, and then for the retry budget.
    Waiting(Millis),
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Millis,
    round: Round,
    tries: Tries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    One,
    Hedged,
}

/// All requests that have not come to their end.
#[derive(Debug)]
pub(super) struct RequestTable {
    last: u64,
    now: Millis,
    policy: RetryPolicy,
    rng: Rng,
    entries: BTreeMap<RequestId, Entry>,
    queues: [BTreeSet<RequestId>; Lane::COUNT],
    /// By the time that each waits for, so that the longest due goes first and none starves.
    waiting: BTreeSet<(Millis, RequestId)>,
    refused: BTreeSet<RequestId>,
    budget: RetryBudget,
    limit: UploadLimit,
    hedging: Hedging,
    stats: RequestStats,
}

impl RequestTable {
    /// Nothing under way; `seed` draws the waits.
    pub(super) fn new(policy: RetryPolicy, upload_concurrency: u32, seed: u64) -> Self {
        Self {
            last: 0,
            now: Millis(0),
            policy,
            rng: Rng::with_seed(seed),
            entries: BTreeMap::new(),
            queues: array::from_fn(|_| BTreeSet::new()),
            waiting: BTreeSet::new(),
            refused: BTreeSet::new(),
            budget: RetryBudget::new(),
            limit: UploadLimit::new(upload_concurrency),
            hedging: Hedging::default(),
            stats: RequestStats::default(),
        }
    }

    /// Time has come to `now`.
    pub(super) fn advance(&mut self, now: Millis) {
        self.now = now;
    }

    /// Sends a request as soon as its lane has room. It is kept, so that it can be sent again as it is: with
    /// the same identity a repeated write can never count twice.
    pub(super) fn send(
        &mut self,
        purpose: Purpose,
        request: Request,
        actions: &mut Vec<Action>,
    ) -> RequestId {
        self.last += 1;
        let id = RequestId(self.last);
        let lane = Lane::of(&request);
        let entry = Entry {
            purpose: Some(purpose),
            request,
            lane,
            failures: 0,
            trouble: None,
            stage: Stage::Queued,
        };
        self.entries.insert(id, entry);
        self.queues[lane.place()].insert(id);
        self.send_queued(actions);
        id
    }

    /// Takes out a request that was answered. `None` when nobody waits for it any more.
    pub(super) fn finish(&mut self, id: RequestId, actions: &mut Vec<Action>) -> Option<Purpose> {
        let step = self.entries.get(&id)?.request.step();
        self.accept_again(step);
        let entry = self.take_out(id)?;
        self.budget.answered();
        if let Stage::UnderWay(sent) = entry.stage {
            self.limit.answered(entry.lane, sent.round);
            self.limit.returned(entry.lane);
            let body_bytes = entry.request.body_bytes();
            if body_bytes > 0 {
                let took = Millis(self.now.0.saturating_sub(sent.at.0));
                self.hedging.answered(body_bytes, took);
            }
        }
        self.send_queued(actions);
        entry.purpose
    }

    /// Whom a request's answer concerns, while it is waited for.
    pub(super) fn purpose(&self, id: RequestId) -> Option<Purpose> {
        self.entries.get(&id).and_then(|entry| entry.purpose)
    }

    /// Forgets requests whose answer no longer matters. One that is under way keeps its room until it
    /// comes back.
    pub(super) fn forget(&mut self, matches: impl Fn(Purpose) -> bool) {
        let forgotten = self
            .entries
            .iter()
            .filter(|(_, e)| e.purpose.is_some_and(&matches));
        let forgotten: Vec<RequestId> = forgotten.map(|(id, _)| *id).collect();
        for id in forgotten {
            let entry = self.entries.get_mut(&id).expect("it was just found");
            entry.purpose = None;
            if !matches!(entry.stage, Stage::UnderWay(_)) {
                self.take_out(id);
            }
        }
    }

    /// Takes note of a failure. `Some` when the request is given up.
    pub(super) fn failed(
        &mut self,
        id: RequestId,
        failure: &Failure,
        actions: &mut Vec<Action>,
    ) -> Option<(Purpose, &'static str)> {
        let entry = self.entries.get(&id)?;
        if let Stage::UnderWay(sent) = entry.stage {
            if failure.remedy == Remedy::SlowDown {
                self.limit.slowed(entry.lane, sent.round);
            }
            self.limit.returned(entry.lane);
        }
        let mut entry = self.take_out(id)?;
        let given_up = match failure.remedy {
            Remedy::GiveUp(_) => {
                let step = entry.request.step();
                entry.purpose.map(|purpose| (purpose, step))
            }
            Remedy::Again | Remedy::SlowDown | Remedy::AgainAndAlert => {
                self.budget.failed();
                entry.failures = entry.failures.saturating_add(1);
                entry.trouble = Some(failure.remedy);
                self.wait(id, entry);
                None
            }
        };
        self.send_queued(actions);
        given_up
    }

    /// Sends again what has waited long enough, and hedges what takes too long.
    pub(super) fn send_due(&mut self, actions: &mut Vec<Action>) {
        while let Some((until, id)) = self.waiting.first().copied() {
            if until > self.now {
                break;
            }
            if !self.budget.try_spend(self.now) {
                self.stats.held_back += 1;
                break;
            }
            self.waiting.pop_first();
            let entry = self.entries.get_mut(&id).expect("what waits is known");
            entry.stage = Stage::Queued;
            let trouble = entry.trouble.expect("only what failed has to wait");
            self.stats.count_retry(trouble);
            self.queues[entry.lane.place()].insert(id);
        }
        self.send_queued(actions);
        self.hedge_slowest(actions);
    }

    /// Whether a ledger entry is under way.
    pub(super) fn appends_under_way(&self) -> bool {
        let mut purposes = self.entries.values().map(|entry| entry.purpose);
        purposes.any(|purpose| matches!(purpose, Some(Purpose::Ledger(_))))
    }

    /// Whether an answer for `purpose` is still to come.
    pub(super) fn waits_for(&self, purpose: Purpose) -> bool {
        let mut purposes = self.entries.values().filter_map(|entry| entry.purpose);
        purposes.any(|of| of == purpose)
    }

    /// Whether the store refuses something until a person has acted.
    pub(super) fn any_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// First tries, retries and hedges since the start.
    pub(super) fn stats(&self) -> &RequestStats {
        &self.stats
    }

    /// How many requests each lane, and all data together, may have under way, by name.
    pub(super) fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.limit.all()
    }

    /// What was refused counts as accepted once one of its kind is: the others are only waiting.
    fn accept_again(&mut self, step: &str) {
        if self.refused.is_empty() {
            return;
        }
        let entries = &self.entries;
        self.refused.retain(|id| {
            let entry = entries.get(id);
            entry.is_some_and(|entry| entry.request.step() != step)
        });
        if self.refused.is_empty() {
            self.budget.refill();
        }
    }

    /// Takes a request out of whatever it waits in.
    fn take_out(&mut self, id: RequestId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.refused.remove(&id);
        match entry.stage {
            Stage::Queued => drop(self.queues[entry.lane.place()].remove(&id)),
            Stage::Waiting(until) => drop(self.waiting.remove(&(until, id))),
            Stage::UnderWay(_) => {}
        }
        Some(entry)
    }

    /// Keeps a request that failed until it may be sent again: full jitter under a bound that doubles.
    fn wait(&mut self, id: RequestId, mut entry: Entry) {
        if entry.purpose.is_none() {
            return;
        }
        let longest = self.policy.longest_wait(entry.failures).as_millis();
        let longest = u64::try_from(longest).unwrap_or(u64::MAX);
        let until = Millis(self.now.0.saturating_add(self.rng.u64(0..=longest)));
        entry.stage = Stage::Waiting(until);
        if entry.trouble == Some(Remedy::AgainAndAlert) {
            self.refused.insert(id);
        }
        self.waiting.insert((until, id));
        self.entries.insert(id, entry);
    }

    /// Sends what its lane has room for, oldest first.
    fn send_queued(&mut self, actions: &mut Vec<Action>) {
        while let Some(id) = self.next_to_send() {
            let entry = self.entries.get_mut(&id).expect("what is queued is known");
            self.queues[entry.lane.place()].remove(&id);
            if entry.failures == 0 {
                self.budget.first_attempt(self.now);
                self.stats.first_tries += 1;
            }
            entry.stage = Stage::UnderWay(Sent {
                at: self.now,
                round: self.limit.sent(entry.lane),
                tries: Tries::One,
            });
            actions.push(Action::Send(id, entry.request.clone()));
        }
    }

    fn next_to_send(&self) -> Option<RequestId> {
        let open = Lane::all().filter(|lane| self.limit.has_room(*lane));
        let firsts = open.filter_map(|lane| self.queues[lane.place()].first());
        firsts.min().copied()
    }

    /// Sends the one that is most overdue a second time, if that is paid for and the store is at ease.
    fn hedge_slowest(&mut self, actions: &mut Vec<Action>) {
        if !self.budget.is_calm() {
            return;
        }
        let overdue = self.entries.iter().filter_map(|(id, entry)| {
            let late_ms = self.lateness_ms(entry)?;
            Some((late_ms, *id))
        });
        let Some((_, id)) = overdue.max() else {
            return;
        };
        if !self.hedging.try_spend() {
            return;
        }
        let entry = self.entries.get_mut(&id).expect("it was just found");
        if let Stage::UnderWay(sent) = &mut entry.stage {
            sent.tries = Tries::Hedged;
        }
        self.stats.hedges += 1;
        actions.push(Action::Hedge(id, entry.request.clone()));
    }

    /// How much longer a request takes than it may, if it can be hedged.
    fn lateness_ms(&self, entry: &Entry) -> Option<u64> {
        let Stage::UnderWay(sent) = entry.stage else {
            return None;
        };
        let body_bytes = entry.request.body_bytes();
        if body_bytes == 0 || sent.tries == Tries::Hedged || !self.limit.is_wide_open(entry.lane) {
            return None;
        }
        let patience = self.hedging.patience(body_bytes)?;
        self.now.0.checked_sub(sent.at.0 + patience.0)
    }
}

#[cfg(test)]
mod tests;
