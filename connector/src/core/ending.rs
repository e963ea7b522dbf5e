//! How a connector ends: flush, commit, leave.

use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::{Action, ExitReason};
use crate::core::options::Until;

/// How long a worker without partitions waits for some before it ends by itself: while a group settles, a
/// member's first assignment is often empty.
const PATIENCE_WITHOUT_PARTITIONS: Millis = Millis::seconds(10);

/// Where a connector is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    /// It takes records.
    Running,
    /// It takes no more; the last flush is on its way.
    Ending {
        reason: ExitReason,
        deadline: Option<Millis>,
    },
    /// It has ended.
    Over,
}

impl Life {
    pub(super) fn is_running(&self) -> bool {
        *self == Self::Running
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self, Self::Ending { .. })
    }

    pub(super) fn is_over(&self) -> bool {
        *self == Self::Over
    }
}

impl Core {
    pub(super) fn shut_down(&mut self, actions: &mut Vec<Action>) {
        let deadline = Millis(self.now.0 + self.options.settings.shutdown_timeout.0);
        match &mut self.life {
            Life::Running => self.begin_ending(ExitReason::Stopped, Some(deadline), actions),
            Life::Ending {
                deadline: bound, ..
            } => {
                bound.get_or_insert(deadline);
            }
            Life::Over => {}
        }
    }

    /// Begins the end when every partition has reached its own, and finishes it when all is flushed.
    pub(super) fn end_if_due(&mut self, actions: &mut Vec<Action>) {
        self.count_partitions();
        if self.is_stalled() {
            self.exit(ExitReason::Stalled, actions);
            return;
        }
        if self.life.is_running() && self.end_is_reached() {
            self.begin_ending(ExitReason::EndReached, None, actions);
        }
        let Life::Ending { reason, deadline } = self.life.clone() else {
            return;
        };
        let is_late = deadline.is_some_and(|deadline| deadline <= self.now);
        let is_flushed = self.flushes.under_way() == 0 && self.commits_are_done();
        if is_flushed && (is_late || self.status.is_told(self.now)) {
            self.exit(reason, actions);
        } else if is_late {
            self.exit(ExitReason::FlushMissed, actions);
        }
    }

    /// Whether somebody waits for an end that does not come nearer.
    fn is_stalled(&self) -> bool {
        let patience = self.options.settings.stall_timeout;
        match self.options.until {
            Until::Asked => false,
            Until::EndAtAssignment => self.progress_at.0 + patience.0 <= self.now.0,
        }
    }

    pub(super) fn exit(&mut self, reason: ExitReason, actions: &mut Vec<Action>) {
        self.life = Life::Over;
        actions.push(Action::Exit(reason));
    }

    fn begin_ending(
        &mut self,
        reason: ExitReason,
        deadline: Option<Millis>,
        actions: &mut Vec<Action>,
    ) {
        self.seal_flush(actions);
        self.status.soon(self.now);
        self.life = Life::Ending { reason, deadline };
        actions.push(Action::Pause);
    }

    fn end_is_reached(&mut self) -> bool {
        let Some(assigned_at) = self.membership.assigned_at else {
            return false;
        };
        if self.options.until == Until::Asked {
            return false;
        }
        let census = self.partitions.census();
        let is_between = !(census.looking_up.is_empty()
            && census.found.is_empty()
            && census.draining.is_empty()
            && census.doubted.is_empty());
        if is_between || census.short_of_end > 0 {
            return false;
        }
        let ours = census.reading + census.stopped;
        ours > 0 || assigned_at.0 + PATIENCE_WITHOUT_PARTITIONS.0 <= self.now.0
    }

    fn count_partitions(&mut self) {
        let census = self.partitions.census();
        let reading = census.reading;
        self.stats.partitions_reading = reading;
        self.stats.partitions_stopped = census.stopped;
        self.stats.records_behind = census.records_behind;
        self.budget
            .set_aside(reading * self.options.floors.partition_bytes);
    }
}
