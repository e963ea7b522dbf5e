//! What waits in each lane: for room, or for being sent again, and with which retries.

use std::array;
use std::collections::BTreeSet;

use skein_shared::units::Millis;

use crate::core::action::RequestId;
use crate::core::retry_budget::{Probes, RetryBudget};
use crate::core::upload_limit::Lane;

/// One line for each lane.
#[derive(Debug)]
pub(super) struct RetryLines {
    lines: [Line; Lane::COUNT],
    probes: Probes,
}

#[derive(Debug)]
struct Line {
    /// For room.
    queued: BTreeSet<RequestId>,
    /// By the time that each waits for, so that the longest due goes first and none starves.
    waiting: BTreeSet<(Millis, RequestId)>,
    budget: RetryBudget,
}

impl RetryLines {
    /// Nobody waits.
    pub(super) fn new() -> Self {
        let line = |place| Line {
            queued: BTreeSet::new(),
            waiting: BTreeSet::new(),
            budget: RetryBudget::new(Lane::hiccup(place)),
        };
        Self {
            lines: array::from_fn(line),
            probes: Probes::new(),
        }
    }

    /// A request waits for room.
    pub(super) fn queue(&mut self, lane: Lane, id: RequestId) {
        self.lines[lane.place()].queued.insert(id);
    }

    /// A request waits for room no more.
    pub(super) fn unqueue(&mut self, lane: Lane, id: RequestId) {
        self.lines[lane.place()].queued.remove(&id);
    }

    /// The oldest request that waits for room.
    pub(super) fn first_queued(&self, lane: Lane) -> Option<RequestId> {
        self.lines[lane.place()].queued.first().copied()
    }

    /// A request waits until a time, and then for a retry that is paid for.
    pub(super) fn wait(&mut self, lane: Lane, until: Millis, id: RequestId) {
        self.lines[lane.place()].waiting.insert((until, id));
    }

    /// A request waits so no more.
    pub(super) fn unwait(&mut self, lane: Lane, until: Millis, id: RequestId) {
        self.lines[lane.place()].waiting.remove(&(until, id));
    }

    /// A request is sent for the first time.
    pub(super) fn first_attempt(&mut self, lane: Lane, now: Millis) {
        self.lines[lane.place()].budget.first_attempt(now);
        self.probes.first_attempt(now);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, lane: Lane, now: Millis) {
        self.lines[lane.place()].budget.answered(now);
        self.probes.answered();
    }

    /// A request failed in a way that is tried again.
    pub(super) fn failed(&mut self, lane: Lane, now: Millis) {
        self.lines[lane.place()].budget.failed(now);
        self.probes.failed();
    }

    /// What was refused for a reason other than load is accepted: nothing is held back for it.
    pub(super) fn refill(&mut self) {
        for line in &mut self.lines {
            line.budget.refill();
        }
    }

    /// Whether nothing has failed in a lane for a while.
    pub(super) fn is_calm(&self, lane: Lane) -> bool {
        self.lines[lane.place()].budget.is_calm()
    }

    /// Whether a request that is due is held back.
    pub(super) fn has_due(&self, now: Millis) -> bool {
        self.lines.iter().any(|line| line.first_due(now).is_some())
    }

    /// Takes out what has waited long enough and is paid for; it waits for room from now on.
    pub(super) fn take_due(&mut self, now: Millis) -> Vec<RequestId> {
        let mut taken = Vec::new();
        for line in &mut self.lines {
            while let Some(due) = line.first_due(now)
                && line.is_paid(&mut self.probes)
            {
                taken.push(line.take(due));
            }
        }
        self.take_look_up(now, &mut taken);
        self.take_probes(now, &mut taken);
        taken
    }

    /// A look-up goes out once a second, whatever the other lanes send: a partition that waits to be read has nothing
    /// new to send that would tell how the store is.
    fn take_look_up(&mut self, now: Millis, taken: &mut Vec<RequestId>) {
        let line = &mut self.lines[Lane::LOOK_UPS.place()];
        if let Some(due) = line.first_due(now)
            && line.budget.may_probe(now)
        {
            line.budget.probed(now);
            taken.push(line.take(due));
        }
    }

    /// What no budget pays for: from the lane that was tried the longest ago.
    fn take_probes(&mut self, now: Millis, taken: &mut Vec<RequestId>) {
        while self.probes.has_one(now) {
            let due = |line: &mut Line| {
                let due = line.first_due(now).filter(|_| line.budget.may_probe(now))?;
                Some((line.budget.tried_at(), due))
            };
            let lines = self.lines.iter_mut();
            let ready = lines.filter_map(|line| due(line).map(|due| (due, line)));
            let Some(((_, due), line)) = ready.min_by_key(|((tried_at, _), _)| *tried_at) else {
                return;
            };
            line.budget.probed(now);
            taken.push(line.take(due));
            self.probes.spend(now);
        }
    }
}

impl Line {
    /// Pays for a retry: from its own budget, or while it is sound from what all share.
    fn is_paid(&mut self, spare: &mut Probes) -> bool {
        self.budget.try_spend() || (self.budget.is_sound() && spare.try_spare())
    }

    /// The request that has waited the longest beyond its time.
    fn first_due(&self, now: Millis) -> Option<(Millis, RequestId)> {
        let first = self.waiting.first().copied();
        first.filter(|(until, _)| *until <= now)
    }

    fn take(&mut self, due: (Millis, RequestId)) -> RequestId {
        self.waiting.remove(&due);
        self.queued.insert(due.1);
        due.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_is_tried_once_a_second_however_busy_the_other_lanes_are() {
        let mut lines = RetryLines::new();
        for number in 0..100 {
            lines.failed(Lane::LOOK_UPS, Millis(0));
            lines.wait(Lane::LOOK_UPS, Millis(0), RequestId(number));
        }
        // What was saved up goes at once.
        lines.take_due(Millis(0));
        let mut tried = 0;
        for step in 1..=100 {
            let now = Millis(step * 100);
            lines.first_attempt(Lane::SMALL, now);
            lines.failed(Lane::SMALL, now);
            tried += lines.take_due(now).len();
        }
        assert_eq!(tried, 10);
    }
}
