//! Every state that can be reached, nearest first.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::xxh3_128;

use crate::commit_model::sameness::{Moves, normalise};
use crate::commit_model::scope::Scope;
use crate::commit_model::state::State;
use crate::commit_model::step::{Kind, Successor, Who};
use crate::commit_model::{promises, world};

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    /// States, each counted once.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The number of steps to the farthest state.
    pub depth: usize,
    /// The highest generation.
    pub generations: u8,
    /// The first broken promise on a shortest way to it.
    pub broken: Option<Broken>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub promise: &'static str,
    /// The way there, a line a step.
    pub way: String,
}

/// A state's number, in the order in which they were found.
type Number = u32;

struct Search {
    scope: Scope,
    numbers: HashMap<u128, Number>,
    /// For each state the one that it was found from, and which of its steps led to it.
    found_from: Vec<(Number, u16)>,
    /// Steps that may be relied on.
    progress: Vec<(Number, Number)>,
    done: Vec<Number>,
    steps: usize,
    generations: u8,
}

/// Looks at every state within `scope`, until a promise is broken.
///
/// # Panics
/// If there are more than 2^32 states.
pub fn explore(scope: &Scope) -> Explored {
    let mut search = Search {
        scope: *scope,
        numbers: HashMap::new(),
        found_from: Vec::new(),
        progress: Vec::new(),
        done: Vec::new(),
        steps: 0,
        generations: 0,
    };
    let mut first = State::first(scope);
    normalise(&mut first);
    search.number_of(&first, (0, 0));
    let mut level = vec![(0, first)];
    let mut depth = 0;
    let mut broken = None;
    while !level.is_empty() && broken.is_none() {
        let mut next = Vec::new();
        broken = level
            .iter()
            .find_map(|(number, state)| search.expand(*number, state, &mut next));
        level = next;
        depth += 1;
    }
    Explored {
        states: search.found_from.len(),
        steps: search.steps,
        depth,
        generations: search.generations,
        broken: broken.or_else(|| search.stuck()),
    }
}

impl Search {
    /// The number of a state, and whether it is new.
    fn number_of(&mut self, state: &State, from: (Number, u16)) -> (Number, bool) {
        let fresh = Number::try_from(self.found_from.len()).expect("fewer than 2^32 states");
        let number = *self.numbers.entry(digest(state)).or_insert(fresh);
        if number == fresh {
            self.found_from.push(from);
        }
        (number, number == fresh)
    }

    fn expand(
        &mut self,
        number: Number,
        state: &State,
        next: &mut Vec<(Number, State)>,
    ) -> Option<Broken> {
        self.generations = self.generations.max(state.newest().number);
        if world::is_done(state, &self.scope) {
            self.done.push(number);
        }
        for (place, step) in world::steps(state, &self.scope).into_iter().enumerate() {
            self.steps += 1;
            let place = u16::try_from(place).expect("few steps");
            if let Some(promise) = broken_by(state, &step, &self.scope) {
                let way = self.way(number, Some(place));
                return Some(Broken { promise, way });
            }
            let mut after = step.state;
            normalise(&mut after);
            let (reached, is_new) = self.number_of(&after, (number, place));
            if step.kind == Kind::Progress {
                self.progress.push((reached, number));
            }
            if is_new {
                next.push((reached, after));
            }
        }
        None
    }

    /// A state out of which no way leads to the end, even if nothing fails any more (SK-15).
    fn stuck(&mut self) -> Option<Broken> {
        self.progress.sort_unstable();
        let mut can_end = vec![false; self.found_from.len()];
        let mut open = std::mem::take(&mut self.done);
        while let Some(number) = open.pop() {
            if std::mem::replace(&mut can_end[number as usize], true) {
                continue;
            }
            let start = self.progress.partition_point(|(to, _)| *to < number);
            let edges = self.progress[start..].iter();
            let before = edges.take_while(|(to, _)| *to == number);
            open.extend(before.map(|(_, from)| *from));
        }
        let stuck = can_end.iter().position(|can_end| !can_end)?;
        let stuck = Number::try_from(stuck).expect("a state's number");
        Some(Broken {
            promise: "input can be committed no more",
            way: self.way(stuck, None),
        })
    }

    /// The steps to a state, and one more out of it.
    fn way(&self, to: Number, last: Option<u16>) -> String {
        let mut places: Vec<u16> = last.into_iter().collect();
        let mut at = to;
        while at != 0 {
            let (from, place) = self.found_from[at as usize];
            places.push(place);
            at = from;
        }
        places.reverse();
        let mut state = State::first(&self.scope);
        let mut names = normalise(&mut state);
        let mut text = String::new();
        for place in places {
            let step = world::steps(&state, &self.scope).swap_remove(usize::from(place));
            let (what, number) = step.what;
            let who = named(step.who, &names);
            let number = number.map(|number| format!(" {number}"));
            let number = number.unwrap_or_default();
            writeln!(text, "{who} {what}{number}").expect("a string takes everything");
            state = step.state;
            names = follow(&names, &normalise(&mut state));
        }
        text
    }
}

fn broken_by(before: &State, step: &Successor, scope: &Scope) -> Option<&'static str> {
    let by_state = || promises::broken(before, &step.state, scope.units);
    step.broken.or_else(by_state)
}

fn named(who: Who, names: &Moves) -> Who {
    match who {
        Who::Compactor(place) => Who::Compactor(names.compactors[place]),
        Who::Collector(place) => Who::Collector(names.collectors[place]),
        Who::Reader | Who::LateRequest => who,
    }
}

fn follow(names: &Moves, moves: &Moves) -> Moves {
    let follow = |names: &[usize], moves: &[usize]| moves.iter().map(|it| names[*it]).collect();
    Moves {
        compactors: follow(&names.compactors, &moves.compactors),
        collectors: follow(&names.collectors, &moves.collectors),
    }
}

/// Two states with one digest would be taken for one; of 10 million states that has odds of 1 to 10^24.
fn digest(state: &State) -> u128 {
    let mut bytes = Bytes(Vec::with_capacity(512));
    state.hash(&mut bytes);
    xxh3_128(&bytes.0)
}

/// Keeps what it should hash.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the bytes are asked for")
    }
}
