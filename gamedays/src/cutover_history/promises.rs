//! What is checked after every step.

use skein_config::cutover::timelines::Timelines;
use skein_shared::promise::Promise;
use skein_shared::timeline::{Phase, Pipeline, SealVector};

use crate::cutover_history::input::{Place, chain, offset, org_id, org_of};
use crate::cutover_history::oracle::{self, Counts, Write};
use crate::cutover_history::plan::{RecordClock, Rulebook};
use crate::cutover_history::world::World;
use crate::promise_check::{Verdict, Violation, broken};

/// What has to stay as it is, or may only rise, from step to step.
#[derive(Debug, Clone)]
pub struct Before {
    manifest_fleet: u64,
    node_fleets: Vec<u64>,
    versions: Vec<u64>,
    fleet: u64,
}

/// How exact a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Both pipelines are under way: where both have an instant, one may be ahead.
    UnderWay,
    /// Both have read everything.
    AtRest,
}

impl Before {
    /// As it is now.
    pub fn of(world: &World) -> Self {
        let nodes = world.compactors.iter().chain(&world.old_nodes);
        let orgs = 0..world.plan.orgs;
        Self {
            manifest_fleet: world.new.fleet,
            node_fleets: nodes.map(|node| node.fleet).collect(),
            versions: orgs.map(|org| world.versions.of(org).number).collect(),
            fleet: world.versions.newest(),
        }
    }

    /// Versions only rise, and a step of one org changes nothing of another's (SK-14).
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn check(&self, world: &World) -> Verdict {
        let now = Self::of(world);
        let mut nodes = self.node_fleets.iter().zip(&now.node_fleets);
        let falls = |(before, after): (&u64, &u64)| after < before;
        if now.manifest_fleet < self.manifest_fleet || nodes.any(falls) {
            return broken(
                Promise::OneOwner,
                format!("a fleet went back: {self:?} -> {now:?}"),
            );
        }
        let versions = self.versions.iter().zip(&now.versions);
        let changed: Vec<usize> = versions
            .enumerate()
            .filter(|(_, (before, after))| before != after)
            .map(|(org, _)| org)
            .collect();
        for number in self.fleet..now.fleet {
            let (old, new) = (
                world.versions.fleet(number),
                world.versions.fleet(number + 1),
            );
            let differs = |org: &usize| {
                old.of(org_id(*org)) != new.of(org_id(*org))
                    || old.cutover(org_id(*org)) != new.cutover(org_id(*org))
            };
            let others: Vec<usize> = (0..world.plan.orgs).filter(differs).collect();
            if others.len() > 1 || others.iter().any(|org| !changed.contains(org)) {
                let words = format!("one step changed the orgs {others:?}");
                return broken(Promise::Isolation, words);
            }
        }
        if changed.len() > 1 {
            let words = format!("one step made versions of the orgs {changed:?}");
            return broken(Promise::Isolation, words);
        }
        Ok(())
    }
}

/// Everything that has to hold after a step.
///
/// # Errors
/// The promise that is broken.
pub fn check(world: &mut World, rest: Rest) -> Verdict {
    check_account(world)?;
    let newest = world.versions.newest();
    for series in 0..world.plan.series() {
        let points = check_series(world, series, newest, rest)?;
        check_seen(world, series, &points)?;
        world.seen[series] = points;
    }
    let now = world.now;
    world.pins.retain(|(_, until)| now <= *until);
    for pin in 0..world.pins.len() {
        let (fleet, _) = world.pins[pin];
        if fleet == newest {
            continue;
        }
        for series in 0..world.plan.series() {
            check_series(world, series, fleet, rest)?;
            world.counts.pinned_reads += 1;
        }
    }
    Ok(())
}

/// SK-11: all points that came are live, or counted where they went.
fn check_account(world: &World) -> Verdict {
    let account = world.new.account;
    let live: u64 = world.new.live.iter().map(|segment| segment.len()).sum();
    let came = world.input.points_below(world.new.positions);
    let counted = live + account.duplicates + account.not_owned;
    if account.gathered == came && counted == came {
        return Ok(());
    }
    let words = format!("{came} points came, {live} are live: {account:?}");
    broken(Promise::Conservation, words)
}

/// What was seen once stays. The product grants the pipeline that becomes visible to be behind by one lead.
fn check_seen(world: &World, series: usize, points: &[i64]) -> Verdict {
    if world.plan.rulebook == Rulebook::Product {
        return Ok(());
    }
    let is_gone = |at: &&i64| points.binary_search(at).is_err();
    match world.seen[series].iter().find(is_gone) {
        None => Ok(()),
        Some(at) => {
            let words = format!("series {series} had a point at {at}, and has it no more");
            broken(Promise::StitchedEqualsOne, words)
        }
    }
}

/// SK-12 and SK-13 of one series, as a reader with a fleet sees it; answers the times.
fn check_series(
    world: &mut World,
    series: usize,
    fleet: u64,
    rest: Rest,
) -> Result<Vec<i64>, Violation> {
    let read = world.reading(fleet).points(series);
    let expected = Expected::of(world, series, world.versions.fleet(fleet));
    let writes = expected.writes(Sources::Both);
    let say = |promise, words: String| {
        let state = world.versions.of(org_of(series)).state;
        let timeline = expected.timeline();
        let words = format!(
            "series {series} by fleet {fleet}, org {state} at {}: {words}; {timeline}",
            world.now
        );
        broken(promise, words)
    };
    let mut had = read.iter().peekable();
    for write in &writes {
        if let Some((at, _)) = had.next_if(|(at, _)| *at < write.at) {
            say(Promise::StitchedEqualsOne, format!("{at} was not written"))?;
        }
        let Some((_, value)) = had.next_if(|(at, _)| *at == write.at) else {
            let words = format!("its owner lacks {write:?}");
            return Err(say(Promise::OneOwner, words).expect_err("it says so"));
        };
        let is_same = value.to_bits() == write.value.to_bits();
        if !is_same && !expected.allows(write.at, *value, rest) {
            let words = format!("{value} instead of {write:?}");
            say(Promise::StitchedEqualsOne, words)?;
        }
    }
    if let Some((at, _)) = had.next() {
        say(Promise::StitchedEqualsOne, format!("{at} was not written"))?;
    }
    let times = read.iter().map(|(at, _)| *at).collect();
    world.counts.reads += 1;
    world.counts.points += read.len() as u64;
    Ok(times)
}

/// What one system would return, as far as it could know what both pipelines have read.
struct Expected<'a> {
    world: &'a World,
    series: usize,
    phases: &'a [Phase],
    seal: Option<&'a SealVector>,
}

/// Whose records count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sources {
    Both,
    /// Both, and no seal comes before records' timestamps.
    BothUnsealed,
    Only(Pipeline),
}

impl<'a> Expected<'a> {
    fn of(world: &'a World, series: usize, timelines: &'a Timelines) -> Self {
        let id = org_id(org_of(series));
        let cutover = timelines.cutover(id);
        Self {
            world,
            series,
            phases: timelines.of(id).phases(),
            seal: cutover.and_then(|cutover| cutover.seal.as_deref()),
        }
    }

    /// The owner by the phases alone, not by what the product says of them.
    fn phase(&self, at: i64) -> &Phase {
        let mut begun = self.phases.iter().filter(|phase| phase.from.0 <= at);
        begun.next_back().expect("the first begins with time")
    }

    fn writes(&self, sources: Sources) -> Vec<Write> {
        let counts = |at, place| self.counts(at, place, sources);
        oracle::points(&self.world.input, self.series, counts)
    }

    fn counts(&self, at: i64, place: Place, sources: Sources) -> Counts {
        let org = org_of(self.series);
        let in_old = self.world.old.has_read(org, place);
        let in_new = place.offset < self.world.new.positions[place.chain];
        let phase = self.phase(at);
        let beyond = |vector: &SealVector| {
            let end = vector.0.get(chain(place.chain));
            end.is_none_or(|end| offset(place.offset) >= *end)
        };
        let counted = |is_there: bool, seals| {
            let beyond = is_there.then_some(Counts::Beyond(seals));
            beyond.unwrap_or(Counts::No)
        };
        let (in_new, seals) = match (phase.visible, self.seal) {
            (Pipeline::New, _) => return counted(in_new, 0),
            (Pipeline::Old, None) => return counted(in_old, 0),
            (Pipeline::Old, Some(_)) if phase.writers.contain(Pipeline::New) => (in_new, 0),
            (Pipeline::Old, Some(vector)) => {
                let is_beyond = beyond(vector);
                (in_new && is_beyond, u8::from(is_beyond))
            }
        };
        match sources {
            Sources::Both => counted(in_old || in_new, seals),
            Sources::BothUnsealed => counted(in_old || in_new, 0),
            Sources::Only(Pipeline::Old) => counted(in_old, 0),
            Sources::Only(Pipeline::New) => counted(in_new, seals),
        }
    }

    /// Whether another value than the last write's may stand there: after a seal both pipelines have records of the
    /// time in which one took over from the other, and one of them may be ahead, or order them by timestamps alone.
    fn allows(&self, at: i64, value: f64, rest: Rest) -> bool {
        let is_shared = self.seal.is_some() && self.phase(at).visible == Pipeline::Old;
        let is_exact = rest == Rest::AtRest && self.world.plan.record_clock == RecordClock::Steady;
        if !is_shared || is_exact {
            return false;
        }
        // Where the new pipeline has passed over points of the future, records whose timestamps run backwards may win that
        // would have lost.
        let passed_over = self.world.new.filtered_to[org_of(self.series)] >= at;
        if passed_over && self.world.plan.record_clock == RecordClock::Jittered {
            let input = &self.world.input;
            let mut records = input.places(self.series).iter();
            let is_there =
                |point: &(i64, f64)| point.0 == at && point.1.to_bits() == value.to_bits();
            return records.any(|place| input.record(*place).points.iter().any(is_there));
        }
        let sources = [
            Sources::BothUnsealed,
            Sources::Only(Pipeline::Old),
            Sources::Only(Pipeline::New),
        ];
        sources.into_iter().any(|sources| {
            let writes = self.writes(sources);
            let mut there = writes.iter().filter(|write| write.at == at);
            there.any(|write| write.value.to_bits() == value.to_bits())
        })
    }

    fn timeline(&self) -> String {
        let phases = self.phases.iter();
        let phases = phases.map(|phase| {
            let Phase {
                from,
                writers,
                visible,
            } = phase;
            format!("{}: {writers} shows {visible}", from.0)
        });
        phases.collect::<Vec<_>>().join(", ")
    }
}
