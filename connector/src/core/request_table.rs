//! All requests until their end: the only retry loop of what the connector writes.
//!
//! A request waits for room in its lane, is under way, and after a failure waits for a random time and then
//! for a retry that the budget allows. It keeps its number and its write id all that time.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use skein_shared::retry::RetryPolicy;
use skein_shared::units::Millis;

use crate::core::action::{Action, Request, RequestId};
use crate::core::event::{Failure, Remedy};
use crate::core::hedging::Hedging;
use crate::core::partition::Slot;
use crate::core::purpose::{Purpose, PurposeIndex};
use crate::core::retry_lines::RetryLines;
use crate::core::stats::RequestStats;
use crate::core::upload_limit::{Lane, Round, UploadLimit};

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
    index: PurposeIndex,
    lines: RetryLines,
    refused: BTreeSet<RequestId>,
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
            index: PurposeIndex::default(),
            lines: RetryLines::new(),
            refused: BTreeSet::new(),
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
        self.keep(id, entry);
        self.lines.queue(lane, id);
        self.send_queued(actions);
        id
    }

    /// Takes out a request that was answered. `None` when nobody waits for it any more.
    pub(super) fn finish(&mut self, id: RequestId, actions: &mut Vec<Action>) -> Option<Purpose> {
        let step = self.entries.get(&id)?.request.step();
        self.accept_again(step);
        let entry = self.take_out(id)?;
        self.lines.answered(entry.lane, self.now);
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
        let all: Vec<RequestId> = self.entries.keys().copied().collect();
        self.forget_among(all, matches);
    }

    /// As [`forget`](Self::forget), among those that are about one partition.
    pub(super) fn forget_of(&mut self, slot: Slot, matches: impl Fn(Purpose) -> bool) {
        let about_it: Vec<RequestId> = self.index.of(slot).collect();
        self.forget_among(about_it, matches);
    }

    fn forget_among(&mut self, ids: Vec<RequestId>, matches: impl Fn(Purpose) -> bool) {
        for id in ids {
            let entry = self.entries.get_mut(&id).expect("it was just found");
            let Some(purpose) = entry.purpose.filter(|purpose| matches(*purpose)) else {
                continue;
            };
            entry.purpose = None;
            self.index.remove(purpose, id);
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
            Remedy::Again | Remedy::SlowDown | Remedy::AgainAndAlert | Remedy::AskAgain => {
                self.lines.failed(entry.lane, self.now);
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
        for id in self.lines.take_due(self.now) {
            let entry = self.entries.get_mut(&id).expect("what waits is known");
            entry.stage = Stage::Queued;
            let trouble = entry.trouble.expect("only what failed has to wait");
            self.stats.count_retry(trouble);
        }
        self.stats.held_back += u64::from(self.lines.has_due(self.now));
        self.send_queued(actions);
        self.hedge_slowest(actions);
    }

    /// Whether a ledger entry is under way.
    pub(super) fn appends_under_way(&self) -> bool {
        self.index.has_appends()
    }

    /// Whether an answer about a partition is still to come, for a purpose that `matches`.
    pub(super) fn waits_for(&self, slot: Slot, matches: impl Fn(Purpose) -> bool) -> bool {
        let mut purposes = self.index.of(slot).map(|id| self.entries[&id].purpose);
        purposes.any(|purpose| purpose.is_some_and(&matches))
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
            self.lines.refill();
        }
    }

    fn keep(&mut self, id: RequestId, entry: Entry) {
        if let Some(purpose) = entry.purpose {
            self.index.add(purpose, id);
        }
        self.entries.insert(id, entry);
    }

    /// Takes a request out of whatever it waits in.
    fn take_out(&mut self, id: RequestId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if let Some(purpose) = entry.purpose {
            self.index.remove(purpose, id);
        }
        self.refused.remove(&id);
        match entry.stage {
            Stage::Queued => self.lines.unqueue(entry.lane, id),
            Stage::Waiting(until) => self.lines.unwait(entry.lane, until, id),
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
        self.lines.wait(entry.lane, until, id);
        self.keep(id, entry);
    }

    /// Sends what its lane has room for, oldest first.
    fn send_queued(&mut self, actions: &mut Vec<Action>) {
        while let Some(id) = self.next_to_send() {
            let entry = self.entries.get_mut(&id).expect("what is queued is known");
            self.lines.unqueue(entry.lane, id);
            if entry.failures == 0 {
                self.lines.first_attempt(entry.lane, self.now);
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
        let firsts = open.filter_map(|lane| self.lines.first_queued(lane));
        firsts.min()
    }

    /// Sends the one that is most overdue a second time, if that is paid for and the store is
    /// at ease with its lane.
    fn hedge_slowest(&mut self, actions: &mut Vec<Action>) {
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
        let at_ease = self.limit.is_wide_open(entry.lane) && self.lines.is_calm(entry.lane);
        if body_bytes == 0 || sent.tries == Tries::Hedged || !at_ease {
            return None;
        }
        let patience = self.hedging.patience(body_bytes)?;
        self.now.0.checked_sub(sent.at.0 + patience.0)
    }
}

#[cfg(test)]
mod tests;
