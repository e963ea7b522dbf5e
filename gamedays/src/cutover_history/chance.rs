//! What happens next, drawn from the seed.

mod records;

use fastrand::Rng;
use skein_shared::cutover::CutoverState;
use skein_shared::timeline::{Pipeline, Timeline};

use crate::cutover_history::mutant::Mutant;
use crate::cutover_history::new_side::Body;
use crate::cutover_history::node::ms;
use crate::cutover_history::operator::{self, product};
use crate::cutover_history::plan::{CHAINS, METRICS, Plan, RecordClock, Rulebook};
use crate::cutover_history::promises::{self, Before, Rest};
use crate::cutover_history::world::{Outcome, World};
use crate::promise_check::Verdict;
use crate::trace::Trace;

/// A history with its dice.
#[derive(Debug)]
pub struct History {
    /// The world.
    pub world: World,
    /// What happened.
    pub trace: Trace,
    rng: Rng,
    /// For each series when it is born and when it dies.
    lives: Vec<(i64, i64)>,
    next_value: u32,
}

/// Where the clock stands first.
const START: i64 = 1_000;

/// How long points come at most.
const LENGTH: i64 = 1_500;

impl History {
    /// The one of a seed.
    pub fn new(seed: u64, mutant: Option<Mutant>, (rulebook, trace): (Rulebook, Trace)) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(&mut rng, mutant, rulebook);
        let skew = ms(plan.settings.clock_skew.0);
        let skews: Vec<i64> = (0..plan.nodes * 2).map(|_| rng.i64(-skew..=skew)).collect();
        let lives = (0..plan.series()).map(|_| life(&mut rng)).collect();
        Self {
            world: World::new(plan, START, |node| skews[node]),
            trace,
            rng,
            lives,
            next_value: 0,
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn run(&mut self) -> Verdict {
        for _ in 0..self.world.plan.steps {
            let before = Before::of(&self.world);
            self.world.counts.steps += 1;
            if self.step() == Outcome::Refused {
                continue;
            }
            before.check(&self.world)?;
            promises::check(&mut self.world, Rest::UnderWay)?;
        }
        self.world.now += ms(self.world.plan.settings.liveness.0);
        self.world.rest();
        promises::check(&mut self.world, Rest::AtRest)?;
        self.world.plan_merge(0, usize::MAX, self.world.plan_body());
        self.world.commit(0);
        promises::check(&mut self.world, Rest::AtRest)
    }

    /// One step; `Refused` when there was nothing to do, or nothing that a reader could notice.
    fn step(&mut self) -> Outcome {
        let chosen = self.rng.u32(0..100);
        if self.rng.u32(0..1000) < self.world.plan.cut_off_per_mille {
            return self.cut_off();
        }
        match chosen {
            0..18 => self.produce(),
            18..32 => self.advance(),
            32..42 => self.poll(),
            42..51 => self.plan_records(),
            51..54 => self.plan_merge(),
            54..64 => self.commit(),
            64..73 => self.flush(),
            73..75 => self.lose_partition(),
            75..77 => self.write_held(),
            77..80 => self.pin(),
            80..81 => self.change_share(),
            _ => self.request(),
        }
    }

    fn note(&mut self, what: &'static str, numbers: &[usize]) {
        let numbers: Vec<u64> = numbers.iter().map(|number| *number as u64).collect();
        let now = self.world.now.unsigned_abs();
        self.trace.note(now, what, &numbers);
    }

    fn advance(&mut self) -> Outcome {
        let by = self.rng.choice([1, 5, 15, 30, 60, 110]).unwrap_or(1);
        self.world.now += by;
        self.note("the clock stands at", &[]);
        Outcome::Refused
    }

    fn cut_off(&mut self) -> Outcome {
        let until = self.world.now + self.rng.i64(20..250);
        let nodes = self.world.plan.nodes;
        let node = self.rng.usize(0..nodes * 2);
        let (compactors, old) = (&mut self.world.compactors, &mut self.world.old_nodes);
        let node_at = compactors.iter_mut().chain(old).nth(node);
        node_at.expect("a node").cut_off_until = until;
        self.world.counts.cut_offs += 1;
        self.note("is cut off: node", &[node]);
        Outcome::Refused
    }

    fn poll(&mut self) -> Outcome {
        if self.rng.u8(0..4) > 0 {
            self.world.poll_all();
            self.note("polls: all", &[]);
            return Outcome::Made;
        }
        let number = self.rng.usize(0..self.world.plan.nodes * 2);
        let World {
            compactors,
            old_nodes,
            versions,
            now,
            ..
        } = &mut self.world;
        let node = compactors.iter_mut().chain(old_nodes).nth(number);
        node.expect("a node").poll(*now, versions);
        self.note("polls: node", &[number]);
        Outcome::Made
    }

    fn produce(&mut self) -> Outcome {
        let series = self.rng.usize(0..self.world.plan.series());
        let record = if self.rng.u8(0..10) == 0 {
            self.repeated(series)
        } else {
            Some(self.fresh(series))
        };
        let Some(record) = record else {
            return Outcome::Refused;
        };
        self.note("comes: a record of series", &[series]);
        self.trace
            .explain(|| format!("{:?} {:?}", record.timestamp, record.points));
        self.world.produce(record);
        Outcome::Refused
    }

    fn plan_records(&mut self) -> Outcome {
        let compactor = self.rng.usize(0..self.world.plan.nodes);
        let (from, ends) = (self.world.new.positions, self.world.input.ends());
        let to: [usize; CHAINS] = std::array::from_fn(|chain| {
            if self.rng.bool() {
                ends[chain]
            } else {
                self.rng.usize(from[chain]..=ends[chain])
            }
        });
        self.world.plan_records(compactor, to);
        self.note("plans: compactor", &[compactor, to[0], to[1]]);
        Outcome::Refused
    }

    fn plan_merge(&mut self) -> Outcome {
        let live = self.world.new.live.len();
        if live == 0 {
            return Outcome::Refused;
        }
        let compactor = self.rng.usize(0..self.world.plan.nodes);
        let count = self.rng.usize(1..=live);
        let body = self.world.plan_body();
        self.world.plan_merge(compactor, count, body);
        self.note("plans a merge: compactor", &[compactor, count]);
        Outcome::Refused
    }

    fn commit(&mut self) -> Outcome {
        let jobs = self.world.jobs.len();
        if jobs == 0 {
            return Outcome::Refused;
        }
        // Now and then one that was planned long ago, by somebody whom nobody waits for any more.
        let job = if self.rng.u8(0..4) > 0 {
            jobs - 1
        } else {
            self.rng.usize(0..jobs)
        };
        self.world.commit(job);
        self.note("commits job", &[job]);
        Outcome::Made
    }

    fn flush(&mut self) -> Outcome {
        let chain = self.rng.usize(0..CHAINS);
        let (from, end) = (
            self.world.old.positions[chain],
            self.world.input.ends()[chain],
        );
        let to = if self.rng.bool() {
            end
        } else {
            self.rng.usize(from..=end)
        };
        self.world.flush(chain, to);
        self.note("writes a file of partition", &[chain, to]);
        Outcome::Made
    }

    fn lose_partition(&mut self) -> Outcome {
        let chain = self.rng.usize(0..CHAINS);
        let (from, end) = (
            self.world.old.positions[chain],
            self.world.input.ends()[chain],
        );
        let holds = self.rng.usize(from..=end);
        let to = self.rng.usize(0..self.world.plan.nodes);
        self.world.old.reassign(chain, to, holds);
        self.note("changes hands: partition", &[chain, to, holds]);
        Outcome::Refused
    }

    fn write_held(&mut self) -> Outcome {
        let held = self.world.old.held.len();
        if held == 0 {
            return Outcome::Refused;
        }
        let held = self.rng.usize(0..held);
        self.world.write_held(held);
        self.note("writes what it held", &[held]);
        Outcome::Made
    }

    fn pin(&mut self) -> Outcome {
        let until = self.world.now + ms(self.world.plan.settings.token_lifetime.0);
        let fleet = self.world.versions.newest();
        self.world.pins.push((fleet, until));
        self.note("begins to scan", &[]);
        Outcome::Refused
    }

    /// The share of orgs that are to be cut over changes. Orgs that have versions of their own stay where they are.
    fn change_share(&mut self) -> Outcome {
        self.world.counts.shares += 1;
        self.note("changes the share of orgs", &[]);
        if self.world.plan.mutant != Some(Mutant::PercentMovesEdges) {
            return Outcome::Refused;
        }
        let org = self.rng.usize(0..self.world.plan.orgs);
        let pipeline = if self.rng.bool() {
            Pipeline::Old
        } else {
            Pipeline::New
        };
        if !self.world.has_versions(org * METRICS) {
            return Outcome::Refused;
        }
        self.world.move_org(org, Timeline::owned_by(pipeline));
        Outcome::Made
    }

    fn request(&mut self) -> Outcome {
        // One org goes far, or few would come to the end.
        let orgs = self.world.plan.orgs;
        let org = if self.rng.bool() {
            0
        } else {
            self.rng.usize(0..orgs)
        };
        if self.world.plan.rulebook == Rulebook::Product {
            return self.ask_product(org);
        }
        let state = self.world.versions.of(org).state;
        let Some(request) = self.rng.choice(operator::requests(state)).copied() else {
            return Outcome::Refused;
        };
        // Steps back are rarer than steps forward, or few would come to the end.
        let is_back = matches!(
            request,
            operator::Request::Cancel
                | operator::Request::Void
                | operator::Request::Reverse
                | operator::Request::Revive
        );
        if is_back && self.rng.u8(0..3) > 0 {
            return Outcome::Refused;
        }
        let outcome = self.world.request(org, request);
        self.tell(org, outcome, &request);
        outcome
    }

    fn ask_product(&mut self, org: usize) -> Outcome {
        let requests = product::requests(org);
        let asked = if self.rng.bool() {
            0
        } else {
            self.rng.usize(0..requests.len())
        };
        let outcome = self.world.ask_product(org, &requests[asked]);
        self.tell(org, outcome, &requests[asked]);
        outcome
    }

    fn tell(&mut self, org: usize, outcome: Outcome, request: &dyn std::fmt::Debug) {
        if outcome == Outcome::Made {
            self.note("makes a version of org", &[org]);
            let version = self.world.versions.of(org);
            let (state, timeline) = (version.state, &version.timeline);
            self.trace
                .explain(|| format!("{request:?}: {state} {timeline:?}"));
        }
    }
}

impl World {
    /// What a merge of everything may be.
    pub fn plan_body(&self) -> Body {
        match self.plan.record_clock {
            RecordClock::Steady => Body::Base,
            RecordClock::Jittered => Body::Overlay,
        }
    }

    /// How many orgs are in each state.
    pub fn in_state(&self, state: CutoverState) -> usize {
        let orgs = 0..self.plan.orgs;
        orgs.filter(|org| self.versions.of(*org).state == state)
            .count()
    }
}

/// Some series are there before everything and outlive it, some are born or die under way.
fn life(rng: &mut Rng) -> (i64, i64) {
    let at = START + rng.i64(0..LENGTH);
    match rng.u8(0..4) {
        0 => (at, i64::MAX),
        1 => (i64::MIN, at),
        _ => (i64::MIN, i64::MAX),
    }
}
