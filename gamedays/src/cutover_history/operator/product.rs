//! The same by the product's own decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_config::cutover::facts::{
    Facts, NewFacts, NodeFact, NodeFence, OldFacts, OldProgress, VerdictFact,
};
use skein_config::cutover::request::{
    Confirmation, EdgeChoice, NextSeal, NextVersion, Request, Reverse,
};
use skein_config::cutover::rules::Rules;
use skein_config::cutover::transition::decide;
use skein_shared::cutover::{ComparisonName, NodeRole};
use skein_shared::format::delete_entry::{EntryHash, Statement};
use skein_shared::format::diff_verdict::{DiffCounts, DiffSides, DiffVerdict, Verdict};
use skein_shared::timeline::Pipeline;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover_history::input::{Positions, chain, offset, org_id};
use crate::cutover_history::node::Node;
use crate::cutover_history::versions::{OrgVersion, Versions};

pub use skein_config::cutover::request::Request as Asked;

/// What may be asked for; what is due comes first.
pub fn requests(org: usize) -> [Request; 8] {
    [
        Request::Advance,
        Request::Create(EdgeChoice::Soonest),
        Request::MirrorTraffic(100),
        Request::SwitchTraffic(EdgeChoice::Soonest),
        Request::Complete(Confirmation::Of(org_id(org))),
        Request::Cancel,
        Request::ReverseTraffic(Reverse::Void),
        Request::ReverseTraffic(Reverse::Forward(EdgeChoice::Soonest)),
    ]
}

/// What is observed of an org.
#[derive(Debug)]
pub struct Observed<'a> {
    /// By the bucket's clock.
    pub now: i64,
    /// Every fleet.
    pub versions: &'a Versions,
    /// The compactors and the nodes of the old pipeline.
    pub nodes: [&'a [Node]; 2],
    /// Up to when the old pipeline and the new one hold everything.
    pub complete_to: [i64; 2],
    /// What the old pipeline has committed.
    pub old_positions: Positions,
    /// The latest point that the new pipeline and the old one have left out.
    pub filtered_to: [i64; 2],
}

/// The org's next version; `None` when the request is refused. Comparisons pass: what would differ is found by reading.
pub fn next(
    org: usize,
    request: &Request,
    (rules, observed): (&Rules, &Observed<'_>),
) -> Option<OrgVersion> {
    let version = observed.versions.of(org);
    let facts = observed.facts(org);
    let next = decide(version.head.as_ref(), request, &facts, rules).ok()?;
    Some(versioned(version, org, (&next, observed.now)))
}

fn versioned(version: &OrgVersion, org: usize, (next, now): (&NextVersion, i64)) -> OrgVersion {
    let stated = Statement {
        actor: "operator".to_owned(),
        reason: "a reason".to_owned(),
        ticket: None,
    };
    let before = version.head.as_ref();
    let before = before.map(|head| (head, EntryHash::default()));
    let head = next.numbered(org_id(org), before, (stated, TimestampMs(now)));
    let seal = match &next.seal {
        NextSeal::Kept(None) => None,
        NextSeal::Kept(Some(_)) => version.seal.clone(),
        NextSeal::Taken(vector) => Some(Arc::new(vector.clone())),
    };
    OrgVersion {
        state: next.state,
        timeline: next.timeline.clone(),
        edges: next.edges,
        seal,
        head: Some(head),
        ..version.clone()
    }
}

impl Observed<'_> {
    fn facts(&self, org: usize) -> Facts {
        let version = self.versions.of(org);
        let time = |ms: i64| Some(TimestampMs(ms));
        let passed_over = |ms: i64| (ms > i64::MIN).then_some(TimestampMs(ms));
        let roles = [NodeRole::Compactor, NodeRole::OldPipeline];
        let nodes = roles
            .into_iter()
            .zip(self.nodes)
            .flat_map(|(role, nodes)| nodes.iter().map(move |node| self.node(org, role, node)));
        let positions = self.old_positions.iter().enumerate();
        let positions = positions.map(|(number, end)| (chain(number).clone(), offset(*end)));
        Facts {
            now: TimestampMs(self.now),
            build: String::new(),
            unenrolled: Pipeline::Old,
            same_timeline_since: version.since,
            nodes: nodes.collect(),
            verdicts: vec![self.verdict(org, version.number)],
            new: NewFacts {
                complete_to: time(self.complete_to[1]),
                not_owned_to: passed_over(self.filtered_to[0]),
                unaccounted: 0,
            },
            old: OldFacts::Active(OldProgress {
                complete_to: time(self.complete_to[0]),
                positions: Some(positions.collect::<BTreeMap<_, _>>()),
                not_written_to: passed_over(self.filtered_to[1]),
            }),
            seal: version.seal.as_deref().cloned(),
            old_place: String::new(),
            kept_from: None,
        }
    }

    fn node(&self, org: usize, role: NodeRole, node: &Node) -> NodeFact {
        let cutover = self.versions.fleet(node.fleet).cutover(org_id(org));
        NodeFact {
            role,
            name: role.name().to_owned(),
            version: cutover.map_or(0, |cutover| cutover.version),
            at: TimestampMs(node.acknowledged_at),
            fence: NodeFence::Open,
        }
    }

    fn verdict(&self, org: usize, version: u64) -> VerdictFact {
        VerdictFact {
            verdict: DiffVerdict {
                org: org_id(org),
                comparison: ComparisonName::new("c").expect("a name"),
                sides: DiffSides::OldNew,
                span: TimeSpan::ALL,
                verdict: Verdict::Pass,
                reasons: vec![],
                cutover_version: version,
                fleet: self.versions.newest(),
                build: String::new(),
                windows: (1, 1),
                counts: DiffCounts {
                    equal: 1,
                    ..DiffCounts::default()
                },
                new_classes: 0,
                report_digest: 0,
                at: TimestampMs(self.now),
            },
            key: String::new(),
            digest: 0,
        }
    }
}
