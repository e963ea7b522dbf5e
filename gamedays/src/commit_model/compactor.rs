//! What a compactor may do next.

use std::collections::BTreeSet;

use crate::commit_model::scope::{Bug, CHAINS, Merges, Scope};
use crate::commit_model::state::{
    Compactor, Creation, Delta, Manifest, Segment, SegmentSet, State, Tries,
};
use crate::commit_model::step::{Reply, Successor, Who, again, create};

/// Every step that the compactor at `place` may take, faults included.
pub fn steps(state: &State, scope: &Scope, place: usize, into: &mut Vec<Successor>) {
    let turn = Turn {
        state,
        scope,
        place,
    };
    match &state.compactors[place] {
        Compactor::Idle => turn.plan(into),
        Compactor::Planned(delta, next) => into.push(turn.write(*delta, *next)),
        Compactor::Creating(delta, creation) => turn.create(*delta, *creation, into),
        Compactor::Refused(delta) => into.push(turn.read_again(*delta)),
        Compactor::Created(own, number, tries) => {
            into.push(turn.check(*own, *number, *tries));
        }
    }
    if state.faults > 0 && state.compactors[place] != Compactor::Idle {
        let crashed = turn.to(Compactor::Idle);
        into.push(Successor::fault(turn.who(), ("crashes", None), crashed));
    }
}

struct Turn<'a> {
    state: &'a State,
    scope: &'a Scope,
    place: usize,
}

impl Turn<'_> {
    fn who(&self) -> Who {
        Who::Compactor(self.place)
    }

    fn to(&self, compactor: Compactor) -> State {
        let mut state = self.state.clone();
        state.compactors[self.place] = compactor;
        state
    }

    fn has(&self, bug: Bug) -> bool {
        self.scope.bug == Some(bug)
    }

    /// Takes the next unit of a chain, alone or with all segments, or merges all segments.
    fn plan(&self, into: &mut Vec<Successor>) {
        let base = self.state.newest();
        for chain in 0..CHAINS {
            if base.positions[chain] < self.scope.units[chain] {
                let merges = BTreeSet::from([0, base.live]);
                let plans = merges
                    .into_iter()
                    .map(|set| self.planned(base, Some(chain), set));
                into.extend(plans);
            }
        }
        if self.scope.merges == Merges::Alone && base.live.count_ones() > 1 {
            into.push(self.planned(base, None, base.live));
        }
    }

    fn planned(&self, base: Manifest, chain: Option<usize>, replaced: SegmentSet) -> Successor {
        let mut state = self.state.clone();
        let (mut from, mut to) = ([0; CHAINS], [0; CHAINS]);
        let mut units = 0;
        if let Some(chain) = chain {
            let before: u8 = self.scope.units[..chain].iter().sum();
            from[chain] = base.positions[chain];
            to[chain] = from[chain] + 1;
            units = 1 << (before + from[chain]);
        }
        let merged = state.segments(replaced);
        let units = merged.fold(units, |units, (_, segment)| units | segment.units);
        let own = state.new_segment(Segment {
            expected: base.number + 1,
            units,
        });
        let delta = Delta {
            from,
            to,
            replaced,
            own,
        };
        state.compactors[self.place] = Compactor::Planned(delta, apply(base, delta));
        Successor::progress(self.who(), ("plans from", Some(base.number)), state)
    }

    fn write(&self, delta: Delta, next: Manifest) -> Successor {
        let mut state = self.to(Compactor::Idle);
        state.bucket |= delta.own;
        let number = next.number;
        let creation = creation(&mut state, next);
        state.compactors[self.place] = Compactor::Creating(delta, creation);
        Successor::progress(
            self.who(),
            ("writes its segment, expects", Some(number)),
            state,
        )
    }

    fn create(&self, delta: Delta, creation: Creation, into: &mut Vec<Successor>) {
        let number = creation.next.number;
        let mut state = self.to(Compactor::Idle);
        let is_repeated = creation.tries == Tries::Repeated;
        let reply = create(&mut state, creation);
        let blind = self.has(Bug::TakesExistenceForSuccess) && is_repeated;
        let (what, now) = if reply == Reply::Ours || blind {
            (
                "has created",
                Compactor::Created(delta.own, number, creation.tries),
            )
        } else {
            ("is refused at", Compactor::Refused(delta))
        };
        state.compactors[self.place] = now;
        into.push(Successor::progress(self.who(), (what, Some(number)), state));
        if self.state.faults == 0 {
            return;
        }
        let mut crashed = self.to(Compactor::Idle);
        crashed.late.push(creation.next);
        let what = ("crashes while a request is under way for", Some(number));
        into.push(Successor::fault(self.who(), what, crashed));
        let mut waiting = self.to(Compactor::Creating(delta, again(creation)));
        waiting.late.push(creation.next);
        let what = ("hears nothing of its request for", Some(number));
        into.push(Successor::fault(self.who(), what, waiting));
    }

    fn read_again(&self, delta: Delta) -> Successor {
        let base = self.state.newest();
        if self.has(Bug::InsistsOnNumber) {
            let state = self.state.clone();
            return Successor::progress(self.who(), ("waits below", Some(base.number)), state);
        }
        if !self.may_issue_again(base, delta) {
            let state = self.to(Compactor::Idle);
            return Successor::progress(self.who(), ("is superseded by", Some(base.number)), state);
        }
        let mut state = self.to(Compactor::Idle);
        let creation = creation(&mut state, apply(base, delta));
        state.compactors[self.place] = Compactor::Creating(delta, creation);
        Successor::progress(
            self.who(),
            ("issues again on top of", Some(base.number)),
            state,
        )
    }

    fn may_issue_again(&self, base: Manifest, delta: Delta) -> bool {
        let moved = |chain: usize| delta.to[chain] != delta.from[chain];
        let mut chains = (0..CHAINS).filter(|chain| moved(*chain));
        let positions = chains.all(|chain| base.positions[chain] == delta.from[chain]);
        let replaced = delta.replaced & !base.live == 0;
        let mut own = self.state.segments(delta.own);
        let valid = own.all(|(_, segment)| segment.expected >= base.void_before);
        (positions || self.has(Bug::ReissuesOverMovedPositions))
            && (replaced || self.has(Bug::ReissuesOverReplacedSegments))
            && (valid || self.has(Bug::ReissuesVoidSegment))
    }

    /// Looks at the newest manifest again, and reports.
    fn check(&self, own: SegmentSet, number: u8, tries: Tries) -> Successor {
        let newest = self.state.newest();
        let state = self.to(Compactor::Idle);
        let skips = self.has(Bug::SkipsKeptFromCheck)
            || self.has(Bug::ReusesCollectedNumber) && tries == Tries::Repeated;
        if newest.kept_from > number && !skips {
            return Successor::progress(self.who(), ("takes as lost", Some(number)), state);
        }
        let is_in_chain = newest.had & own != 0;
        Successor {
            broken: (!is_in_chain).then_some("a commit that was reported is not in the chain"),
            ..Successor::progress(self.who(), ("reports", Some(number)), state)
        }
    }
}

fn creation(state: &mut State, next: Manifest) -> Creation {
    let token = state.new_token();
    Creation {
        next: Manifest { token, ..next },
        tries: Tries::First,
    }
}

/// The manifest after `base`.
fn apply(base: Manifest, delta: Delta) -> Manifest {
    let mut next = base;
    next.number += 1;
    next.token = 0;
    for chain in 0..CHAINS {
        if delta.to[chain] != delta.from[chain] {
            next.positions[chain] = delta.to[chain];
        }
    }
    next.live = next.live & !delta.replaced | delta.own;
    next.had |= delta.own;
    next
}
