//! What there is at one time.

use skein_config::cutover::facts::{
    Facts, NewFacts, NodeFact, NodeFence, OldFacts, OldProgress, VerdictFact,
};
use skein_config::cutover::request::NextVersion;
use skein_shared::cutover::{ComparisonName, NodeRole, Standing};
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::format::delete_entry::{EntryHash, Statement};
use skein_shared::format::diff_verdict::{DiffCounts, DiffSides, DiffVerdict, Verdict};
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Pipeline, SealVector, Timeline};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::cutover_model::scope::{FORGOTTEN, Scope, WINDOW};

/// Everything.
#[derive(Debug, Clone)]
pub struct State {
    /// By the bucket's clock.
    pub now: i64,
    /// Each org with what concerns it.
    pub orgs: Vec<Org>,
    /// Requests that operators may still make.
    pub requests: u8,
    /// Faults that may still happen.
    pub faults: u8,
    /// How often the clock may still move.
    pub ticks: u8,
}

/// One org's cutover, and what is known of it.
#[derive(Debug, Clone)]
pub struct Org {
    /// Its newest version.
    pub head: Option<CutoverVersion>,
    /// The version that the newest fleet says.
    pub published: u64,
    /// The first version with the timeline of the newest.
    pub since: u64,
    /// A compactor and a node of the old pipeline.
    pub nodes: [Node; 2],
    /// The newest comparison.
    pub compared: Option<Compared>,
    /// Which pipeline does not get on.
    pub lags: Option<Pipeline>,
    /// Up to when the old pipeline and the new one hold everything.
    pub complete_to: [i64; 2],
    /// The latest point that the new pipeline has passed over.
    pub passed_over: Option<i64>,
    /// What somebody has decided, who has yet to write it.
    pub pending: Option<NextVersion>,
    /// The version that he saw.
    pub pending_after: u64,
}

/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// The version that it goes by.
    pub version: u64,
    /// When it was heard last.
    pub at: i64,
    /// Whether it reaches the bucket.
    pub reach: Reach,
}

/// Whether a node reaches the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It does.
    Connected,
    /// It does not.
    CutOff,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// What came of it.
    pub verdict: Verdict,
    /// The version that it read by.
    pub version: u64,
    /// The build that made it.
    pub build: &'static str,
    /// When.
    pub at: i64,
}

/// The build that decides.
pub const BUILD: &str = "this";

/// The org with this place.
pub fn id(place: usize) -> OrgId {
    OrgId(place as u64 + 1)
}

impl State {
    /// Nothing has happened.
    pub fn first(scope: &Scope) -> Self {
        let now = 1000;
        let node = Node {
            version: 0,
            at: now,
            reach: Reach::Connected,
        };
        let org = Org {
            head: None,
            published: 0,
            since: 0,
            nodes: [node; 2],
            compared: None,
            lags: None,
            complete_to: [now; 2],
            passed_over: None,
            pending: None,
            pending_after: 0,
        };
        Self {
            now,
            orgs: vec![org; scope.orgs],
            requests: scope.requests,
            faults: scope.faults,
            ticks: scope.ticks,
        }
    }

    /// A window passes.
    pub fn tick(&mut self) {
        self.now += WINDOW;
        for org in &mut self.orgs {
            org.live_on(self.now);
        }
    }

    /// What tells it from states that go on otherwise.
    pub fn key(&self) -> Vec<i64> {
        let budgets = [self.requests, self.faults, self.ticks];
        let mut key: Vec<i64> = budgets.into_iter().map(i64::from).collect();
        for org in &self.orgs {
            org.add_to(&mut key, self.now);
        }
        key
    }
}

impl Org {
    /// The number of its newest version.
    pub fn version(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.version)
    }

    /// Its timeline.
    pub fn timeline(&self) -> Timeline {
        let start = || Timeline::owned_by(Pipeline::Old);
        self.head
            .as_ref()
            .map_or_else(start, |head| head.timeline.clone())
    }

    /// Makes a next version the newest.
    pub fn append(&mut self, place: usize, next: &NextVersion, now: i64) {
        let stated = Statement {
            actor: "operator".to_owned(),
            reason: "a reason".to_owned(),
            ticket: None,
        };
        let before = self.head.as_ref().map(|head| (head, EntryHash::default()));
        let version = next.numbered(id(place), before, (stated, TimestampMs(now)));
        if version.timeline != self.timeline() {
            self.since = version.version;
        }
        self.head = Some(version);
    }

    /// A window has passed.
    fn live_on(&mut self, now: i64) {
        for node in &mut self.nodes {
            if node.reach == Reach::Connected {
                node.at = now;
            }
        }
        for (pipeline, complete_to) in [Pipeline::Old, Pipeline::New]
            .into_iter()
            .zip(&mut self.complete_to)
        {
            if self.lags != Some(pipeline) {
                *complete_to = now;
            }
        }
    }

    /// What is known when something is decided.
    pub fn facts(&self, now: i64) -> Facts {
        let time = |ms| Some(TimestampMs(ms));
        let roles = [NodeRole::Compactor, NodeRole::OldPipeline];
        let nodes = roles
            .into_iter()
            .zip(self.nodes)
            .map(|(role, node)| NodeFact {
                role,
                name: role.name().to_owned(),
                version: node.version,
                at: TimestampMs(node.at),
                fence: NodeFence::Open,
            });
        let seal = self.head.as_ref().and_then(|head| head.seal);
        Facts {
            now: TimestampMs(now),
            build: BUILD.to_owned(),
            unenrolled: Pipeline::Old,
            same_timeline_since: self.since,
            nodes: nodes.collect(),
            verdicts: self.compared.iter().map(Compared::fact).collect(),
            new: NewFacts {
                complete_to: time(self.complete_to[1]),
                not_owned_to: self.passed_over.map(TimestampMs),
                unaccounted: 0,
            },
            old: OldFacts::Active(OldProgress {
                complete_to: time(self.complete_to[0]),
                positions: Some(std::collections::BTreeMap::new()),
                not_written_to: None,
            }),
            seal: seal.map(|_| SealVector::default()),
            old_place: String::new(),
            kept_from: None,
        }
    }

    fn add_to(&self, key: &mut Vec<i64>, now: i64) {
        let back = |ms: i64| ms.saturating_sub(now).max(-FORGOTTEN);
        let number = |version: u64| (self.version().cast_signed() - version.cast_signed()).min(30);
        if let Some(head) = &self.head {
            add_version(head, key, &back);
        }
        key.extend([-1000, number(self.published), number(self.since)]);
        for node in &self.nodes {
            let knows =
                i64::from(node.version >= self.since) + i64::from(node.version >= self.version());
            key.extend([knows, back(node.at), node.reach as i64]);
        }
        if let Some(compared) = &self.compared {
            let counts = compared.version >= self.since;
            let carried = self.head.iter().flat_map(|head| &head.evidence);
            let is_carried = carried.filter(|it| it.key == compared.key()).count();
            let is_this = i64::from(compared.build == BUILD);
            let is_carried = i64::from(is_carried > 0);
            let verdict = compared.verdict as i64;
            key.extend([
                verdict,
                i64::from(counts),
                is_this,
                is_carried,
                back(compared.at),
            ]);
        }
        key.push(-1001);
        key.push(self.lags.map_or(-1, |pipeline| pipeline as i64));
        key.extend(self.complete_to.map(back));
        key.extend(self.passed_over.map(back));
        key.push(-1002);
        if let Some(pending) = &self.pending {
            key.push(number(self.pending_after));
            let head = pending.numbered(id(0), None, (statement(), TimestampMs(0)));
            add_version(&head, key, &back);
        }
    }
}

fn statement() -> Statement {
    Statement {
        actor: String::new(),
        reason: String::new(),
        ticket: None,
    }
}

fn add_version(head: &CutoverVersion, key: &mut Vec<i64>, back: &impl Fn(i64) -> i64) {
    let standing = match head.standing {
        Standing::Going => 0,
        Standing::Paused => 1,
        Standing::Blocked(_) => 2,
        Standing::Inconclusive(_) => 3,
        Standing::Faulted(_) => 4,
    };
    let sealed = i64::from(head.seal.is_some());
    key.extend([
        head.state as i64,
        standing,
        sealed,
        head.mirror_percent.into(),
    ]);
    for phase in head.timeline.phases() {
        let both = i64::from(phase.writers.contain(phase.visible.other()));
        key.extend([back(phase.from.0), both, phase.visible as i64]);
    }
    let edges = head.edges;
    let edges = [
        edges.new_writes_from,
        edges.switch_at,
        edges.old_ends_at,
        edges.reverse_at,
    ];
    key.extend(edges.map(|edge| edge.map_or(i64::MAX, |edge| back(edge.0))));
    for evidence in &head.evidence {
        let kind = evidence.kind.bytes().next().map_or(0, i64::from);
        key.extend([kind, back(evidence.at.0)]);
    }
    key.push(back(head.change.at.0));
}

impl Compared {
    /// Where its verdict is kept.
    pub fn key(&self) -> String {
        format!("diffs/{}/{}", self.at, self.version)
    }

    fn fact(&self) -> VerdictFact {
        VerdictFact {
            verdict: DiffVerdict {
                org: id(0),
                comparison: ComparisonName::new("c").expect("a name"),
                sides: DiffSides::OldNew,
                span: TimeSpan::ALL,
                verdict: self.verdict,
                reasons: vec![],
                cutover_version: self.version,
                fleet: self.version,
                build: self.build.to_owned(),
                windows: (100, 100),
                counts: DiffCounts {
                    equal: 10,
                    ..DiffCounts::default()
                },
                new_classes: 0,
                report_digest: 1,
                at: TimestampMs(self.at),
            },
            key: self.key(),
            digest: 1,
        }
    }
}
