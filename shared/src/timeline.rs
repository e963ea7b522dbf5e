//! Who writes and who is visible, of one org, at each event time: phases, each from an event time on.
//!
//! Both questions are answered by a point's own timestamp, for writers and readers alike.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::ids::Chain;
use crate::offset::Offset;
use crate::window::{TimeSpan, TimestampMs};

/// One of the two systems that can hold an org's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pipeline {
    /// The system that Skein takes over from.
    Old,
    /// Skein.
    New,
}

/// Which pipelines write an event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writers {
    /// One alone.
    Only(Pipeline),
    /// Both.
    Both,
}

/// Which points the new pipeline writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnershipFilter {
    /// Those that the timelines give it.
    #[default]
    Owned,
    /// All of every org, because nobody knows how old these timelines are: more is written, never less. What is written so
    /// is marked as unfiltered.
    Everything,
}

/// Who writes and who is visible from an event time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Phase {
    /// First instant of the phase; it ends where the next begins.
    pub from: TimestampMs,
    /// Who writes.
    pub writers: Writers,
    /// Whose points readers see; always one of the writers.
    pub visible: Pipeline,
}

/// The phases of one org over all of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// In rising order; the first begins at the beginning of time. Neighbours differ.
    phases: Arc<[Phase]>,
}

/// Up to which positions the old pipeline has written what it owns, once it writes no more: of its event times, points of
/// records at or beyond them are written by the new one, and amend what the old one has.
///
/// A chain that is absent began later: all of its records are beyond.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealVector(pub BTreeMap<Chain, Offset>);

impl Pipeline {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// The name that settings and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Writers {
    /// Whether `pipeline` is one of them.
    pub fn contain(self, pipeline: Pipeline) -> bool {
        match self {
            Self::Only(one) => one == pipeline,
            Self::Both => true,
        }
    }
}

impl fmt::Display for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(one) => one.fmt(f),
            Self::Both => f.write_str("old+new"),
        }
    }
}

impl Timeline {
    /// One pipeline writes and shows everything.
    pub fn owned_by(pipeline: Pipeline) -> Self {
        let phase = Phase {
            from: TimeSpan::ALL.from,
            writers: Writers::Only(pipeline),
            visible: pipeline,
        };
        Self {
            phases: Arc::new([phase]),
        }
    }

    /// A timeline of these phases; neighbours that say the same become one.
    ///
    /// # Errors
    /// Why they are none (SK-12): not from the beginning of time on, not in rising order, or visible and not written.
    pub fn new(phases: impl IntoIterator<Item = Phase>) -> Result<Self, String> {
        let mut kept: Vec<Phase> = Vec::new();
        let mut last_from = None;
        for phase in phases {
            let from = phase.from;
            if last_from.is_some_and(|last| last >= from) {
                return Err(format!(
                    "the phase from {from} does not begin after the one before it"
                ));
            }
            if !phase.writers.contain(phase.visible) {
                let visible = phase.visible;
                return Err(format!(
                    "from {from} on {visible} is visible and does not write"
                ));
            }
            last_from = Some(from);
            let says = |phase: &Phase| (phase.writers, phase.visible);
            if kept.last().map(says) != Some(says(&phase)) {
                kept.push(phase);
            }
        }
        if kept.first().map(|first| first.from) != Some(TimeSpan::ALL.from) {
            return Err("the first phase does not begin at the beginning of time".to_owned());
        }
        Ok(Self {
            phases: kept.into(),
        })
    }

    /// The phases, in rising order.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// The phase that holds `timestamp`.
    pub fn phase_at(&self, timestamp: TimestampMs) -> Phase {
        let after = self.phases.partition_point(|phase| phase.from <= timestamp);
        self.phases[after - 1]
    }

    /// The phases that overlap `span`, each with the part of it that it holds.
    pub fn phases_in(&self, span: TimeSpan) -> impl Iterator<Item = (TimeSpan, Phase)> {
        let ends = self.phases.iter().skip(1).map(|next| next.from);
        let ends = ends.chain([TimeSpan::ALL.to]);
        let parts = self.phases.iter().zip(ends).map(move |(phase, end)| {
            let part = TimeSpan {
                from: phase.from.max(span.from),
                to: end.min(span.to),
            };
            (part, *phase)
        });
        parts.filter(|(part, _)| !part.is_empty())
    }

    /// The one phase that holds all of `span`; `None` when there are several.
    pub fn phase_over(&self, span: TimeSpan) -> Option<Phase> {
        let first = self.phase_at(span.from);
        let later = |phase: &&Phase| span.from < phase.from && phase.from < span.to;
        let is_whole = self.phases.iter().find(later).is_none();
        is_whole.then_some(first)
    }

    /// The same timeline with `change` made to every phase of `span`, which alone is cut out of its neighbours.
    ///
    /// # Errors
    /// As [`Timeline::new`].
    pub fn changed(&self, span: TimeSpan, change: impl Fn(&mut Phase)) -> Result<Self, String> {
        let before = TimeSpan {
            from: TimeSpan::ALL.from,
            to: span.from,
        };
        let after = TimeSpan {
            from: span.to,
            to: TimeSpan::ALL.to,
        };
        let cut = |span: TimeSpan| {
            let parts = self.phases_in(span).map(|(part, phase)| Phase {
                from: part.from,
                ..phase
            });
            parts.collect::<Vec<_>>()
        };
        let mut inside = cut(span);
        inside.iter_mut().for_each(change);
        Self::new([cut(before), inside, cut(after)].concat())
    }
}

impl SealVector {
    /// Whether a record lies at or beyond the vector.
    pub fn is_beyond(&self, chain: &Chain, offset: Offset) -> bool {
        self.0.get(chain).is_none_or(|end| offset >= *end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phase(from: i64, writers: Writers, visible: Pipeline) -> Phase {
        Phase {
            from: TimestampMs(from),
            writers,
            visible,
        }
    }

    fn span(from: i64, to: i64) -> TimeSpan {
        TimeSpan {
            from: TimestampMs(from),
            to: TimestampMs(to),
        }
    }

    #[test]
    fn a_span_has_one_phase_unless_another_begins_inside() {
        let old = phase(i64::MIN, Writers::Both, Pipeline::Old);
        let new = phase(100, Writers::Both, Pipeline::New);
        let timeline = Timeline::new([old, new]).unwrap();
        assert_eq!(timeline.phase_over(span(0, 100)), Some(old));
        assert_eq!(timeline.phase_over(span(0, 101)), None);
        assert_eq!(timeline.phase_over(span(100, i64::MAX)), Some(new));
        assert_eq!(timeline.phase_over(span(i64::MIN, 0)), Some(old));
        let parts: Vec<_> = timeline.phases_in(span(99, 101)).collect();
        assert_eq!(parts, [(span(99, 100), old), (span(100, 101), new)]);
    }

    #[test]
    fn phases_that_break_a_rule_are_refused() {
        let first = phase(i64::MIN, Writers::Only(Pipeline::Old), Pipeline::Old);
        let refuse = |phases: &[Phase], word: &str| {
            let reason = Timeline::new(phases.iter().copied()).unwrap_err();
            assert!(reason.contains(word), "{reason}");
        };
        refuse(&[], "beginning of time");
        refuse(
            &[phase(0, Writers::Both, Pipeline::Old)],
            "beginning of time",
        );
        refuse(&[first, first], "after the one before");
        refuse(
            &[first, phase(5, Writers::Only(Pipeline::Old), Pipeline::New)],
            "does not write",
        );
        assert!(Timeline::new([first, phase(5, Writers::Both, Pipeline::New)]).is_ok());
    }

    proptest! {
        #[test]
        fn a_change_changes_its_span_and_nothing_besides(
            edges in prop::collection::btree_set(-50_i64..50, 0..5),
            (from, length) in (-60_i64..60, 1_i64..40),
            at in -70_i64..70,
        ) {
            let sides = [Pipeline::Old, Pipeline::New].into_iter().cycle();
            let starts = [i64::MIN].into_iter().chain(edges);
            let phases = starts.zip(sides).map(|(at, side)| phase(at, Writers::Both, side));
            let before = Timeline::new(phases).unwrap();
            let changed = span(from, from + length);
            let flip = |phase: &mut Phase| phase.visible = phase.visible.other();
            let after = before.changed(changed, flip).unwrap();
            let says = |timeline: &Timeline| timeline.phase_at(TimestampMs(at)).visible;
            let is_inside = (from..from + length).contains(&at);
            prop_assert_eq!(says(&before) != says(&after), is_inside);
            prop_assert_eq!(after.changed(changed, flip).unwrap(), before);
        }
    }
}
