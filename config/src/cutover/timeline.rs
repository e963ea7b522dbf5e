//! Phases of an org, each from an event time on.

use skein_shared::ids::OrgId;
use skein_shared::window::{TimeSpan, TimestampMs};

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

/// Who writes and who is visible from an event time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// In rising order; the first starts at the beginning of time.
    phases: Vec<Phase>,
}

/// The timelines of all orgs, in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timelines {
    version: u64,
    every_org: Timeline,
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

impl Timeline {
    /// The new pipeline writes and shows everything.
    pub fn new_owns_everything() -> Self {
        let phase = Phase {
            from: TimestampMs(i64::MIN),
            writers: Writers::Only(Pipeline::New),
            visible: Pipeline::New,
        };
        Self {
            phases: vec![phase],
        }
    }

    /// The one phase that holds all of `span`; `None` when there are several.
    pub fn phase_over(&self, span: TimeSpan) -> Option<Phase> {
        let first = self.phase_at(span.from);
        let later = |phase: &&Phase| span.from < phase.from && phase.from < span.to;
        let is_whole = self.phases.iter().find(later).is_none();
        is_whole.then_some(first)
    }

    /// The phase that holds `timestamp`.
    pub fn phase_at(&self, timestamp: TimestampMs) -> Phase {
        let after = self.phases.partition_point(|phase| phase.from <= timestamp);
        self.phases[after - 1]
    }
}

impl Timelines {
    /// Every org belongs to the new pipeline, at all times.
    pub fn new_owns_everything() -> Self {
        Self {
            version: 0,
            every_org: Timeline::new_owns_everything(),
        }
    }

    /// Number of this version; every manifest names the one it was made with.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The timeline of `org`.
    pub fn of(&self, _org: OrgId) -> &Timeline {
        &self.every_org
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_one_phase_unless_another_begins_inside() {
        let phase = |from, visible| Phase {
            from: TimestampMs(from),
            writers: Writers::Both,
            visible,
        };
        let (old, new) = (phase(i64::MIN, Pipeline::Old), phase(100, Pipeline::New));
        let timeline = Timeline {
            phases: vec![old, new],
        };
        let over = |from, to| {
            timeline.phase_over(TimeSpan {
                from: TimestampMs(from),
                to: TimestampMs(to),
            })
        };
        assert_eq!(over(0, 100), Some(old));
        assert_eq!(over(0, 101), None);
        assert_eq!(over(100, i64::MAX), Some(new));
        assert_eq!(over(i64::MIN, 0), Some(old));
    }

    #[test]
    fn every_instant_has_a_phase_whose_visible_pipeline_writes() {
        let timelines = Timelines::new_owns_everything();
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            let phase = timelines.of(OrgId(7)).phase_at(TimestampMs(ms));
            assert!(phase.writers.contain(phase.visible), "SK-12 at {ms}");
        }
    }
}
