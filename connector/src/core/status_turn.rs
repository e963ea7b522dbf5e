//! When this worker tells where it stands: soon after whatever changes that, and at least each interval.

use skein_shared::units::Millis;

use crate::core::Core;
use crate::core::action::{Action, Request, Standing};
use crate::core::partition::{Partition, Phase};
use crate::core::purpose::Purpose;

/// How long after a failure it is told again.
const PAUSE_AFTER_FAILURE: Millis = Millis::seconds(1);
/// Failures in a row after which a worker that ends no longer waits for its last word.
const LAST_WORDS: u32 = 3;
/// How long a worker that ends waits for its last word to be written.
const PATIENCE: Millis = Millis::seconds(10);

/// The one status that may be under way, and when the next is due.
#[derive(Debug, Default)]
pub(super) struct StatusTurn {
    due_at: Millis,
    under_way_since: Option<Millis>,
    failures: u32,
}

impl StatusTurn {
    /// What was told has changed.
    pub(super) fn soon(&mut self, now: Millis) {
        self.due_at = self.due_at.min(now);
    }

    /// Whether a worker that ends has told its last word, or has tried long enough.
    pub(super) fn is_told(&self, now: Millis) -> bool {
        if let Some(since) = self.under_way_since {
            return since.0 + PATIENCE.0 <= now.0;
        }
        let waits_to_tell = self.due_at <= now || self.failures > 0;
        !waits_to_tell || self.failures >= LAST_WORDS
    }
}

impl Core {
    /// Sends the status when it is due. One is under way at a time, so that an older one never overtakes a
    /// newer one.
    pub(super) fn tell_status(&mut self, actions: &mut Vec<Action>) {
        let is_due = self.status.under_way_since.is_none() && self.status.due_at <= self.now;
        if !is_due || self.life.is_over() {
            return;
        }
        let mut standings: Vec<Standing> = self.partitions.iter().filter_map(standing).collect();
        standings.sort_by(|one, other| one.chain.cmp(&other.chain));
        let request = Request::WriteStatus {
            worker: self.options.worker,
            standings,
            write: self.write_id(),
        };
        self.requests.send(Purpose::Status, request, actions);
        self.status.under_way_since = Some(self.now);
        self.status.due_at = Millis(self.now.0 + self.options.settings.status_interval.0);
    }

    pub(super) fn status_written(&mut self) {
        self.status.under_way_since = None;
        self.status.failures = 0;
    }

    /// Nothing depends on a status but those who wait for it: it is not sent again as it was, but told anew.
    pub(super) fn status_failed(&mut self) {
        self.status.under_way_since = None;
        self.status.failures += 1;
        let again_at = Millis(self.now.0 + PAUSE_AFTER_FAILURE.0);
        self.status.due_at = again_at;
    }
}

/// What there is to say of a partition: nothing while it is not ours, or not known yet.
fn standing(partition: &Partition) -> Option<Standing> {
    let stopped = match partition.phase {
        Phase::Away | Phase::LookingUp => return None,
        Phase::Found(_) | Phase::Reading(_) | Phase::Draining | Phase::Doubted(_) => None,
        Phase::Stopped => Some(partition.stopped_because.clone()),
    };
    Some(Standing {
        chain: partition.chain.clone(),
        position: partition.ledger_end,
        stopped,
    })
}
