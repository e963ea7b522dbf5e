//! What a timeline may become: edges on the grid, both pipelines at every place where readers change over, and a past that
//! stays as it was.

use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover::rules::{self, Rules};

/// What a change may do to event times that nodes already go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastChange {
    /// Nothing.
    Nothing,
    /// A pipeline that readers do not see may cease to be a writer, of any time.
    Withdraw,
    /// Readers go back to the old pipeline from here on, which has written all of it.
    Void(TimestampMs),
    /// The span is given to a pipeline that was proven to have it.
    Reassign(TimeSpan),
}

/// Checks that `before` may become `next` at `now`.
///
/// # Errors
/// The first rule that it breaks, in words.
pub fn check(
    before: &Timeline,
    next: &Timeline,
    change: PastChange,
    (now, rules): (TimestampMs, &Rules),
) -> Result<(), String> {
    check_grid(before, next, rules)?;
    check_margins(next, rules)?;
    let free_from = rules::after(now, rules.lead);
    let mut cuts: Vec<TimestampMs> = [before, next]
        .into_iter()
        .flat_map(|timeline| timeline.phases().iter().map(|phase| phase.from))
        .chain([now, free_from])
        .chain(cuts_of(change))
        .collect();
    cuts.sort_unstable();
    for from in cuts {
        let (was, is) = (before.phase_at(from), next.phase_at(from));
        let says = |phase: Phase| (phase.writers, phase.visible);
        if says(was) == says(is) || from >= free_from {
            continue;
        }
        let is_near = from >= now;
        if is_allowed(change, from, (was, is)) || (is_near && was.writers == is.writers) {
            continue;
        }
        return Err(format!(
            "from {from} on it would no longer be {} that {} and {} that is visible, but an edge set at {now} cannot lie \
             before {free_from}",
            was.writers,
            writes(was.writers),
            was.visible,
        ));
    }
    Ok(())
}

fn writes(writers: Writers) -> &'static str {
    match writers {
        Writers::Only(_) => "writes",
        Writers::Both => "write",
    }
}

fn cuts_of(change: PastChange) -> Vec<TimestampMs> {
    match change {
        PastChange::Nothing | PastChange::Withdraw => vec![],
        PastChange::Void(from) => vec![from],
        PastChange::Reassign(span) => vec![span.from, span.to],
    }
}

fn is_allowed(change: PastChange, from: TimestampMs, (was, is): (Phase, Phase)) -> bool {
    match change {
        PastChange::Nothing => false,
        // What is visible is one of the writers before and after, so it is the other one that is gone.
        PastChange::Withdraw => was.visible == is.visible && is.writers != Writers::Both,
        PastChange::Void(start) => {
            from >= start && was.writers == is.writers && is.visible == Pipeline::Old
        }
        PastChange::Reassign(span) => span.contains(from),
    }
}

fn check_grid(before: &Timeline, next: &Timeline, rules: &Rules) -> Result<(), String> {
    let edges = |timeline: &Timeline| -> Vec<TimestampMs> {
        let later = timeline.phases().iter().skip(1);
        later.map(|phase| phase.from).collect()
    };
    let known = edges(before);
    let is_off = |edge: &TimestampMs| !known.contains(edge) && !rules.is_edge(*edge);
    match edges(next).into_iter().find(is_off) {
        None => Ok(()),
        Some(edge) => Err(format!(
            "the edge {edge} does not lie on a multiple of cutover.grid ({})",
            rules.grid
        )),
    }
}

/// Both pipelines write for one lead before and after each event time at which readers change over.
fn check_margins(next: &Timeline, rules: &Rules) -> Result<(), String> {
    for pair in next.phases().windows(2) {
        let [left, right] = pair else { continue };
        if left.visible == right.visible {
            continue;
        }
        let margin = TimeSpan {
            from: rules::before(right.from, rules.lead),
            to: rules::after(right.from, rules.lead),
        };
        let is_alone = |(_, phase): &(TimeSpan, Phase)| phase.writers != Writers::Both;
        if let Some((part, phase)) = next.phases_in(margin).find(is_alone) {
            return Err(format!(
                "readers change over at {}, but from {} on {} alone writes: both must for one lead ({}) before and after",
                right.from, part.from, phase.writers, rules.lead
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
