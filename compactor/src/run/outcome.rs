//! What became of the shards of a run.

use std::cmp::Reverse;

use skein_shared::ids::ShardId;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::metrics;
use crate::report::{RunReport, StepReport};

/// What one shard came to.
pub(super) struct ShardOutcome {
    pub(super) shard: ShardId,
    pub(super) steps: StepReport,
    pub(super) superseded: u64,
    pub(super) undecided_damages: usize,
    pub(super) end: ShardEnd,
}

/// How far one shard has come.
pub(super) enum ShardEnd {
    /// Its manifest has reached the ledger's end.
    Done,
    /// Another compactor has carried out deletes that came after the plan: it has to be made again.
    Outdated(Error),
    /// It will not get further.
    Failed(Error),
}

impl ShardOutcome {
    pub(super) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            steps: StepReport::default(),
            superseded: 0,
            undecided_damages: 0,
            end: ShardEnd::Done,
        }
    }

    /// What this plan did on top of an earlier one of the same run.
    pub(super) fn after(before: Option<Self>, outcome: Self) -> Self {
        let Some(mut whole) = before else {
            return outcome;
        };
        whole.steps.add(&outcome.steps);
        whole.superseded += outcome.superseded;
        Self {
            steps: whole.steps,
            superseded: whole.superseded,
            ..outcome
        }
    }

    pub(super) fn is_outdated(&self) -> bool {
        matches!(self.end, ShardEnd::Outdated(_))
    }

    pub(super) fn panicked(shard: ShardId, panic: JoinError) -> Self {
        let error = Error::Panicked {
            reason: panic_text(panic),
        };
        metrics::shard_failed(shard, &error);
        Self {
            end: ShardEnd::Failed(error),
            ..Self::new(shard)
        }
    }
}

fn panic_text(panic: JoinError) -> String {
    let Ok(payload) = panic.try_into_panic() else {
        return "the task was cancelled".to_owned();
    };
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it is in the log".to_owned())
}

/// What was done, and what the run fails with: the worst failure of any shard.
pub(super) fn summarize(
    outcomes: impl ExactSizeIterator<Item = ShardOutcome>,
    cancel: &CancellationToken,
) -> (RunReport, Option<Error>) {
    let mut report = RunReport {
        shards: outcomes.len(),
        ..RunReport::default()
    };
    let mut failures = Vec::new();
    for outcome in outcomes {
        report.shards_advanced += usize::from(outcome.steps.generations > 0);
        report.superseded += outcome.superseded;
        report.undecided_damages += outcome.undecided_damages;
        report.steps.add(&outcome.steps);
        match outcome.end {
            ShardEnd::Done => {}
            ShardEnd::Outdated(error) | ShardEnd::Failed(error) => {
                failures.push((outcome.shard, error));
            }
        }
    }
    metrics::damages_undecided(report.undecided_damages);
    let failed = failures.len();
    // Stable: of those that failed equally badly it is the first.
    failures.sort_by_key(|(_, error)| Reverse(error.kind()));
    let shards = report.shards;
    let failure = failures.into_iter().next().map(|(shard, worst)| {
        if cancel.is_cancelled() {
            return Error::Cancelled;
        }
        Error::Shards {
            failed,
            shards,
            shard,
            worst: Box::new(worst),
        }
    });
    (report, failure)
}
