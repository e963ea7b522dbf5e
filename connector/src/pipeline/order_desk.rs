//! Answers what is asked from outside, in the poll loop's own time.

use std::collections::BTreeMap;

use skein_shared::admin_http::Vitals;
use skein_shared::units::Millis;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::core::event::TopicPartition;
use crate::core::standing::{PartitionStanding, PartitionState, Wellbeing};
use crate::operations::{FlushReceipt, FlushedSpan};
use crate::pipeline::Setup;

/// A flush that is late by this much, beyond twice its interval, makes a worker unready.
const FLUSH_GRACE: Millis = Millis::seconds(60);

/// The side that answers.
#[derive(Debug)]
pub(super) struct OrderDesk {
    vitals: Vitals,
    /// What is read.
    pub(super) topics: Vec<String>,
    flush_interval: Millis,
    waiting: Vec<WaitingFlush>,
    flushes: FlushClock,
}

/// When flushes become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct FlushClock {
    seen: u64,
    flushed_at: Option<Millis>,
    /// Since when there is something that is not durable.
    undurable_since: Option<Millis>,
}

/// Somebody waits for a flush.
#[derive(Debug)]
struct WaitingFlush {
    reply: oneshot::Sender<FlushReceipt>,
    /// What has to become durable.
    open: Vec<Target>,
    receipt: FlushReceipt,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    name: TopicPartition,
    span: FlushedSpan,
}

impl OrderDesk {
    pub(super) fn new(setup: &Setup, vitals: Vitals) -> Self {
        Self {
            vitals,
            topics: setup.kafka.topics.clone(),
            flush_interval: setup.connector.flush_interval,
            waiting: Vec::new(),
            flushes: FlushClock::default(),
        }
    }

    /// Tells how the worker is.
    pub(super) fn beat(&mut self, now: Millis, core: &Core) {
        let wellbeing = core.wellbeing();
        self.flushes
            .tick(now, core.stats().flushes, wellbeing.undurable);
        let mut reasons = reasons_of(&wellbeing);
        let patience = Millis(2 * self.flush_interval.0 + FLUSH_GRACE.0);
        if let Some(late) = self.flushes.late_by(now, patience) {
            let seconds = late.0 / 1000;
            reasons.push(format!(
                "nothing became durable for {seconds} s: look at the bucket and its credentials"
            ));
        }
        self.vitals.beat(reasons);
    }

    /// When the last flush became durable.
    pub(super) fn flushed_at(&self) -> Option<Millis> {
        self.flushes.flushed_at
    }

    /// Answers once everything that was read so far is durable.
    pub(super) fn expect_flush(&mut self, reply: oneshot::Sender<FlushReceipt>, core: &Core) {
        self.waiting.push(WaitingFlush::new(reply, core));
    }

    /// Answers everybody whose flush is durable.
    pub(super) fn settle_flushes(&mut self, core: &Core) {
        if self.waiting.is_empty() {
            return;
        }
        let standing: BTreeMap<TopicPartition, PartitionStanding> = core
            .partition_standings()
            .map(|standing| (standing.name.clone(), standing))
            .collect();
        self.waiting.retain_mut(|flush| !flush.reply.is_closed());
        for mut flush in std::mem::take(&mut self.waiting) {
            flush.settle(&standing);
            if flush.open.is_empty() {
                // Whoever asked may have gone meanwhile.
                let _ = flush.reply.send(flush.receipt);
            } else {
                self.waiting.push(flush);
            }
        }
    }
}

/// Why a worker that is so is not ready.
fn reasons_of(wellbeing: &Wellbeing) -> Vec<String> {
    let mut reasons = Vec::new();
    if wellbeing.is_ending {
        reasons.push("it is ending".to_owned());
    } else if !wellbeing.was_assigned {
        reasons.push("the group has not given an assignment yet".to_owned());
    }
    if wellbeing.looking_up > 0 {
        let count = wellbeing.looking_up;
        reasons.push(format!(
            "{count} partitions: their ledger's end is being looked up"
        ));
    }
    if wellbeing.doubted > 0 {
        let count = wellbeing.doubted;
        reasons.push(format!(
            "{count} partitions: what kafka has does not fit their ledger, they are looked at again: see the log"
        ));
    }
    if wellbeing.stopped > 0 {
        let count = wellbeing.stopped;
        reasons.push(format!(
            "{count} partitions are stopped: see /status, a person must act"
        ));
    }
    if wellbeing.is_refused {
        reasons.push("requests are refused until a person has acted: see the log".to_owned());
    }
    reasons
}

impl FlushClock {
    fn tick(&mut self, now: Millis, flushes: u64, undurable: u64) {
        if self.seen < flushes {
            self.seen = flushes;
            self.flushed_at = Some(now);
            self.undurable_since = None;
        }
        if undurable == 0 {
            self.undurable_since = None;
        } else {
            self.undurable_since.get_or_insert(now);
        }
    }

    fn late_by(&self, now: Millis, patience: Millis) -> Option<Millis> {
        // Somebody may have asked a moment after the time of this turn.
        let since = Millis(now.0.saturating_sub(self.undurable_since?.0));
        (since > patience).then_some(since)
    }
}

impl WaitingFlush {
    /// Everything that is read but not durable has to become so.
    fn new(reply: oneshot::Sender<FlushReceipt>, core: &Core) -> Self {
        let undurable = core
            .partition_standings()
            .filter(|standing| standing.ledger_end < standing.position);
        let target = |standing: PartitionStanding| Target {
            span: FlushedSpan::new(&standing.name, standing.ledger_end, standing.position),
            name: standing.name,
        };
        Self {
            reply,
            open: undurable.map(target).collect(),
            receipt: FlushReceipt::default(),
        }
    }

    fn settle(&mut self, standing: &BTreeMap<TopicPartition, PartitionStanding>) {
        let receipt = &mut self.receipt;
        self.open.retain(|target| {
            let partition = standing.get(&target.name);
            let durable_to = partition.map_or(i64::MIN, |partition| partition.ledger_end.0);
            if target.span.to <= durable_to {
                receipt.durable.push(target.span.clone());
                return false;
            }
            let is_ours = partition.is_some_and(|partition| match partition.state {
                PartitionState::LookingUp
                | PartitionState::Doubted
                | PartitionState::Reading
                | PartitionState::Draining => true,
                // What was sealed before it stopped is still on its way.
                PartitionState::Stopped => partition.ledger_end < partition.position,
                PartitionState::Away => false,
            });
            if !is_ours {
                receipt.given_up.push(target.span.clone());
            }
            is_ours
        });
    }
}

#[cfg(test)]
mod tests {
    use skein_shared::offset::Offset;

    use super::*;
    use crate::core::standing::test_standing as standing;

    /// How many spans are open, durable and given up, once a partition that had `[10, 30)` undurable stands so.
    #[track_caller]
    fn check(now: PartitionStanding, expected: (usize, usize, usize)) {
        let name = now.name.clone();
        let span = FlushedSpan::new(&name, Offset(10), Offset(30));
        let mut flush = WaitingFlush {
            reply: oneshot::channel().0,
            open: vec![Target { name, span }],
            receipt: FlushReceipt::default(),
        };
        flush.settle(&BTreeMap::from([(now.name.clone(), now)]));
        let FlushReceipt { durable, given_up } = &flush.receipt;
        assert_eq!((flush.open.len(), durable.len(), given_up.len()), expected);
    }

    #[test]
    fn a_flush_is_answered_when_all_is_durable_or_not_ours_any_more() {
        check(standing(PartitionState::Reading, 50, 20), (1, 0, 0));
        check(standing(PartitionState::Reading, 50, 30), (0, 1, 0));
        check(standing(PartitionState::Draining, 50, 29), (1, 0, 0));
        check(standing(PartitionState::LookingUp, 10, 10), (1, 0, 0));
        check(standing(PartitionState::Doubted, 10, 10), (1, 0, 0));
        check(standing(PartitionState::Away, 30, 30), (0, 1, 0));
        check(standing(PartitionState::Away, 29, 29), (0, 0, 1));
        check(standing(PartitionState::Stopped, 30, 20), (1, 0, 0));
        check(standing(PartitionState::Stopped, 20, 20), (0, 0, 1));
    }

    #[test]
    fn a_worker_that_waits_for_a_hole_says_so_and_not_that_it_looks_up() {
        let wellbeing = Wellbeing {
            was_assigned: true,
            doubted: 2,
            ..Wellbeing::default()
        };
        let reasons = reasons_of(&wellbeing);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].contains("2 partitions: what kafka has"));
    }

    #[test]
    fn a_worker_whose_flushes_do_not_become_durable_is_late() {
        let mut flushes = FlushClock::default();
        let patience = Millis(100);
        flushes.tick(Millis(0), 0, 0);
        assert_eq!(
            flushes.late_by(Millis(1000), patience),
            None,
            "nothing to flush"
        );
        flushes.tick(Millis(1000), 0, 3);
        flushes.tick(Millis(1050), 0, 3);
        assert_eq!(flushes.late_by(Millis(1100), patience), None);
        assert_eq!(flushes.late_by(Millis(990), patience), None);
        assert_eq!(flushes.late_by(Millis(1101), patience), Some(Millis(101)));
        flushes.tick(Millis(1102), 1, 3);
        assert_eq!(flushes.late_by(Millis(1150), patience), None);
        assert_eq!(flushes.flushed_at, Some(Millis(1102)));
    }
}
