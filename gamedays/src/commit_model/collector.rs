//! What a collector may do next.

use crate::commit_model::scope::{Bug, Fences, Scope};
use crate::commit_model::state::{Creation, Fence, Stage, State, Tries};
use crate::commit_model::step::{Reply, Successor, Who, again, create};

/// Every step that the collector at `place` may take, faults included.
pub fn steps(state: &State, scope: &Scope, place: usize, into: &mut Vec<Successor>) {
    let turn = Turn {
        state,
        scope,
        place,
    };
    let collector = &state.collectors[place];
    match &collector.stage {
        Stage::Idle => {
            if collector.passes > 0 && state.newest().number > 0 {
                turn.begin(into);
            }
        }
        Stage::Reading => turn.read(turn.state, into),
        Stage::Creating(creation) => turn.create(*creation, into),
        Stage::Created(fence) => into.push(turn.check(*fence)),
        Stage::Fenced(fence) => into.push(turn.look(*fence)),
        Stage::Deleting(segments, manifests) => turn.delete(*segments, *manifests, into),
    }
    if state.faults > 0 && collector.stage != Stage::Idle {
        let crashed = turn.to(Stage::Idle);
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
        Who::Collector(self.place)
    }

    fn to(&self, stage: Stage) -> State {
        let mut after = self.state.clone();
        after.collectors[self.place].stage = stage;
        after
    }

    fn has(&self, bug: Bug) -> bool {
        self.scope.bug == Some(bug)
    }

    fn begin(&self, into: &mut Vec<Successor>) {
        let mut state = self.state.clone();
        state.collectors[self.place].passes -= 1;
        self.read(&state, into);
    }

    fn read(&self, state: &State, into: &mut Vec<Successor>) {
        let base = state.newest();
        let most = base.number + 1;
        let least = match self.scope.fences {
            Fences::AllBefore => most,
            Fences::Any => base.void_before,
        };
        into.extend((least..=most).map(|void_before| self.fence(state.clone(), void_before)));
    }

    fn fence(&self, mut state: State, void_before: u8) -> Successor {
        let base = state.newest();
        let pinned = state.pin.map_or(base.number, |pin| pin.number);
        let may_go = if self.has(Bug::IgnoresPins) {
            base.number
        } else {
            pinned
        };
        let read = base.number;
        let mut next = base;
        next.number += 1;
        next.void_before = void_before;
        next.kept_from = next.kept_from.max(may_go);
        next.token = state.new_token();
        let now = if self.has(Bug::DeletesBeforeFence) {
            Stage::Fenced(next.fence())
        } else {
            Stage::Creating(Creation {
                next,
                tries: Tries::First,
            })
        };
        state.collectors[self.place].stage = now;
        Successor::progress(self.who(), ("reads", Some(read)), state)
    }

    fn create(&self, creation: Creation, into: &mut Vec<Successor>) {
        let number = creation.next.number;
        let mut state = self.state.clone();
        let (what, now) = match create(&mut state, creation) {
            Reply::Ours => ("has created", Stage::Created(creation.next.fence())),
            Reply::Taken => ("is refused at", Stage::Reading),
        };
        state.collectors[self.place].stage = now;
        into.push(Successor::progress(self.who(), (what, Some(number)), state));
        if self.state.faults == 0 {
            return;
        }
        let mut crashed = self.to(Stage::Idle);
        crashed.late.push(creation.next);
        let what = ("crashes while a request is under way for", Some(number));
        into.push(Successor::fault(self.who(), what, crashed));
        let mut waiting = self.to(Stage::Creating(again(creation)));
        waiting.late.push(creation.next);
        let what = ("hears nothing of its request for", Some(number));
        into.push(Successor::fault(self.who(), what, waiting));
    }

    fn check(&self, fence: Fence) -> Successor {
        if self.state.newest().kept_from > fence.number {
            let what = ("takes as lost", Some(fence.number));
            return Successor::progress(self.who(), what, self.to(Stage::Idle));
        }
        let what = ("has fenced before", Some(fence.void_before));
        Successor::progress(self.who(), what, self.to(Stage::Fenced(fence)))
    }

    /// Decides what to delete.
    fn look(&self, fence: Fence) -> Successor {
        let newest = self.state.newest();
        let manifests = self.state.manifests.iter();
        let kept = manifests.filter(|it| it.number >= fence.kept_from);
        let named = if self.has(Bug::LooksAtNewestOnly) {
            newest.live
        } else {
            kept.fold(0, |named, it| named | it.live)
        };
        let unnamed = self.state.segments(self.state.bucket & !named);
        let any = self.has(Bug::DeletesUnreferenced);
        let void = unnamed.filter(|(_, segment)| any || segment.expected < fence.void_before);
        let segments = void.fold(0, |set, (bit, _)| set | bit);
        let keep_from = if self.has(Bug::DeletesKeptManifests) {
            newest.number
        } else {
            fence.kept_from
        };
        let old = self.state.manifests.iter();
        let old = old.filter(|it| it.number < keep_from);
        let manifests = old.fold(0u16, |set, it| set | 1 << it.number);
        let state = self.to(Stage::deleting(segments, manifests));
        let what = ("finds what it may delete with", Some(fence.number));
        Successor::progress(self.who(), what, state)
    }

    fn delete(&self, segments: u16, manifests: u16, into: &mut Vec<Successor>) {
        if segments != 0 {
            let rest = segments & (segments - 1);
            let mut state = self.to(Stage::deleting(rest, manifests));
            state.bucket &= !(segments ^ rest);
            let what = ("deletes a segment", None);
            into.push(Successor::progress(self.who(), what, state));
        }
        if manifests != 0 {
            let number = u8::try_from(manifests.trailing_zeros()).expect("at most 16");
            let rest = manifests & (manifests - 1);
            let mut state = self.to(Stage::deleting(segments, rest));
            state.manifests.retain(|it| it.number != number);
            let what = ("deletes manifest", Some(number));
            into.push(Successor::progress(self.who(), what, state));
        }
    }
}
