use skein_shared::window::Resolution;

use super::*;
use crate::diff::definition::Sample;
use crate::diff::discrepancy::{Class, Difference, Near};
use crate::diff::journal::ClassCount;

const NOW: TimestampMs = TimestampMs(1_000);

fn definition() -> Definition {
    Definition {
        comparison: "c".to_owned(),
        sides: "old-new".to_owned(),
        orgs: vec![7],
        from_ms: 0,
        to_ms: 1,
        resolution: Resolution::Raw,
        sample: Sample::ALL,
        rechecks: 0,
        backoff_ms: 0,
        declared: Vec::new(),
        wanted_percent: 95,
    }
}

fn window(number: i64, equal: u64) -> WindowDone {
    WindowDone {
        org: 7,
        window: number,
        input: InputKind::Vectors,
        both_write: true,
        rows: [equal; 2],
        equal,
        ..WindowDone::default()
    }
}

fn classes(kind: Kind, count: u64) -> Vec<ClassCount> {
    let class = Class {
        kind,
        side: None,
        how: String::new(),
        metric_type: String::new(),
        shard: String::new(),
        near: Near::Nothing,
    };
    let fingerprint = class.fingerprint();
    vec![ClassCount {
        example: Difference {
            class: fingerprint.clone(),
            of: class.clone(),
            org: 7,
            metric: 1,
            series: String::new(),
            window: 0,
            at_ms: Some(5),
            left: None,
            right: None,
            detail: None,
        },
        fingerprint,
        class,
        count,
    }]
}

fn judged(windows: &[WindowDone]) -> OrgVerdict {
    judged_as(windows, Ended::Whole)
}

fn judged_as(windows: &[WindowDone], ended: Ended) -> OrgVerdict {
    let input = OrgInput {
        org: 7,
        windows: windows.iter().map(|it| it.window).collect(),
        ..OrgInput::default()
    };
    let windows: Vec<&WindowDone> = windows.iter().collect();
    let history = ClassHistory::default();
    judge((&definition(), ended), &input, &windows, (&history, NOW))
}

#[test]
fn a_pass_needs_an_end_data_known_input_and_enough_of_it() {
    let sound = [window(0, 100), window(1, 100)];
    assert_eq!(judged(&sound).verdict, Verdict::Pass);
    assert_eq!(judged(&sound).windows, (2, 2));
    assert_eq!(
        judged_as(&sound, Ended::Stopped).verdict,
        Verdict::Inconclusive
    );
    assert_eq!(judged(&[]).verdict, Verdict::Inconclusive);
    assert_eq!(judged(&[window(0, 0)]).verdict, Verdict::Inconclusive);
    let change = |change: fn(&mut WindowDone)| {
        let mut windows = sound.clone();
        change(&mut windows[1]);
        judged(&windows).verdict
    };
    assert_eq!(
        change(|it| it.input = InputKind::Declared),
        Verdict::PassDeclared
    );
    assert_eq!(change(|it| it.input = InputKind::Same), Verdict::Pass);
    assert_eq!(
        change(|it| it.input = InputKind::Unknown),
        Verdict::Inconclusive
    );
    assert_eq!(
        change(|it| it.error = Some("gone".to_owned())),
        Verdict::Inconclusive
    );
    assert_eq!(change(|it| it.set_aside = 4), Verdict::Pass);
    assert_eq!(change(|it| it.set_aside = 40), Verdict::Inconclusive);
    // A window that is empty, or one side's alone, is none to compare.
    assert_eq!(change(|it| *it = window(1, 0)), Verdict::Pass);
    assert_eq!(change(|it| it.both_write = false), Verdict::Pass);
}

#[test]
fn what_differs_fails_where_the_input_is_known_and_is_never_a_pass() {
    for kind in Kind::ALL {
        let mut differing = [window(0, 1_000_000)];
        differing[0].classes = classes(kind, 1);
        let found = judged(&differing);
        assert_eq!(found.verdict, Verdict::Fail, "{kind}");
        assert_eq!((found.counts.differences(), found.new_classes), (1, 1));
        differing[0].input = InputKind::Unknown;
        let unknown = judged(&differing).verdict;
        let expected = if kind.stands_alone() {
            Verdict::Fail
        } else {
            Verdict::Inconclusive
        };
        assert_eq!(unknown, expected, "{kind}");
    }
}

#[test]
fn the_worst_of_all_orgs_counts() {
    use Verdict::{Fail, Inconclusive, Pass, PassDeclared};
    let of = |verdicts: &[Verdict]| worst(verdicts.iter().copied());
    assert_eq!(of(&[Pass, PassDeclared]), PassDeclared);
    assert_eq!(of(&[Fail, Inconclusive, Pass]), Fail);
    assert_eq!(of(&[Pass, Inconclusive]), Inconclusive);
    assert_eq!(of(&[]), Inconclusive);
}
