//! A store that takes nothing until a person has acted: credentials that expired or are refused, a bucket that
//! is gone, a clock that is wrong, no room left. Nothing is dropped: the intake waits, requests are tried again
//! at the retry budget's pace, and work goes on by itself when they are taken.

use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::{Action, Notice, RequestId};
use crate::core::purpose::Purpose;

/// Time between two alerts of the same blockage.
const ALERT_INTERVAL: Millis = Millis::seconds(60);

/// Whether the store refuses, and what was said about it.
#[derive(Debug, Default)]
pub(super) struct Blockage {
    reason: String,
    /// When to tell again; `None` while nothing is refused.
    alert_at: Option<Millis>,
    /// When an odd answer may be told of again.
    odd_at: Millis,
}

impl Blockage {
    pub(super) fn is_on(&self) -> bool {
        self.alert_at.is_some()
    }

    /// Takes note of the latest refusal's words.
    pub(super) fn refused(&mut self, reason: &str) {
        reason.clone_into(&mut self.reason);
    }
}

impl Core {
    /// Alerts when requests begin to be refused, each minute while they are, and when they are not any more.
    pub(super) fn watch_refusals(&mut self, actions: &mut Vec<Action>) {
        if !self.requests.any_refused() {
            if self.blockage.alert_at.take().is_some() {
                actions.push(Action::Notify(Notice::StoreAccepts));
            }
            return;
        }
        if self.blockage.alert_at.is_none_or(|at| at <= self.now) {
            self.blockage.alert_at = Some(Millis(self.now.0 + ALERT_INTERVAL.0));
            let reason = self.blockage.reason.clone();
            actions.push(Action::Notify(Notice::StoreRefuses { reason }));
        }
    }

    /// Alerts of an answer about one partition that makes no sense. Nothing else waits for it.
    pub(super) fn watch_odd_answer(
        &mut self,
        id: RequestId,
        reason: &str,
        actions: &mut Vec<Action>,
    ) {
        let slot = self.requests.purpose(id).and_then(Purpose::slot);
        let Some(slot) = slot.filter(|_| self.blockage.odd_at <= self.now) else {
            return;
        };
        self.blockage.odd_at = Millis(self.now.0 + ALERT_INTERVAL.0);
        let partition = self.partitions.get(slot).name.clone();
        let reason = reason.to_owned();
        actions.push(Action::Notify(Notice::OddAnswer { partition, reason }));
    }
}
