//! Says when points may be missing from what is read.

use clap::Args;
use skein_reader::snapshot::Snapshot;
use skein_shared::format::damage::DamageRef;
use skein_shared::ids::ShardId;
use skein_shared::window::{TimeSpan, TimestampMs, Window};

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Damages that are told of one by one.
const TOLD: usize = 10;

/// The flag that says what to do when points may be missing.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Demand {
    /// Gives nothing and ends with exit code 4 when points may be missing, because state is damaged
    #[arg(long)]
    require_complete: bool,
}

/// Warns of every damage that may have taken points of the selection in `span`.
pub(super) fn check(snapshot: &Snapshot, span: TimeSpan, demand: Demand) -> Result<(), Failure> {
    let incomplete = snapshot.incomplete(span);
    let mut warnings: Vec<String> = incomplete
        .iter()
        .take(TOLD)
        .map(|(shard, damage)| warning(*shard, damage, span))
        .collect();
    let more = incomplete.len().saturating_sub(TOLD);
    if more > 0 {
        warnings.push(format!(
            "warning: {more} more damages: `skein quarantine ls` shows them"
        ));
    }
    let text = warnings.join("\n");
    if text.is_empty() {
        return Ok(());
    }
    if demand.require_complete {
        let refusal = "nothing was read, because --require-complete was given";
        return Err(Failure::Said(
            ExitCode::Inconclusive,
            format!("{text}\n{refusal}"),
        ));
    }
    eprintln!("{text}");
    Ok(())
}

fn warning(shard: ShardId, damage: &DamageRef, span: TimeSpan) -> String {
    let from = damage.times.from.max(span.from);
    let to = damage.times.to.min(span.to);
    let id = damage.id;
    format!(
        "warning: points may be missing from {}: state of {shard} is damaged; damage=`{id}`: \
         `skein quarantine ls` says what to do",
        windows(from, to)
    )
}

/// The windows that hold an instant of `[from, to)`.
fn windows(from: TimestampMs, to: TimestampMs) -> String {
    if from == TimeSpan::ALL.from || to == TimeSpan::ALL.to {
        return "any window".to_owned();
    }
    let (first, last) = (Window::of(from), Window::of(TimestampMs(to.0 - 1)));
    if first == last {
        return format!("window {first}");
    }
    format!("windows {first} to {last}")
}
