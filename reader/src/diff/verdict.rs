//! What a comparison comes to: a pure function of what was counted.

use skein_shared::format::diff_verdict::{DiffCounts, Verdict};
use skein_shared::window::TimestampMs;

use crate::diff::class_history::ClassHistory;
use crate::diff::definition::Definition;
use crate::diff::discrepancy::Kind;
use crate::diff::journal::{InputKind, OrgInput, WindowDone};

/// Reasons that are told one by one.
const TOLD: usize = 5;

/// Whether a comparison has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every round that was asked for is done.
    Whole,
    /// It was stopped before.
    Stopped,
}

/// What it comes to for one org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgVerdict {
    /// Whose.
    pub org: u64,
    /// The outcome.
    pub verdict: Verdict,
    /// Why it is not a plain pass.
    pub reasons: Vec<String>,
    /// What was counted; what is ignored counts there alone.
    pub counts: DiffCounts,
    /// Windows that were compared, and those that there were.
    pub windows: (u64, u64),
    /// Classes that were never seen before and nobody ignores.
    pub new_classes: u64,
}

/// The worst of several outcomes; none is inconclusive.
pub fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::PassDeclared => 1,
        Verdict::Inconclusive => 2,
        Verdict::Fail => 3,
    };
    verdicts.max_by_key(rank).unwrap_or(Verdict::Inconclusive)
}

/// What the windows of one org come to.
pub fn judge(
    (definition, ended): (&Definition, Ended),
    input: &OrgInput,
    windows: &[&WindowDone],
    (history, now): (&ClassHistory, TimestampMs),
) -> OrgVerdict {
    let mut judged = OrgVerdict {
        org: input.org,
        verdict: Verdict::Inconclusive,
        reasons: Vec::new(),
        counts: DiffCounts::default(),
        windows: (0, 0),
        new_classes: 0,
    };
    count(&mut judged, windows, (history, now));
    let there: Vec<&WindowDone> = windows.iter().filter(|it| it.is_due()).copied().collect();
    let planned = input.windows.len() - (windows.len() - there.len()).min(input.windows.len());
    let covered = there
        .iter()
        .filter(|it| is_covered(it, definition.wanted_percent));
    judged.windows = (covered.count() as u64, planned as u64);
    let doubts = doubts(&judged, (definition, ended), input, &there);
    let counts = &judged.counts;
    let certain =
        counts.duplicates + counts.wrong_owner + counts.out_of_window + counts.undecodable;
    let is_known = there.iter().all(|it| it.input != InputKind::Unknown);
    let is_declared = there.iter().any(|it| it.input == InputKind::Declared);
    let differences = counts.differences();
    judged.verdict = if certain > 0 || (differences > 0 && is_known) {
        Verdict::Fail
    } else if differences > 0 || !doubts.is_empty() {
        Verdict::Inconclusive
    } else if is_declared {
        Verdict::PassDeclared
    } else {
        Verdict::Pass
    };
    if differences > 0 {
        let new = judged.new_classes;
        judged.reasons.push(format!(
            "{differences} differences, {new} classes of them are new"
        ));
    }
    judged.reasons.extend(doubts);
    if is_declared {
        let said = definition.declared.iter().map(|it| it.reason.as_str());
        let said: Vec<&str> = said.collect();
        judged
            .reasons
            .push(format!("input declared equal: {}", said.join("; ")));
    }
    if !definition.sample.is_all() {
        let percent = definition.sample.percent();
        judged
            .reasons
            .push(format!("a sample of {percent} % of the series"));
    }
    judged
}

fn count(
    judged: &mut OrgVerdict,
    windows: &[&WindowDone],
    (history, now): (&ClassHistory, TimestampMs),
) {
    let mut new = std::collections::BTreeSet::new();
    let counts = &mut judged.counts;
    for window in windows {
        counts.equal += window.equal;
        counts.within_tolerance += window.within_tolerance;
        counts.set_aside += window.set_aside;
        counts.resolved += window.resolved;
        for class in &window.classes {
            if history.ignored_by(&class.fingerprint, now).is_some() {
                counts.ignored += class.count;
                continue;
            }
            *count_of(counts, class.class.kind) += class.count;
            if history.first_seen(&class.fingerprint).is_none() {
                new.insert(class.fingerprint.clone());
            }
        }
    }
    judged.new_classes = new.len() as u64;
}

/// Where differences of a kind are counted.
pub fn count_of(counts: &mut DiffCounts, kind: Kind) -> &mut u64 {
    match kind {
        Kind::DifferentValue => &mut counts.different_value,
        Kind::DifferentMetadata => &mut counts.different_metadata,
        Kind::MissingLeft => &mut counts.missing_left,
        Kind::MissingRight => &mut counts.missing_right,
        Kind::Duplicate => &mut counts.duplicates,
        Kind::WrongOwner => &mut counts.wrong_owner,
        Kind::OutOfWindow => &mut counts.out_of_window,
        Kind::Undecodable => &mut counts.undecodable,
    }
}

/// Whether enough of a window was compared for it to count as covered.
fn is_covered(window: &WindowDone, wanted_percent: u8) -> bool {
    let (compared, aside) = (window.compared(), window.set_aside);
    let is_known = window.input != InputKind::Unknown;
    window.error.is_none()
        && is_known
        && compared > 0
        && is_enough(compared, compared + aside, wanted_percent)
}

fn is_enough(part: u64, whole: u64, percent: u8) -> bool {
    u128::from(part) * 100 >= u128::from(whole) * u128::from(percent)
}

/// Why it cannot be said that the sides are equal.
fn doubts(
    judged: &OrgVerdict,
    (definition, ended): (&Definition, Ended),
    input: &OrgInput,
    windows: &[&WindowDone],
) -> Vec<String> {
    let mut doubts = Vec::new();
    let compared: u64 = windows.iter().map(|window| window.compared()).sum();
    let wanted = definition.wanted_percent;
    if ended == Ended::Stopped {
        doubts.push("it was stopped before its end: `skein diff resume` goes on".to_owned());
    }
    if compared == 0 {
        doubts.push("nothing was compared".to_owned());
    }
    let unknown = windows
        .iter()
        .filter(|it| it.input == InputKind::Unknown)
        .count();
    if unknown > 0 {
        doubts.push(format!("equal input is not proven of {unknown} windows"));
        let more = input.short.len().saturating_sub(TOLD);
        doubts.extend(input.short.iter().take(TOLD).cloned());
        doubts.extend((more > 0).then(|| format!("and {more} reasons more")));
    }
    let (covered, all) = judged.windows;
    if !is_enough(covered, all, wanted) {
        doubts.push(format!(
            "{covered} of {all} windows were compared, {wanted} % are wanted"
        ));
    }
    let aside = judged.counts.set_aside;
    if !is_enough(compared, compared + aside, wanted) {
        doubts.push(format!(
            "{aside} points are set aside, {compared} compared; {wanted} % are wanted: compare again later"
        ));
    }
    let errors = windows.iter().filter_map(|it| it.error.as_ref());
    doubts.extend(
        errors
            .take(TOLD)
            .map(|error| format!("a window could not be read: {error}")),
    );
    doubts
}

#[cfg(test)]
mod tests;
