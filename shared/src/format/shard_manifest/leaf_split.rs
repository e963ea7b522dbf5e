//! What of a manifest lies in leaves, so that a commit rewrites little.
//!
//! Commits carry a leaf over by name as long as what the manifest says there is what the leaf holds. Once it is not, the
//! manifest has it itself again, until that has not changed for a while. Where a thing is stored changes nothing of
//! what is true.

use std::collections::{BTreeMap, BTreeSet};

use super::leaf::{LEAF_LISTS, LeafRef, LeafScope, ManifestLeaf};
use super::{QuarantineRef, SealRef, SegmentEntry, ShardManifest};
use crate::ids::Generation;
use crate::window::Window;

/// Windows of which no segment is of the last so many generations change no more, as far as anybody can tell.
const COLD_GENERATIONS: u64 = 32;

/// Fewer segments than this are not worth a request.
const LEAST_SEGMENTS: usize = 32;

/// What a manifest does not have in its leaves.
#[derive(Debug, Default)]
pub(super) struct Inline {
    pub(super) segments: Vec<SegmentEntry>,
    pub(super) seals: Vec<SealRef>,
    pub(super) quarantine: Vec<QuarantineRef>,
}

impl ShardManifest {
    /// The parts that should be leaves and are none yet: whoever commits the manifest stores them first, and adds their
    /// names to [`ShardManifest::leaves`]. Without that they stay in the manifest itself.
    pub fn new_leaves(&self) -> Vec<ManifestLeaf> {
        let carried: BTreeSet<_> = self.carried_leaves().map(|leaf| leaf.scope).collect();
        let mut newest = BTreeMap::new();
        for segment in &self.segments {
            let (segments, generation) = newest
                .entry(LeafScope::of_window(segment.window))
                .or_insert((0, segment.generation));
            *segments += 1;
            *generation = segment.generation.max(*generation);
        }
        let is_cold = |(segments, newest): &(usize, Generation)| {
            *segments >= LEAST_SEGMENTS
                && newest.0.saturating_add(COLD_GENERATIONS) <= self.generation.0
        };
        let cold = newest.iter().filter(|(_, group)| is_cold(group));
        let full = (0..self.quarantine.len() / LEAF_LISTS)
            .map(|leaf| LeafScope::of_list(leaf * LEAF_LISTS));
        let scopes = cold.map(|(scope, _)| *scope).chain(full);
        let missing = scopes.filter(|scope| !carried.contains(scope));
        self.parts(missing).into_values().collect()
    }

    /// The leaves that hold just what the manifest says there.
    pub fn carried_leaves(&self) -> impl Iterator<Item = &LeafRef> {
        let parts = self.parts(self.leaves.iter().map(|leaf| leaf.scope));
        let says = move |leaf: &&LeafRef| {
            let part = parts.get(&leaf.scope);
            part.is_some_and(|part| part.content() == leaf.content)
        };
        self.leaves.iter().filter(says)
    }

    /// What the manifest says within each of `scopes`, found in one pass.
    fn parts(&self, scopes: impl Iterator<Item = LeafScope>) -> BTreeMap<LeafScope, ManifestLeaf> {
        let empty = |scope| ManifestLeaf {
            shard: self.shard,
            scope,
            segments: Vec::new(),
            seals: Vec::new(),
            quarantine: Vec::new(),
        };
        let mut parts: BTreeMap<_, _> = scopes.map(|scope| (scope, empty(scope))).collect();
        if parts.is_empty() {
            return parts;
        }
        for segment in &self.segments {
            if let Some(part) = parts.get_mut(&LeafScope::of_window(segment.window)) {
                part.segments.push(segment.clone());
            }
        }
        for (scope, seal) in self.seals.iter().flat_map(SealRef::by_scope) {
            if let Some(part) = parts.get_mut(&scope) {
                part.seals.push(seal);
            }
        }
        for (place, list) in self.quarantine.iter().enumerate() {
            if let Some(part) = parts.get_mut(&LeafScope::of_list(place)) {
                part.quarantine.push(list.clone());
            }
        }
        parts
    }

    /// What is in none of `leaves`.
    pub(super) fn beside(&self, leaves: &[&LeafRef]) -> Inline {
        let scopes: BTreeSet<_> = leaves.iter().map(|leaf| leaf.scope).collect();
        let stays = |window: &Window| !scopes.contains(&LeafScope::of_window(*window));
        let segments = self.segments.iter().filter(|s| stays(&s.window));
        let seals = self.seals.iter().filter_map(|seal| seal.within(stays));
        let lists = self.quarantine.iter().enumerate();
        let lists = lists.filter(|(place, _)| !scopes.contains(&LeafScope::of_list(*place)));
        Inline {
            segments: segments.cloned().collect(),
            seals: seals.collect(),
            quarantine: lists.map(|(_, list)| list.clone()).collect(),
        }
    }

    /// The inverse of [`ShardManifest::beside`].
    pub(super) fn take_in(&mut self, leaves: Vec<ManifestLeaf>) {
        if leaves.is_empty() {
            return;
        }
        let mut seals: BTreeMap<_, SealRef> = BTreeMap::new();
        let mut lists = BTreeMap::new();
        let own = std::mem::take(&mut self.seals);
        let of_leaves = leaves.iter().flat_map(|leaf| leaf.seals.iter().cloned());
        for mut seal in own.into_iter().chain(of_leaves) {
            match seals.get_mut(&(seal.generation, seal.key.clone())) {
                Some(known) => known.windows.append(&mut seal.windows),
                None => drop(seals.insert((seal.generation, seal.key.clone()), seal)),
            }
        }
        self.seals = seals.into_values().collect();
        for leaf in leaves {
            self.segments.extend(leaf.segments);
            if let LeafScope::Quarantine(number) = leaf.scope {
                lists.insert(number, leaf.quarantine);
            }
        }
        // Stable: what is of one window and generation comes from one place, and keeps its order.
        self.segments
            .sort_by_key(|segment| (segment.window, segment.generation));
        let mut own = std::mem::take(&mut self.quarantine).into_iter();
        for number in 0_u64.. {
            let before = self.quarantine.len();
            match lists.remove(&number) {
                Some(lists) => self.quarantine.extend(lists),
                None => self.quarantine.extend(own.by_ref().take(LEAF_LISTS)),
            }
            if self.quarantine.len() == before {
                break;
            }
        }
    }
}

impl SealRef {
    /// The seal of the windows of each leaf.
    fn by_scope(&self) -> impl Iterator<Item = (LeafScope, Self)> {
        let mut scopes: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for window in &self.windows {
            let scope = LeafScope::of_window(*window);
            scopes.entry(scope).or_default().insert(*window);
        }
        let seal = |(scope, windows)| {
            let seal = Self {
                windows,
                ..self.clone()
            };
            (scope, seal)
        };
        scopes.into_iter().map(seal)
    }

    /// The seal of those of its windows that `is_of` holds for; `None` without any.
    fn within(&self, is_of: impl Fn(&Window) -> bool) -> Option<Self> {
        let windows: BTreeSet<_> = self.windows.iter().copied().filter(&is_of).collect();
        (!windows.is_empty()).then(|| Self {
            windows,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests;
