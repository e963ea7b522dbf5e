use super::*;
use crate::cutover::examples::{at, facts, node, rules, verdict};
use crate::cutover::facts::OldProgress;

const NOW: i64 = 10_000;

fn wanted(since: u64) -> Wanted<'static> {
    Wanted {
        at: at(NOW),
        since,
        carried: &[],
        span: None,
    }
}

#[track_caller]
fn check(change: impl Fn(&mut VerdictFact), expected: &str) {
    let mut fact = verdict(3, NOW - 10);
    change(&mut fact);
    let facts = Facts {
        verdicts: vec![fact],
        ..facts(NOW)
    };
    let said = match comparison(&facts, &rules(), &wanted(3)) {
        Gate::Pass(evidence) => {
            assert_eq!(evidence.len(), 1);
            "pass".to_owned()
        }
        Gate::Blocked(why) => format!("blocked {why}"),
        Gate::Inconclusive(why) => format!("inconclusive {why}"),
    };
    let holds = expected.split(' ').all(|word| said.contains(word));
    assert!(holds, "`{said}`, expected `{expected}`");
}

#[test]
fn only_a_comparison_that_is_fresh_covers_enough_and_is_of_this_version_and_build_passes() {
    check(|_| {}, "pass");
    check(|it| it.verdict.verdict = Verdict::PassDeclared, "pass");
    check(|it| it.verdict.cutover_version = 4, "pass");
    check(|it| it.verdict.cutover_version = 2, "inconclusive version");
    check(
        |it| it.verdict.build = "other".to_owned(),
        "inconclusive build",
    );
    check(|it| it.verdict.at = at(NOW - 5000), "pass");
    check(
        |it| it.verdict.at = at(NOW - 5001),
        "inconclusive evidence_age",
    );
    check(|it| it.verdict.windows = (95, 100), "pass");
    check(
        |it| it.verdict.windows = (94, 100),
        "inconclusive coverage_percent",
    );
    check(|it| it.verdict.windows = (0, 0), "inconclusive windows");
    check(|it| it.verdict.counts.equal = 0, "inconclusive no points");
    check(
        |it| it.verdict.verdict = Verdict::Inconclusive,
        "inconclusive",
    );
    check(|it| it.verdict.verdict = Verdict::Fail, "blocked failed");
    check(|it| it.verdict.new_classes = 1, "blocked classes");
    check(
        |it| it.verdict.sides = DiffSides::OldOld,
        "inconclusive no comparison",
    );
    check(
        |it| it.verdict.sides = DiffSides::NewNew,
        "inconclusive no comparison",
    );
}

#[test]
fn no_data_never_passes() {
    let (facts, rules) = (facts(NOW), rules());
    let is_unknown = |gate| matches!(gate, Gate::Inconclusive(_));
    assert!(is_unknown(comparison(&facts, &rules, &wanted(1))));
    let mut facts = facts;
    facts.new.complete_to = None;
    facts.old = OldFacts::Active(OldProgress::default());
    assert!(is_unknown(new_is_ready(&facts, &rules, at(NOW))));
    assert!(is_unknown(old_is_complete(&facts, &rules, at(NOW))));
    assert!(is_unknown(old_is_alive(&facts, &rules, at(NOW))));
}

#[test]
fn a_failure_that_is_newer_than_all_that_pass_is_a_no_and_an_older_one_is_not() {
    let failed = |ms| {
        let mut fact = verdict(1, ms);
        fact.verdict.verdict = Verdict::Fail;
        fact
    };
    let gate = |verdicts| {
        let facts = Facts {
            verdicts,
            ..facts(NOW)
        };
        comparison(&facts, &rules(), &wanted(1))
    };
    let passes = |gate| matches!(gate, Gate::Pass(_));
    assert!(passes(gate(vec![failed(NOW - 9), verdict(1, NOW - 8)])));
    assert!(matches!(
        gate(vec![verdict(1, NOW - 9), failed(NOW - 8)]),
        Gate::Blocked(_)
    ));
    // A sample that covers little says nothing against one that covers all.
    let mut sample = verdict(1, NOW - 7);
    sample.verdict.windows = (1, 100);
    assert!(passes(gate(vec![verdict(1, NOW - 9), sample])));
}

#[test]
fn a_comparison_that_a_version_rests_on_counts_although_the_timeline_is_newer() {
    let fact = verdict(2, NOW - 10);
    let carried = [evidence_of(&fact)];
    let facts = Facts {
        verdicts: vec![fact],
        ..facts(NOW)
    };
    let wanted = Wanted {
        carried: &carried,
        ..wanted(3)
    };
    assert!(matches!(
        comparison(&facts, &rules(), &wanted),
        Gate::Pass(_)
    ));
}

#[test]
fn a_comparison_counts_for_a_span_that_it_covers() {
    let mut fact = verdict(3, NOW);
    let span = |from, to| TimeSpan {
        from: at(from),
        to: at(to),
    };
    fact.verdict.span = span(100, 200);
    let facts = Facts {
        verdicts: vec![fact],
        ..facts(NOW)
    };
    let passes = |from, to| {
        let wanted = Wanted {
            span: Some(span(from, to)),
            ..wanted(3)
        };
        matches!(comparison(&facts, &rules(), &wanted), Gate::Pass(_))
    };
    assert!(passes(100, 200) && passes(150, 160));
    assert!(!passes(99, 200) && !passes(100, 201));
}

#[test]
fn who_lives_and_goes_by_something_older_is_waited_for_and_nobody_else() {
    let mut facts = facts(NOW);
    let mut fenced = node(NodeRole::Compactor, 3, NOW);
    fenced.fence = NodeFence::Fenced;
    facts.nodes = vec![
        node(NodeRole::Compactor, 3, NOW),
        node(NodeRole::Reader, 2, NOW),
        node(NodeRole::Server, 2, NOW - 51),
        node(NodeRole::OldPipeline, 2, NOW - 50),
        fenced,
    ];
    let missing = |facts: &Facts, roles: &[NodeRole]| -> Vec<NodeRole> {
        let nodes = missing_acknowledgements(facts, &rules(), (roles, 3));
        nodes.iter().map(|node| node.role).collect()
    };
    let (compactor, old) = (NodeRole::Compactor, NodeRole::OldPipeline);
    assert_eq!(
        missing(&facts, &NodeRole::ALL),
        [NodeRole::Reader, old, compactor]
    );
    assert_eq!(missing(&facts, &[old]), [old]);
    facts.old = OldFacts::Passive;
    assert_eq!(missing(&facts, &[old]), []);
}

#[test]
fn readers_go_to_the_new_pipeline_only_above_what_it_has_passed_over() {
    let mut facts = facts(NOW);
    facts.new.not_owned_to = Some(at(NOW + 50));
    let gate = |facts: &Facts, edge| new_is_ready(facts, &rules(), at(edge));
    assert!(matches!(gate(&facts, NOW + 50), Gate::Blocked(_)));
    assert!(matches!(gate(&facts, NOW + 51), Gate::Pass(_)));
    facts.new.complete_to = Some(at(NOW - 101));
    assert!(matches!(gate(&facts, NOW + 51), Gate::Blocked(_)));
    facts.new.complete_to = Some(at(NOW));
    facts.new.unaccounted = 1;
    assert!(matches!(gate(&facts, NOW + 51), Gate::Blocked(_)));
}
