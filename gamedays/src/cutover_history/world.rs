//! Everything there is, and what can happen in it.

use skein_config::cutover::rules::Rules;
use skein_config::cutover::timelines::OwnershipFilter;
use skein_shared::cutover::CutoverState;
use skein_shared::timeline::Timeline;

use crate::cutover_history::counts::Counts;
use crate::cutover_history::input::{Input, Record, org_of};
use crate::cutover_history::mutant::Mutant;
use crate::cutover_history::new_side::{Body, Job, Manifest, Refusal, Writing};
use crate::cutover_history::node::{Known, Node};
use crate::cutover_history::old_side::OldSide;
use crate::cutover_history::operator::{self, Facts, Request, product};
use crate::cutover_history::plan::{CHAINS, Plan};
use crate::cutover_history::stitched::Reading;
use crate::cutover_history::versions::{OrgVersion, Versions};

/// One history under way.
#[derive(Debug)]
pub struct World {
    /// What it is made of.
    pub plan: Plan,
    /// The bucket's clock.
    pub now: i64,
    /// What Kafka holds.
    pub input: Input,
    /// The cutovers.
    pub versions: Versions,
    /// For each org the fleet that named its seal.
    pub sealed_in: Vec<Option<u64>>,
    /// The old pipeline.
    pub old: OldSide,
    /// Its nodes.
    pub old_nodes: Vec<Node>,
    /// The new pipeline.
    pub new: Manifest,
    /// Its compactors.
    pub compactors: Vec<Node>,
    /// What they have planned.
    pub jobs: Vec<Job>,
    /// Fleets that scans go by, and until when.
    pub pins: Vec<(u64, i64)>,
    /// For each series the times that readers have seen.
    pub seen: Vec<Vec<i64>>,
    /// What it has seen.
    pub counts: Counts,
}

impl World {
    /// Nothing has happened, at `now`; node `n` has the `n`-th of the skews.
    pub fn new(plan: Plan, now: i64, skews: impl Fn(usize) -> i64) -> Self {
        let nodes = |first: usize| -> Vec<Node> {
            let numbers = first..first + plan.nodes;
            numbers
                .map(|number| Node::started(now, skews(number)))
                .collect()
        };
        Self {
            now,
            input: Input::of_series(plan.series()),
            versions: Versions::none(plan.orgs),
            sealed_in: vec![None; plan.orgs],
            old: OldSide::new(plan.orgs, plan.nodes, plan.mutant),
            old_nodes: nodes(plan.nodes),
            new: Manifest::first(plan.orgs),
            compactors: nodes(0),
            jobs: Vec::new(),
            pins: Vec::new(),
            seen: vec![Vec::new(); plan.series()],
            counts: Counts::default(),
            plan,
        }
    }

    /// A record comes.
    pub fn produce(&mut self, record: Record) {
        self.counts.records += 1;
        self.input.append(record, self.now);
    }

    /// Every node looks at the newest fleet.
    pub fn poll_all(&mut self) {
        let nodes = self.compactors.iter_mut().chain(&mut self.old_nodes);
        for node in nodes {
            node.poll(self.now, &self.versions);
        }
    }

    fn known(&self, node: &Node) -> Known {
        node.known(self.now, &self.versions, &self.plan)
    }

    /// A compactor begins where the newest manifest ends: it reads up to some positions.
    pub fn plan_records(&mut self, compactor: usize, to: [usize; CHAINS]) {
        self.compactors[compactor].take(self.new.fleet);
        let known = self.known(&self.compactors[compactor]);
        let job = self
            .writing(&known)
            .records(self.plan.series(), self.new.positions, to);
        self.jobs.push(job);
    }

    /// A compactor merges the newest segments, `count` of them.
    pub fn plan_merge(&mut self, compactor: usize, count: usize, body: Body) {
        self.compactors[compactor].take(self.new.fleet);
        let known = self.known(&self.compactors[compactor]);
        let first = self.new.live.len().saturating_sub(count);
        let body = if first == 0 { body } else { Body::Overlay };
        let replaced = self.new.live[first..].to_vec();
        let job = self
            .writing(&known)
            .merged(self.plan.series(), &replaced, body);
        self.jobs.push(job);
    }

    fn writing<'a>(&'a self, known: &'a Known) -> Writing<'a> {
        Writing {
            input: &self.input,
            known,
            sealed_in: &self.sealed_in,
            mutant: self.plan.mutant,
        }
    }

    /// A planned job is committed, if it may.
    pub fn commit(&mut self, job: usize) {
        let job = self.jobs.swap_remove(job);
        match job.commit(&mut self.new) {
            Ok(()) => self.count_commit(&job),
            Err(Refusal::Moved | Refusal::Merged | Refusal::OlderFleet) => {
                self.counts.superseded += 1;
            }
        }
    }

    fn count_commit(&mut self, job: &Job) {
        self.counts.commits += 1;
        self.counts.not_owned += job.account.not_owned;
        self.counts.amended += job.account.amended;
        let segment = job.segment.as_ref();
        let is_unfiltered =
            segment.is_some_and(|segment| segment.filter == OwnershipFilter::Everything);
        self.counts.unfiltered += u64::from(is_unfiltered);
    }

    /// The node that has a partition writes a file, up to an offset.
    pub fn flush(&mut self, chain: usize, to: usize) {
        let known = self.known(&self.old_nodes[self.old.assigned[chain]]);
        self.old.flush(&self.input, &known, chain, to);
        self.counts.files += 1;
    }

    /// A node that lost a partition writes what it held, as far as another has committed it.
    pub fn write_held(&mut self, held: usize) {
        let (node, chain, span) = self.old.held.swap_remove(held);
        let committed = self.old.positions[chain];
        let span = span.start..span.end.min(committed);
        let known = self.known(&self.old_nodes[node]);
        self.old.write(&self.input, &known, chain, span);
        self.counts.zombie_files += 1;
    }

    /// What an operator sees of an org.
    pub fn facts(&self, org: usize) -> Facts<'_> {
        let nodes = || self.compactors.iter().chain(&self.old_nodes);
        let settings = &self.plan.settings;
        let newest = self.versions.newest();
        let has =
            |fleet: &u64| nodes().all(|node| node.has_acknowledged(*fleet, self.now, settings));
        let acknowledged = (0..=newest).rev().find(has).unwrap_or(0);
        Facts {
            now: self.now,
            settings,
            acknowledged,
            manifest_fleet: self.new.fleet,
            new_positions: self.new.positions,
            old_positions: self.old.positions,
            new_filtered_to: self.new.filtered_to[org],
            old_filtered_to: self.old.filtered_to[org],
            mutant: self.plan.mutant,
        }
    }

    /// An operator asks for a step; answers whether it was made.
    pub fn request(&mut self, org: usize, request: Request) -> Outcome {
        let next = operator::next(self.versions.of(org), request, &self.facts(org));
        let Some(next) = next else {
            return Outcome::Refused;
        };
        match request {
            Request::Postpone => self.counts.postponed += 1,
            Request::Void => self.counts.voided += 1,
            Request::Create
            | Request::Settle
            | Request::Schedule
            | Request::Switch
            | Request::Contract
            | Request::Seal
            | Request::Reverse
            | Request::Revive
            | Request::ShowOld
            | Request::Cancel => {}
        }
        let everybody = self.plan.mutant == Some(Mutant::ChangesEveryOrg);
        let timeline = next.timeline.clone();
        self.append(org, next);
        if everybody {
            self.move_org((org + 1) % self.plan.orgs, timeline);
        }
        Outcome::Made
    }

    /// The same by the product's own decision.
    pub fn ask_product(&mut self, org: usize, request: &product::Asked) -> Outcome {
        let observed = product::Observed {
            now: self.now,
            versions: &self.versions,
            nodes: [self.compactors.as_slice(), self.old_nodes.as_slice()],
            complete_to: [self.old.positions, self.new.positions]
                .map(|positions| self.input.complete_to(positions, self.now)),
            old_positions: self.old.positions,
            filtered_to: [self.new.filtered_to[org], self.old.filtered_to[org]],
        };
        let rules = Rules::of(&self.plan.settings);
        let Some(next) = product::next(org, request, (&rules, &observed)) else {
            return Outcome::Refused;
        };
        self.append(org, next);
        Outcome::Made
    }

    /// An org gets another timeline, whatever it has.
    pub fn move_org(&mut self, org: usize, timeline: Timeline) {
        let next = OrgVersion {
            timeline,
            ..self.versions.of(org).clone()
        };
        self.append(org, next);
    }

    fn append(&mut self, org: usize, next: OrgVersion) {
        self.counts.versions += 1;
        if self.versions.of(org).state != next.state {
            self.count_state(next.state);
        }
        self.versions.append(org, next);
        self.sealed_in[org] = self.versions.of(org).sealed_in;
    }

    fn count_state(&mut self, state: CutoverState) {
        let counts = &mut self.counts;
        match state {
            CutoverState::Off => counts.cancelled += 1,
            CutoverState::Starting => counts.created += 1,
            CutoverState::Switched => counts.switched += 1,
            CutoverState::Contracting => counts.contracted += 1,
            CutoverState::Sealed => counts.sealed += 1,
            CutoverState::Reversing => counts.reversing += 1,
            CutoverState::Reversed => counts.reversed += 1,
            CutoverState::Shadow
            | CutoverState::Canary
            | CutoverState::Scheduled
            | CutoverState::Armed
            | CutoverState::Done => {}
        }
    }

    /// How a reader with a fleet reads.
    pub fn reading(&self, fleet: u64) -> Reading<'_> {
        Reading {
            old: &self.old,
            new: &self.new,
            timelines: self.versions.fleet(fleet),
            sealed_in: &self.sealed_in,
            mutant: self.plan.mutant,
        }
    }

    /// Faults are over: every node knows everything, and both pipelines read to the ends.
    pub fn rest(&mut self) {
        self.jobs.clear();
        for node in self.compactors.iter_mut().chain(&mut self.old_nodes) {
            node.cut_off_until = self.now;
        }
        self.poll_all();
        let ends = self.input.ends();
        for (chain, end) in ends.into_iter().enumerate() {
            self.flush(chain, end);
        }
        self.plan_records(0, ends);
        self.commit(0);
    }

    /// Whether any org is what the plan calls late: older than a lead.
    pub fn is_late(&self, at: i64) -> bool {
        at + crate::cutover_history::node::ms(self.plan.settings.lead().0) < self.now
    }

    /// The org of a series has versions.
    pub fn has_versions(&self, series: usize) -> bool {
        self.versions.of(org_of(series)).number > 0
    }
}

/// Whether a step was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Made,
    /// It was not.
    Refused,
}
