//! Every state that can be reached, nearest first.

use std::collections::HashMap;
use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_128;

use crate::cutover_model::promises::Broken;
use crate::cutover_model::rescue::Rescued;
use crate::cutover_model::scope::Scope;
use crate::cutover_model::state::State;
use crate::cutover_model::step::steps;

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    /// States, each counted once.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The number of steps to the farthest state.
    pub depth: usize,
    /// In how many states the first org was in each state of a cutover, in their order.
    pub cutovers: [usize; 12],
    /// The first broken promise on a shortest way to it.
    pub broken: Option<Found>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub promise: Broken,
    /// The way there, a line a step.
    pub way: String,
}

struct Search {
    scope: Scope,
    numbers: HashMap<u128, u32>,
    /// For each state the one that it was found from, and which of its steps led to it.
    found_from: Vec<(u32, u16)>,
    steps: usize,
    cutovers: [usize; 12],
    rescued: Rescued,
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
        steps: 0,
        cutovers: [0; 12],
        rescued: Rescued::default(),
    };
    let first = State::first(scope);
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
        cutovers: search.cutovers,
        broken,
    }
}

impl Search {
    /// The number of a state, if it is new.
    fn number_of(&mut self, state: &State, from: (u32, u16)) -> Option<u32> {
        let fresh = u32::try_from(self.found_from.len()).expect("fewer than 2^32 states");
        let key = state.key();
        let bytes: Vec<u8> = key.iter().flat_map(|number| number.to_le_bytes()).collect();
        let number = *self.numbers.entry(xxh3_128(&bytes)).or_insert(fresh);
        if number != fresh {
            return None;
        }
        self.found_from.push(from);
        let head = state.orgs[0].head.as_ref();
        self.cutovers[head.map_or(0, |head| head.state as usize)] += 1;
        Some(number)
    }

    fn expand(
        &mut self,
        number: u32,
        state: &State,
        next: &mut Vec<(u32, State)>,
    ) -> Option<Found> {
        if let Some(promise) = self.rescued.stuck(state, &self.scope) {
            let way = self.way(number, None);
            return Some(Found { promise, way });
        }
        for (place, step) in steps(state, &self.scope).into_iter().enumerate() {
            self.steps += 1;
            let place = u16::try_from(place).expect("few steps");
            if let Some(promise) = step.broken {
                let way = self.way(number, Some(place));
                return Some(Found { promise, way });
            }
            if let Some(reached) = self.number_of(&step.state, (number, place)) {
                next.push((reached, step.state));
            }
        }
        None
    }

    /// The steps to a state, and one more out of it.
    fn way(&self, to: u32, last: Option<u16>) -> String {
        let mut places: Vec<u16> = last.into_iter().collect();
        let mut at = to;
        while at != 0 {
            let (from, place) = self.found_from[at as usize];
            places.push(place);
            at = from;
        }
        places.reverse();
        let mut state = State::first(&self.scope);
        let mut text = String::new();
        for place in places {
            let step = steps(&state, &self.scope).swap_remove(usize::from(place));
            writeln!(text, "{} {}", state.now, step.what).expect("a string takes everything");
            state = step.state;
        }
        text
    }
}
