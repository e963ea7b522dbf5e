//! Every kind of point at every kind of edge: one case of a table, carried out from the first version to the last read.

use skein_config::cutover::settings::CutoverSettings;
use skein_shared::cutover::Edges;
use skein_shared::promise::Promise;
use skein_shared::rollup::{Bucket, Rollup};
use skein_shared::timeline::Pipeline;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use crate::cutover_history::input::{Record, org_id, org_of};
use crate::cutover_history::node::ms;
use crate::cutover_history::operator::Request;
use crate::cutover_history::oracle::{self, Counts};
use crate::cutover_history::plan::{Plan, RecordClock, Rulebook, settings};
use crate::cutover_history::promises::{self, Rest};
use crate::cutover_history::world::{Outcome, World};
use crate::promise_check::{Verdict, broken};

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Where the point lies, as milliseconds from the edge.
    pub beside: i64,
    /// How it comes.
    pub arrival: Arrival,
    /// What its series does at the edge.
    pub life: Life,
    /// What is read.
    pub resolution: Resolution,
    /// What the edge is.
    pub way: Way,
    /// Which buckets the new pipeline's rollups are asked for.
    pub serving: Serving,
}

/// How a point comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// When the clock stands there.
    OnTime,
    /// Long after.
    Late,
    /// On time, and long after with another value.
    Duplicate,
    /// On time, and its record long after once more.
    Replayed,
}

/// What a series does at an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// The point is its first.
    Born,
    /// The point is its last.
    Dead,
    /// It goes on.
    Alive,
}

/// What happens at an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Readers go to the new pipeline.
    Switch,
    /// They have, and go back, for all that came since.
    Void,
    /// They have, and go back from another edge on.
    Reverse,
    /// They have, and the old pipeline ends at another edge; it is sealed.
    Contract,
}

/// Which buckets are taken from rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// Those over which the timeline says one thing.
    Whole,
    /// Those that end where the new pipeline is visible: a known mistake.
    ByEnd,
}

/// Every case.
pub fn cases() -> impl Iterator<Item = Case> {
    let arrivals = [
        Arrival::OnTime,
        Arrival::Late,
        Arrival::Duplicate,
        Arrival::Replayed,
    ];
    let ways = [Way::Switch, Way::Void, Way::Reverse, Way::Contract];
    let lives = [Life::Born, Life::Dead, Life::Alive];
    let resolutions = [Resolution::Raw, Resolution::FiveMinutes];
    let mut all = Vec::new();
    for beside in [-1, 0, 1] {
        for arrival in arrivals {
            for (life, way) in lives
                .into_iter()
                .flat_map(|life| ways.map(|way| (life, way)))
            {
                all.extend(resolutions.map(|resolution| Case {
                    beside,
                    arrival,
                    life,
                    resolution,
                    way,
                    serving: Serving::Whole,
                }));
            }
        }
    }
    all.into_iter()
}

/// A case under way.
struct Stage {
    case: Case,
    world: World,
    next_value: u32,
    /// The edge that the point lies beside, once it is known.
    edge: Option<i64>,
}

/// The series that is looked at; the others of both orgs go on all the time.
const SERIES: usize = 0;

/// Carries a case out.
///
/// # Errors
/// The promise that it breaks.
pub fn run(case: Case) -> Verdict {
    let plan = Plan {
        orgs: 2,
        nodes: 2,
        steps: 0,
        record_clock: RecordClock::Steady,
        future_per_mille: 0,
        cut_off_per_mille: 0,
        settings: settings(1000),
        mutant: None,
        rulebook: Rulebook::Model,
    };
    // A bucket of 5 minutes begins just before the first edge.
    let world = World::new(plan, 1_200_000, |_| 0);
    let mut stage = Stage {
        case,
        world,
        next_value: 0,
        edge: None,
    };
    stage.make(Request::Create)?;
    stage.make(Request::Settle)?;
    stage.make(Request::Schedule)?;
    let switch_at = stage.version_edge(|edges| edges.switch_at);
    match case.way {
        Way::Switch | Way::Void => stage.cross(switch_at)?,
        Way::Reverse | Way::Contract => stage.until(switch_at)?,
    }
    stage.make(Request::Switch)?;
    match case.way {
        Way::Switch => {}
        Way::Void => stage.make(Request::Void)?,
        Way::Reverse => {
            stage.make(Request::Reverse)?;
            let edge = stage.version_edge(|edges| edges.reverse_at);
            stage.cross(edge)?;
        }
        Way::Contract => {
            stage.make(Request::Contract)?;
            let edge = stage.version_edge(|edges| edges.old_ends_at);
            stage.cross(edge)?;
            stage.make(Request::Seal)?;
        }
    }
    stage.come_late()
}

impl Stage {
    fn settings_ms(&self, pick: impl Fn(&CutoverSettings) -> u64) -> i64 {
        ms(pick(&self.world.plan.settings))
    }

    fn version_edge(&self, pick: impl Fn(&Edges) -> Option<TimestampMs>) -> i64 {
        let edge = pick(&self.world.versions.of(0).edges);
        edge.expect("the request has set it").0
    }

    /// Makes a request as soon as it is granted.
    fn make(&mut self, request: Request) -> Verdict {
        for _ in 0..200 {
            if self.world.request(0, request) == Outcome::Made {
                return self.look();
            }
            self.tick()?;
        }
        let state = self.world.versions.of(0).state;
        broken(
            Promise::Liveness,
            format!("{request:?} is never granted in {state}"),
        )
    }

    /// One poll later; every series that lives has got a point.
    fn tick(&mut self) -> Verdict {
        self.world.now += self.settings_ms(|settings| settings.poll.0);
        for series in 0..self.world.plan.series() {
            if series != SERIES || self.lives() {
                let at = self.world.now - 3;
                self.come(series, at);
            }
        }
        self.look()
    }

    /// Whether the series has points beside the one that is looked at.
    fn lives(&self) -> bool {
        match (self.case.life, self.edge) {
            (Life::Alive, _) | (Life::Dead, None) => true,
            (Life::Born, Some(edge)) => self.world.now > edge + 10,
            (Life::Born, None) | (Life::Dead, Some(_)) => false,
        }
    }

    fn come(&mut self, series: usize, at: i64) {
        self.next_value += 1;
        let record = Record {
            series,
            timestamp: self.world.now,
            points: vec![(at, f64::from(self.next_value))],
        };
        self.world.produce(record);
    }

    fn until(&mut self, at: i64) -> Verdict {
        while self.world.now < at {
            self.tick()?;
        }
        Ok(())
    }

    /// Goes over an edge; the point comes there, if it is on time.
    fn cross(&mut self, edge: i64) -> Verdict {
        let poll = self.settings_ms(|settings| settings.poll.0);
        self.until(edge - poll)?;
        self.edge = Some(edge);
        self.world.now = edge + self.case.beside;
        match self.case.arrival {
            Arrival::OnTime | Arrival::Duplicate | Arrival::Replayed => {
                self.come(SERIES, self.world.now);
            }
            Arrival::Late => {}
        }
        self.look()?;
        self.until(edge + 3 * poll)
    }

    /// What comes long after the edge.
    fn come_late(&mut self) -> Verdict {
        let lead = self.settings_ms(|settings| settings.lead().0);
        let edge = self.edge.expect("every way crosses an edge");
        let at = edge + self.case.beside;
        self.until(self.world.now.max(edge) + 3 * lead)?;
        match self.case.arrival {
            Arrival::OnTime => {}
            Arrival::Late | Arrival::Duplicate => self.come(SERIES, at),
            Arrival::Replayed => {
                let input = &self.world.input;
                let holds = |place: &&_| input.record(**place).points[0].0 == at;
                let place = input.places(SERIES).iter().find(holds);
                let mut record = input.record(*place.expect("it came on time")).clone();
                record.timestamp = self.world.now;
                self.world.produce(record);
            }
        }
        self.look()?;
        self.until(self.world.now + lead)
    }

    /// Both pipelines read everything; then every series is read.
    fn look(&mut self) -> Verdict {
        self.world.rest();
        promises::check(&mut self.world, Rest::AtRest)?;
        match self.case.resolution.bucket_width() {
            None => Ok(()),
            Some(_) => (0..self.world.plan.series()).try_for_each(|series| self.look_at(series)),
        }
    }

    fn look_at(&self, series: usize) -> Verdict {
        let everything = |_, _| Counts::Beyond(0);
        let writes = oracle::points(&self.world.input, series, everything);
        let expected: Vec<(i64, f64)> = writes.iter().map(|it| (it.at, it.value)).collect();
        let (served, expected) = (self.buckets(series), rolled(&expected));
        if served == expected {
            return Ok(());
        }
        let words = format!("series {series}: buckets {served:?} instead of {expected:?}");
        broken(Promise::StitchedEqualsOne, words)
    }

    /// From the new pipeline's rollups where the timeline says one thing of a whole bucket, else of points.
    fn buckets(&self, series: usize) -> Vec<Bucket> {
        let newest = self.world.versions.newest();
        let timeline = self.world.versions.fleet(newest).of(org_id(org_of(series)));
        let reading = self.world.reading(newest);
        let (stitched, stored) = (reading.points(series), reading.stored(series));
        let all = rolled(&stitched);
        let parts = all.iter().map(|bucket| {
            let from = TimestampMs(bucket.start_ms);
            let span = TimeSpan {
                from,
                to: TimestampMs(from.0 + 300_000),
            };
            let one = match self.case.serving {
                Serving::Whole => timeline.phase_over(span),
                Serving::ByEnd => Some(timeline.phase_at(TimestampMs(span.to.0 - 1))),
            };
            let is_served = one.is_some_and(|phase| phase.visible == Pipeline::New);
            let points = if is_served { &stored } else { &stitched };
            let inside = points
                .iter()
                .filter(|(at, _)| span.contains(TimestampMs(*at)));
            rolled(&inside.copied().collect::<Vec<_>>())
        });
        parts.flatten().collect()
    }
}

fn rolled(points: &[(i64, f64)]) -> Vec<Bucket> {
    let mut rollup = Rollup::new(Resolution::FiveMinutes);
    let times: Vec<i64> = points.iter().map(|(at, _)| *at).collect();
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    rollup.roll(&times, &values);
    rollup.buckets().collect()
}
