//! The protobuf messages of a timeline.

use prost::Message;

use crate::format::wire::Reading;
use crate::timeline::{Phase, Pipeline, Timeline, Writers};
use crate::window::{TimeSpan, TimestampMs};

/// One phase.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PhaseMessage {
    /// Absent of the first, which begins at the beginning of time.
    #[prost(sint64, optional, tag = "1")]
    from_ms: Option<i64>,
    /// 1 old, 2 new, 3 both.
    #[prost(uint32, tag = "2")]
    writers: u32,
    /// 1 old, 2 new.
    #[prost(uint32, tag = "3")]
    visible: u32,
}

impl PhaseMessage {
    pub(crate) fn of_timeline(timeline: &Timeline) -> Vec<Self> {
        timeline.phases().iter().copied().map(Self::of).collect()
    }

    pub(crate) fn of(phase: Phase) -> Self {
        Self {
            from_ms: (phase.from != TimeSpan::ALL.from).then_some(phase.from.0),
            writers: match phase.writers {
                Writers::Only(one) => number_of(one),
                Writers::Both => 3,
            },
            visible: number_of(phase.visible),
        }
    }

    fn read(self) -> Reading<Phase> {
        let writers = match self.writers {
            3 => Writers::Both,
            one => Writers::Only(pipeline_of(one)?),
        };
        Ok(Phase {
            from: self.from_ms.map_or(TimeSpan::ALL.from, TimestampMs),
            writers,
            visible: pipeline_of(self.visible)?,
        })
    }
}

/// A timeline of its phases.
pub(crate) fn read_timeline(phases: Vec<PhaseMessage>) -> Reading<Timeline> {
    let phases = phases.into_iter().map(PhaseMessage::read);
    Timeline::new(phases.collect::<Reading<Vec<_>>>()?)
}

/// 1 old, 2 new.
pub(crate) fn number_of(pipeline: Pipeline) -> u32 {
    match pipeline {
        Pipeline::Old => 1,
        Pipeline::New => 2,
    }
}

/// The pipeline that [`number_of`] gives this number.
pub(crate) fn pipeline_of(number: u32) -> Reading<Pipeline> {
    match number {
        1 => Ok(Pipeline::Old),
        2 => Ok(Pipeline::New),
        _ => Err(format!("{number} is no pipeline")),
    }
}
