//! Timelines and rules that tests of several modules use.

use std::collections::BTreeMap;

use skein_shared::cutover::{ComparisonName, NodeRole};
use skein_shared::format::diff_verdict::{DiffCounts, DiffSides, DiffVerdict, Verdict};
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover::facts::{
    Facts, NewFacts, NodeFact, NodeFence, OldFacts, OldProgress, VerdictFact,
};
use crate::cutover::rules::Rules;

/// A grid of 10 ms and a lead of 100 ms.
pub(crate) fn rules() -> Rules {
    Rules {
        grid: Millis(10),
        lead: Millis(100),
        hold: Millis(1000),
        token_lifetime: Millis(300),
        late_horizon: Millis(200),
        liveness: Millis(50),
        evidence_age: Millis(5000),
        coverage_percent: 95,
    }
}

pub(crate) fn at(ms: i64) -> TimestampMs {
    TimestampMs(ms)
}

/// `o 500:Bo 900:Bn`: `o` or `n` alone is one pipeline that writes and is seen; `B` is both, and who is seen.
pub(crate) fn timeline(text: &str) -> Timeline {
    let phase = |word: &str| {
        let (from, says) = word
            .split_once(':')
            .map_or((TimeSpan::ALL.from, word), |(from, says)| {
                (TimestampMs(from.parse().unwrap()), says)
            });
        let side = |name| {
            if name == "o" {
                Pipeline::Old
            } else {
                Pipeline::New
            }
        };
        let (writers, visible) = match says.strip_prefix('B') {
            Some(name) => (Writers::Both, side(name)),
            None => (Writers::Only(side(says)), side(says)),
        };
        Phase {
            from,
            writers,
            visible,
        }
    };
    Timeline::new(text.split(' ').map(phase)).unwrap()
}

/// Facts at `now` of an org whose pipelines have all that there is, with nobody to wait for and nothing compared.
pub(crate) fn facts(now: i64) -> Facts {
    let ahead = Some(TimestampMs(now));
    Facts {
        now: TimestampMs(now),
        build: "this".to_owned(),
        unenrolled: Pipeline::Old,
        same_timeline_since: 1,
        nodes: vec![],
        verdicts: vec![],
        new: NewFacts {
            complete_to: ahead,
            not_owned_to: None,
            unaccounted: 0,
        },
        old: OldFacts::Active(OldProgress {
            complete_to: ahead,
            positions: Some(BTreeMap::new()),
            not_written_to: None,
        }),
        seal: None,
        old_place: "here".to_owned(),
        kept_from: None,
    }
}

/// A node that goes by `version` and says so at `now`.
pub(crate) fn node(role: NodeRole, version: u64, now: i64) -> NodeFact {
    NodeFact {
        role,
        name: format!("{}-1", role.name()),
        version,
        at: TimestampMs(now),
        fence: NodeFence::Open,
    }
}

/// A comparison of `version` at `now` that passes.
pub(crate) fn verdict(version: u64, now: i64) -> VerdictFact {
    let name = format!("c{now}");
    VerdictFact {
        verdict: DiffVerdict {
            org: OrgId(7),
            comparison: ComparisonName::new(&name).unwrap(),
            sides: DiffSides::OldNew,
            span: TimeSpan::ALL,
            verdict: Verdict::Pass,
            reasons: vec![],
            cutover_version: version,
            fleet: version,
            build: "this".to_owned(),
            windows: (100, 100),
            counts: DiffCounts {
                equal: 10,
                ..DiffCounts::default()
            },
            new_classes: 0,
            report_digest: 1,
            at: TimestampMs(now),
        },
        key: format!("diffs/7/{name}/verdict"),
        digest: 5,
    }
}
