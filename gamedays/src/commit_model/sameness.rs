//! One form for all states that go on alike: whatever nobody will look at again is cleared, and names are given anew.

use crate::commit_model::state::{
    Compactor, Manifest, SEGMENTS, Segment, SegmentSet, Stage, State,
};

/// Where compactors and collectors went: the old place of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves {
    /// Of each compactor.
    pub compactors: Vec<usize>,
    /// Of each collector.
    pub collectors: Vec<usize>,
}

/// Brings `state` into its form.
pub fn normalise(state: &mut State) -> Moves {
    forget_tokens(state);
    forget_reports(state);
    forget_old(state);
    forget_litter(state);
    forget_contents(state);
    let first = sort(state);
    rename_segments(state);
    let second = sort(state);
    let follow = |first: &[usize], second: &[usize]| second.iter().map(|it| first[*it]).collect();
    Moves {
        compactors: follow(&first.compactors, &second.compactors),
        collectors: follow(&first.collectors, &second.collectors),
    }
}

/// A token matters while its process may ask for it.
fn forget_tokens(state: &mut State) {
    let mut held = 0u64;
    for compactor in &state.compactors {
        if let Compactor::Creating(_, creation) = compactor {
            held |= 1 << creation.next.token;
        }
    }
    for collector in &state.collectors {
        if let Stage::Creating(creation) = &collector.stage {
            held |= 1 << creation.next.token;
        }
    }
    state.each_manifest(&mut |it| {
        if held & (1 << it.token) == 0 {
            it.token = 0;
        }
    });
}

/// What a chain of generations has had matters while somebody may report it.
fn forget_reports(state: &mut State) {
    let compactors = state.compactors.iter();
    let reportable = compactors.fold(0, |set, compactor| set | compactor.own());
    state.each_manifest(&mut |it| it.had &= reportable);
}

/// Of a manifest that is not the newest, and never can be, references matter alone, and those while a collector may look
/// at it. When nobody does, and no request is under way for its number, it shows in nothing whether it is there.
fn forget_old(state: &mut State) {
    let newest = state.newest().number;
    let looked_at = lowest_kept(state);
    let existing = state.manifests.len().saturating_sub(1);
    let mut seen = 0;
    state.each_manifest(&mut |it| {
        let is_old = it.number < newest || it.number == newest && seen > existing;
        seen += 1;
        if is_old {
            shorten(it, looked_at);
        }
    });
    let wanted = wanted_numbers(state);
    let gone = |number: u8| number < looked_at && wanted & (1 << number) == 0;
    state.manifests.retain(|it| !gone(it.number));
    for collector in &mut state.collectors {
        if let Stage::Deleting(_, manifests) = &mut collector.stage {
            let there = state.manifests.iter();
            let there = there.fold(0u16, |set, it| set | 1 << it.number);
            *manifests &= wanted | there;
        }
    }
}

fn shorten(manifest: &mut Manifest, looked_at: u8) {
    let live = if manifest.number < looked_at {
        0
    } else {
        manifest.live
    };
    // The fence stays, for collectors that go by it although they should not.
    *manifest = Manifest {
        live,
        had: 0,
        positions: Default::default(),
        ..*manifest
    };
}

/// The lowest generation that a collector takes for kept, now or later.
fn lowest_kept(state: &State) -> u8 {
    let newest = state.newest();
    let fences = state.collectors.iter().filter_map(|it| it.stage.fence());
    let lowest = fences.map(|fence| fence.kept_from).min();
    lowest.map_or(newest.kept_from, |it| it.min(newest.kept_from))
}

/// The numbers for which requests are under way, or that a reader holds.
fn wanted_numbers(state: &mut State) -> u16 {
    let mut wanted = state.pin.map_or(0, |pin| 1 << pin.number);
    let existing = state.manifests.len();
    let mut seen = 0;
    state.each_manifest(&mut |it| {
        seen += 1;
        if seen > existing {
            wanted |= 1 << it.number;
        }
    });
    wanted
}

/// A segment that no manifest, writer or reader names can be named no more: whether it is deleted shows in nothing.
fn forget_litter(state: &mut State) {
    let mut named = 0;
    state.each_set_but_targets(&mut |set| named |= *set);
    state.bucket &= named;
    for collector in &mut state.collectors {
        if let Stage::Deleting(segments, manifests) = collector.stage {
            collector.stage = Stage::deleting(segments & named, manifests);
        }
    }
}

/// What is in a segment matters while it is live or may be; what it expects, as far as collectors and writers differ on it.
fn forget_contents(state: &mut State) {
    let newest = state.newest();
    let fences = state.collectors.iter().filter_map(|it| it.stage.fence());
    let lowest = fences.map(|fence| fence.void_before).min();
    let lowest = lowest.map_or(newest.void_before, |it| it.min(newest.void_before));
    let own = state.compactors.iter().map(Compactor::own);
    let mut live = own.fold(newest.live, |set, own| set | own);
    state.each_manifest(&mut |it| {
        if it.number >= newest.number {
            live |= it.live;
        }
    });
    for (place, segment) in state.table.iter_mut().enumerate() {
        if live & (1 << place) == 0 {
            segment.units = 0;
        }
        if segment.expected < lowest {
            segment.expected = 0;
        }
    }
}

fn sort(state: &mut State) -> Moves {
    state.late.sort_unstable();
    Moves {
        compactors: sorted(&mut state.compactors),
        collectors: sorted(&mut state.collectors),
    }
}

fn sorted<T: Ord + Clone>(processes: &mut [T]) -> Vec<usize> {
    let mut moves: Vec<usize> = (0..processes.len()).collect();
    if processes.is_sorted() {
        return moves;
    }
    moves.sort_by(|a, b| processes[*a].cmp(&processes[*b]));
    processes.sort();
    moves
}

/// Orders segments by what they are and by who names them, so that the order in which they were written is forgotten.
fn rename_segments(state: &mut State) {
    let mut namers = [0u64; SEGMENTS];
    let bucket = state.bucket;
    note(&mut namers, bucket);
    state.each_set(&mut |set| note(&mut namers, *set));
    let table = state.table;
    let named = |place: &usize| namers[*place] != 0;
    let mut order: Vec<usize> = (0..SEGMENTS).filter(named).collect();
    order.sort_by_key(|place| (table[*place], namers[*place]));
    let rename = |set: &mut SegmentSet| {
        let old = *set;
        let places = order.iter().enumerate();
        *set = places.fold(0, |new, (to, from)| new | ((old >> from) & 1) << to);
    };
    rename(&mut state.bucket);
    state.each_set(&mut |set| rename(set));
    state.table = [Segment::default(); SEGMENTS];
    for (to, from) in order.iter().enumerate() {
        state.table[to] = table[*from];
    }
}

/// Shifts one more namer into the row of each place.
fn note(namers: &mut [u64; SEGMENTS], set: SegmentSet) {
    for (place, row) in namers.iter_mut().enumerate() {
        *row = (*row << 1) | u64::from((set >> place) & 1);
    }
}
