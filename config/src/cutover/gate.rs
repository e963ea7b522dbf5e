//! Gates: what a step rests on passes, fails, or cannot be told. No data never passes.

use skein_shared::cutover::NodeRole;
use skein_shared::format::cutover_version::Evidence;
use skein_shared::format::delete_entry::EntryHash;
use skein_shared::format::diff_verdict::{DiffSides, Verdict};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover::facts::{Facts, NodeFact, NodeFence, OldFacts, VerdictFact};
use crate::cutover::rules::{self, Rules};

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Go; and why.
    Pass(Vec<Evidence>),
    /// Do not: something is wrong.
    Blocked(String),
    /// It cannot be told.
    Inconclusive(String),
}

/// What a comparison must be to count.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// It must be fresh at this time.
    pub at: TimestampMs,
    /// It must have been made by this version of the org, or a later one.
    pub since: u64,
    /// It counts also when a version that is in force rests on it.
    pub carried: &'a [Evidence],
    /// It must be of all of this span; `None` where its share of windows alone decides.
    pub span: Option<TimeSpan>,
}

/// The kind of evidence that a comparison is.
pub const DIFF: &str = "diff";
/// The kind of evidence that acknowledgements are.
pub const ACKNOWLEDGEMENTS: &str = "acknowledgements";
/// The kind of evidence that a seal is.
pub const SEAL: &str = "seal";
/// The kind of evidence that a declaration about a system that cannot be asked is.
pub const DECLARATION: &str = "declaration";
/// The kind of evidence that a rehearsed way back is.
pub const REHEARSAL: &str = "rehearsal";
/// The kind of evidence that says that old files are not needed any more.
pub const PURGE: &str = "purge";

/// The kind of evidence that names event times of which answers that were given change.
pub const RESTATEMENT: &str = "restatement";

/// Whether a comparison of old and new lets a step go on.
///
/// Of those that count the newest decides; a failed one that is newer than all that pass is a no.
pub fn comparison(facts: &Facts, rules: &Rules, wanted: &Wanted) -> Gate {
    let is_pair = |fact: &&VerdictFact| fact.verdict.sides == DiffSides::OldNew;
    let mut newest_first: Vec<&VerdictFact> = facts.verdicts.iter().filter(is_pair).collect();
    newest_first.sort_by_key(|fact| std::cmp::Reverse((fact.verdict.at, fact.digest)));
    let mut first_reason = None;
    for fact in newest_first {
        let reason = match flaw(fact, facts, (rules, wanted)) {
            None => return Gate::Pass(vec![evidence_of(fact)]),
            Some(Flaw::Wrong(reason)) => return Gate::Blocked(reason),
            Some(Flaw::Weak(reason)) => reason,
        };
        first_reason.get_or_insert(reason);
    }
    let none = || "no comparison of old with new was made: `skein diff create` makes one";
    Gate::Inconclusive(first_reason.unwrap_or_else(|| none().to_owned()))
}

enum Flaw {
    /// It counts, and says no.
    Wrong(String),
    /// It does not count.
    Weak(String),
}

fn flaw(fact: &VerdictFact, facts: &Facts, (rules, wanted): (&Rules, &Wanted)) -> Option<Flaw> {
    let verdict = &fact.verdict;
    let named = format!("comparison `{}`", verdict.comparison);
    let weak = |why: String| Some(Flaw::Weak(format!("{named} {why}")));
    let is_carried = wanted
        .carried
        .iter()
        .any(|it| it.kind == DIFF && it.key == fact.key);
    if verdict.cutover_version < wanted.since && !is_carried {
        return weak(format!(
            "read by version {} of the org, and the timeline is another one since version {}",
            verdict.cutover_version, wanted.since
        ));
    }
    if verdict.build != facts.build {
        return weak(format!(
            "was made by build {}, this is {}",
            verdict.build, facts.build
        ));
    }
    if verdict.at < rules::before(wanted.at, rules.evidence_age) {
        return weak(format!(
            "is of {}, which is more than cutover.evidence_age ({}) before {}",
            verdict.at, rules.evidence_age, wanted.at
        ));
    }
    let reasons = verdict.reasons.join("; ");
    match verdict.verdict {
        Verdict::Fail => return Some(Flaw::Wrong(format!("{named} failed: {reasons}"))),
        Verdict::Inconclusive => return weak(format!("is inconclusive: {reasons}")),
        Verdict::Pass | Verdict::PassDeclared => {}
    }
    if verdict.new_classes > 0 {
        let classes = verdict.new_classes;
        return Some(Flaw::Wrong(format!(
            "{named} has {classes} new classes of difference"
        )));
    }
    if verdict.counts.equal == 0 && verdict.counts.within_tolerance == 0 {
        return weak("compared no points".to_owned());
    }
    let (compared, all) = verdict.windows;
    let percent = u128::from(rules.coverage_percent);
    if all == 0 || u128::from(compared) * 100 < percent * u128::from(all) {
        return weak(format!(
            "compared {compared} of {all} windows, less than cutover.coverage_percent ({percent}) of a hundred"
        ));
    }
    match wanted.span {
        Some(span) if span.from < verdict.span.from || verdict.span.to < span.to => weak(format!(
            "is of {} to {}, and does not cover {} to {}",
            verdict.span.from, verdict.span.to, span.from, span.to
        )),
        Some(_) | None => None,
    }
}

fn evidence_of(fact: &VerdictFact) -> Evidence {
    let verdict = &fact.verdict;
    Evidence {
        kind: DIFF.to_owned(),
        key: fact.key.clone(),
        digest: fact.digest,
        text: format!(
            "{}: {} points equal, {} of {} windows, version {}, build {}",
            verdict.verdict,
            verdict.counts.equal,
            verdict.windows.0,
            verdict.windows.1,
            verdict.cutover_version,
            verdict.build
        ),
        at: verdict.at,
    }
}

/// The live nodes of the roles asked that do not go by `version` of the org, or a later one. A node that starts later takes the
/// newest, and nobody waits for one that is gone.
pub fn missing_acknowledgements<'a>(
    facts: &'a Facts,
    rules: &Rules,
    (asked, version): (&[NodeRole], u64),
) -> Vec<&'a NodeFact> {
    let is_missing = |node: &&NodeFact| {
        asked.contains(&node.role)
            && is_live(node, facts, rules)
            && !(node.role == NodeRole::OldPipeline && facts.old == OldFacts::Passive)
            && (node.version < version || node.fence == NodeFence::Fenced)
    };
    facts.nodes.iter().filter(is_missing).collect()
}

/// Whether a node is taken to be alive.
pub fn is_live(node: &NodeFact, facts: &Facts, rules: &Rules) -> bool {
    node.at >= rules::before(facts.now, rules.liveness)
}

/// Whether the new pipeline is where readers can go to it from `edge` on.
pub fn new_is_ready(facts: &Facts, rules: &Rules, edge: TimestampMs) -> Gate {
    let new = &facts.new;
    if new.unaccounted > 0 {
        return Gate::Blocked(format!(
            "{} points went into the new pipeline and nothing accounts for them",
            new.unaccounted
        ));
    }
    if let Some(passed_over) = new.not_owned_to.filter(|passed_over| *passed_over >= edge) {
        return Gate::Blocked(format!(
            "the new pipeline has passed over points up to {passed_over} as not its own, so readers cannot go to it from \
             {edge} on: rebuild those windows, or choose a later edge"
        ));
    }
    is_near(
        "the new pipeline's segments",
        new.complete_to,
        (facts, rules),
    )
}

/// Whether the old pipeline is where readers can go to it at once, for all that is at or after `edge`.
pub fn old_is_complete(facts: &Facts, rules: &Rules, edge: TimestampMs) -> Gate {
    match &facts.old {
        OldFacts::Passive => Gate::Pass(vec![declared(facts.now)]),
        OldFacts::Active(old) => {
            let left = left_points(facts, edge);
            if left != Gate::Pass(vec![]) {
                return left;
            }
            is_near("the old pipeline's files", old.complete_to, (facts, rules))
        }
    }
}

/// The old pipeline has written what it has seen at or after `edge`.
fn left_points(facts: &Facts, edge: TimestampMs) -> Gate {
    let left = match &facts.old {
        OldFacts::Passive => None,
        OldFacts::Active(old) => old.not_written_to.filter(|last| *last >= edge),
    };
    match left {
        None => Gate::Pass(vec![]),
        Some(last) => Gate::Blocked(format!(
            "the old pipeline has left points up to {last} to the new one, so readers cannot go back to it from {edge} on"
        )),
    }
}

/// Whether the old pipeline writes at all, and all that is at or after `edge`.
pub fn old_is_alive(facts: &Facts, rules: &Rules, edge: TimestampMs) -> Gate {
    let is_old = |node: &NodeFact| {
        node.role == NodeRole::OldPipeline
            && is_live(node, facts, rules)
            && node.fence == NodeFence::Open
    };
    let is_alive = facts.nodes.iter().any(is_old);
    match old_is_complete(facts, rules, edge) {
        Gate::Blocked(why) if !is_alive => Gate::Blocked(why),
        Gate::Inconclusive(why) if !is_alive => Gate::Inconclusive(why),
        Gate::Pass(evidence) => Gate::Pass(evidence),
        Gate::Blocked(_) | Gate::Inconclusive(_) => left_points(facts, edge),
    }
}

fn is_near(what: &str, complete_to: Option<TimestampMs>, (facts, rules): (&Facts, &Rules)) -> Gate {
    match complete_to {
        None => Gate::Inconclusive(format!("nobody says up to when {what} are complete")),
        Some(complete_to) if complete_to < rules::before(facts.now, rules.lead) => {
            Gate::Blocked(format!(
                "{what} are complete up to {complete_to} alone, more than one lead ({}) ago",
                rules.lead
            ))
        }
        Some(complete_to) => Gate::Pass(vec![stated(
            "progress",
            format!("{what} are complete up to {complete_to}"),
            facts.now,
        )]),
    }
}

/// Evidence that a text says all of.
pub fn stated(kind: &str, text: String, at: TimestampMs) -> Evidence {
    Evidence {
        kind: kind.to_owned(),
        key: String::new(),
        digest: EntryHash::of(text.as_bytes()).0,
        text,
        at,
    }
}

/// Evidence about an old pipeline that nobody can ask.
pub fn declared(at: TimestampMs) -> Evidence {
    let text = "the old system cannot be asked and is taken to write for ever";
    stated(DECLARATION, text.to_owned(), at)
}

#[cfg(test)]
mod tests;
