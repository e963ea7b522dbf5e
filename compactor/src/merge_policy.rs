//! When the segments of a window are merged.
//!
//! While points of a window still come, each step adds an *overlay*. With at most *k* of them the least is rewritten
//! when after step *n* they hold as many steps each as the terms of *n* in the combinatorial number system of degree
//! *k*, `n = C(a, k) + C(b, k - 1) + …` with `a > b > …`: the binomial merge of Mathieu, Staelin and Young. Once the
//! watermark has passed the window all of it becomes one *base*. What comes later still lies over the base until
//! it is worth rewriting it.

use skein_shared::format::shard_manifest::{Layer, SegmentEntry};
use skein_shared::timeline::OwnershipFilter;

/// Late points are merged into the base when they are more than a fourth of it: rewriting it then costs at
/// most five bytes for each late one.
const LATE_SHARE: u64 = 4;

/// The live segments that one generation added to a window, as far as merging depends on them: one, or one for each
/// part of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Base or overlay.
    pub layer: Layer,
    /// How many segments.
    pub segments: usize,
    /// Points in them.
    pub points: u64,
}

/// A window's live segments in the order of their levels: an overlay that was added while the base was made lies over it,
/// whatever their generations.
pub fn oldest_first<'a>(live: impl Iterator<Item = &'a SegmentEntry>) -> Vec<&'a SegmentEntry> {
    let mut live: Vec<&SegmentEntry> = live.collect();
    live.sort_by_key(|segment| segment.layer != Layer::Base);
    live
}

/// The levels of a window's `live` segments, the oldest first.
pub fn levels<'a>(live: impl Iterator<Item = &'a SegmentEntry>) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    let mut newest = None;
    for segment in live {
        let begins = newest.replace(segment.generation) != Some(segment.generation);
        if begins {
            levels.push(Level {
                layer: segment.layer,
                segments: 0,
                points: 0,
            });
        }
        if let Some(level) = levels.last_mut() {
            level.segments += 1;
            level.points += segment.summary.points;
        }
    }
    levels
}

/// Whether points of a window are still expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// The watermark lies before its end.
    Open,
    /// Everything of it has been read.
    Closed,
}

/// What becomes of a window's new points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merge {
    /// How many of the newest levels are merged with them.
    pub newest: usize,
    /// What the result is.
    pub layer: Layer,
}

/// Decides for a window with these `live` levels, the oldest first. Readers merge all of them, so there are never more
/// than `most_overlays` and a base.
pub fn choose(live: &[Level], state: WindowState, most_overlays: u32) -> Merge {
    let base = live
        .iter()
        .rposition(|segment| segment.layer == Layer::Base);
    let (older, overlays) = live.split_at(base.map_or(0, |base| base + 1));
    match (state, older) {
        (WindowState::Closed, []) => everything(live),
        (_, [.., base]) if points(overlays) > base.points / LATE_SHARE => everything(live),
        _ => add_overlay(overlays, most_overlays),
    }
}

/// As [`choose`], for a window's `live` segments in the order of their levels, and a step that writes what `filter` says.
///
/// Nothing unfiltered is ever made a base, which would not tell what its points are of; and what is merged reaches down to
/// the oldest segment that was not filtered.
pub fn choose_filtered(
    live: &[&SegmentEntry],
    (state, filter): (WindowState, OwnershipFilter),
    most_overlays: u32,
) -> Merge {
    let levels = levels(live.iter().copied());
    match filter {
        OwnershipFilter::Everything => {
            let is_base = |level: &&Level| level.layer == Layer::Base;
            let bases = levels.iter().take_while(is_base).count();
            add_overlay(&levels[bases..], most_overlays)
        }
        OwnershipFilter::Owned => {
            let merge = choose(&levels, state, most_overlays);
            let oldest = live.iter().position(|segment| segment.is_unfiltered());
            oldest.map_or(merge, |oldest| {
                reaching(merge, &levels, level_at(&levels, oldest))
            })
        }
    }
}

/// The level of the live segment at `place`.
pub fn level_at(levels: &[Level], place: usize) -> usize {
    let mut seen = 0;
    let holds = |level: &Level| {
        seen += level.segments;
        place < seen
    };
    levels.iter().position(holds).unwrap_or(levels.len())
}

/// All of a window's levels as one base.
pub fn everything(live: &[Level]) -> Merge {
    Merge {
        newest: live.len(),
        layer: Layer::Base,
    }
}

/// As much of `merge` as it takes to reach the level at `oldest`, whose segments have to be rewritten.
pub fn reaching(merge: Merge, live: &[Level], oldest: usize) -> Merge {
    if live.len() - merge.newest <= oldest {
        return merge;
    }
    let merged = &live[oldest..];
    let steps = merged
        .iter()
        .map(|level| steps_in(level.layer))
        .sum::<u64>();
    let has_base = merged.iter().any(|level| level.layer == Layer::Base);
    Merge {
        newest: merged.len(),
        layer: if has_base {
            Layer::Base
        } else {
            Layer::Overlay { steps: steps + 1 }
        },
    }
}

/// Whether a window has to be rewritten, once what it holds may be filtered, although nothing new has come for it.
pub fn must_filter(live: &[&SegmentEntry]) -> bool {
    live.iter().any(|segment| segment.is_unfiltered())
}

/// Whether a window has to be rewritten once all of it has come, although nothing new has.
pub fn must_close(live: &[Level]) -> bool {
    !live.iter().any(|segment| segment.layer == Layer::Base)
}

fn add_overlay(overlays: &[Level], most: u32) -> Merge {
    let steps: Vec<u64> = overlays.iter().map(|o| steps_in(o.layer)).collect();
    let target = binomial_terms(steps.iter().sum::<u64>() + 1, most);
    let kept = steps
        .iter()
        .zip(&target)
        .take_while(|(is, should)| is == should);
    let kept = kept.count();
    let merged: u64 = steps[kept..].iter().sum();
    Merge {
        newest: steps.len() - kept,
        layer: Layer::Overlay { steps: merged + 1 },
    }
}

/// `number = C(a, degree) + C(b, degree - 1) + …`, the largest terms first.
fn binomial_terms(number: u64, degree: u32) -> Vec<u64> {
    let mut left = number;
    let mut terms = Vec::new();
    for lower in (1..=u64::from(degree)).rev() {
        if left == 0 {
            break;
        }
        let mut term = 1;
        let mut upper = lower;
        // C(n + 1, k) = C(n, k) * (n + 1) / (n + 1 - k)
        while let Some(next) = u64::checked_mul(term, upper + 1).map(|n| n / (upper + 1 - lower))
            && next <= left
        {
            (term, upper) = (next, upper + 1);
        }
        left -= term;
        terms.push(term);
    }
    terms
}

fn steps_in(layer: Layer) -> u64 {
    match layer {
        Layer::Base => 0,
        Layer::Overlay { steps } => steps,
    }
}

fn points(live: &[Level]) -> u64 {
    live.iter().map(|segment| segment.points).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The levels of one window, and how many points were written for it.
    #[derive(Debug, Default)]
    struct Shelf {
        live: Vec<Level>,
        written: u64,
    }

    impl Shelf {
        fn step(&mut self, fresh: u64, state: WindowState, most: u32) {
            let merge = choose(&self.live, state, most);
            let merged = self.live.split_off(self.live.len() - merge.newest);
            let points = fresh + points(&merged);
            self.written += points;
            self.live.push(Level {
                segments: 1,
                layer: merge.layer,
                points,
            });
        }

        fn overlays(&self) -> usize {
            let is_overlay = |l: &&Level| l.layer != Layer::Base;
            self.live.iter().filter(is_overlay).count()
        }
    }

    #[test]
    fn a_day_of_steps_is_written_less_than_four_times_with_its_base() {
        let mut shelf = Shelf::default();
        let mut opened = 0;
        for _ in 0..144 {
            shelf.step(1000, WindowState::Open, 8);
            opened += shelf.live.len();
        }
        shelf.step(0, WindowState::Closed, 8);
        assert_eq!(shelf.live.len(), 1);
        assert_eq!(shelf.live[0].layer, Layer::Base);
        assert!(shelf.written < 4 * 144_000, "{}", shelf.written);
        assert!(opened < 6 * 144, "a read opens fewer than six on average");
    }

    #[test]
    fn a_merge_reaches_as_far_as_it_has_to_and_a_base_stays_one() {
        let level = |layer| Level {
            layer,
            segments: 1,
            points: 10,
        };
        let overlay = |steps| Layer::Overlay { steps };
        let live = [level(Layer::Base), level(overlay(3)), level(overlay(1))];
        let merge = Merge {
            newest: 1,
            layer: overlay(2),
        };
        assert_eq!(reaching(merge, &live, 2), merge);
        let further = Merge {
            newest: 2,
            layer: overlay(5),
        };
        assert_eq!(reaching(merge, &live, 1), further);
        let all = Merge {
            newest: 3,
            layer: Layer::Base,
        };
        assert_eq!(reaching(merge, &live, 0), all);
    }

    #[test]
    fn late_points_lie_over_the_base_until_they_are_a_fourth_of_it() {
        let mut shelf = Shelf::default();
        shelf.step(1000, WindowState::Closed, 4);
        assert_eq!(shelf.overlays(), 0);
        for _ in 0..26 {
            shelf.step(10, WindowState::Closed, 4);
            assert!((1..=4).contains(&shelf.overlays()));
            assert_eq!(shelf.live[0].points, 1000);
        }
        shelf.step(10, WindowState::Closed, 4);
        assert_eq!(shelf.live.len(), 1);
        assert_eq!(shelf.live[0].points, 1270);
    }

    proptest! {
        #[test]
        fn a_window_never_has_more_overlays_than_allowed(
            steps in prop::collection::vec((0_u64..1000, any::<bool>(), 1_u32..9), 1..200),
        ) {
            let mut shelf = Shelf::default();
            let mut points_in = 0;
            for (fresh, closed, most) in steps {
                let state = if closed { WindowState::Closed } else { WindowState::Open };
                shelf.step(fresh, state, most);
                points_in += fresh;
                prop_assert!(shelf.overlays() <= most as usize);
                prop_assert_eq!(points(&shelf.live), points_in);
            }
        }

        #[test]
        fn the_terms_add_up_and_fall(number in 1_u64..10_000_000, degree in 1_u32..12) {
            let terms = binomial_terms(number, degree);
            prop_assert_eq!(terms.iter().sum::<u64>(), number);
            prop_assert!(terms.len() <= degree as usize);
            prop_assert!(terms.is_sorted_by(|a, b| a >= b));
        }
    }
}
