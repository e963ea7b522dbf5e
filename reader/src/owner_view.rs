//! Whose points a read is about: those that readers see, or all that one of the pipelines has.

use std::fmt;
use std::str::FromStr;

use skein_config::cutover::timelines::Timelines;
use skein_shared::cutover::CutoverState;
use skein_shared::ids::OrgId;
use skein_shared::timeline::Pipeline;

use crate::error::{Error, Result};

/// Whose points are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerView {
    /// At every event time those of the pipeline that is visible then.
    #[default]
    Visible,
    /// All that this pipeline has.
    Only(Pipeline),
}

/// What a read of a pipeline alone is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To use the points.
    #[default]
    Use,
    /// To compare them with those of the other one.
    Comparison,
}

impl OwnerView {
    /// The timelines that a reader goes by who wants this of `org`, or of all orgs.
    ///
    /// # Errors
    /// [`Error::NotYet`] when the new pipeline's points of an org are wanted for use, and it has only begun to write them:
    /// nobody has looked at them, and they have no beginning.
    pub fn of(
        self,
        timelines: &Timelines,
        org: Option<OrgId>,
        purpose: Purpose,
    ) -> Result<Timelines> {
        let pipeline = match self {
            Self::Visible => return Ok(timelines.clone()),
            Self::Only(pipeline) => pipeline,
        };
        if (pipeline, purpose) == (Pipeline::New, Purpose::Use) {
            refuse_too_early(timelines, org)?;
        }
        Ok(timelines.showing(pipeline))
    }
}

fn refuse_too_early(timelines: &Timelines, org: Option<OrgId>) -> Result<()> {
    let is_meant = |id: OrgId| org.is_none_or(|org| org == id);
    let is_early = |state| matches!(state, CutoverState::Starting | CutoverState::Shadow);
    let mut enrolled = timelines.enrolled();
    let early = enrolled.find(|(id, cutover)| is_meant(*id) && is_early(cutover.state));
    let Some((id, cutover)) = early else {
        return Ok(());
    };
    Err(Error::NotYet {
        org: id.0,
        state: cutover.state,
        reason: "readers are to see them once a comparison has passed: give --for-comparison to look at them before",
    })
}

impl fmt::Display for OwnerView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Visible => f.write_str("visible"),
            Self::Only(pipeline) => pipeline.fmt(f),
        }
    }
}

impl FromStr for OwnerView {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "visible" => Ok(Self::Visible),
            "old" => Ok(Self::Only(Pipeline::Old)),
            "new" => Ok(Self::Only(Pipeline::New)),
            _ => Err(format!("`{text}` is none of old, new and visible")),
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_config::cutover::timelines::OrgCutover;
    use skein_shared::timeline::Timeline;

    use super::*;

    fn timelines(state: CutoverState) -> Timelines {
        let cutover = OrgCutover {
            version: 1,
            state,
            timeline: Timeline::owned_by(Pipeline::Old),
            seal: None,
            mirror_percent: 0,
            old_place: None,
        };
        Timelines::owned_by(Pipeline::New).with(OrgId(7), cutover)
    }

    #[test]
    fn what_nobody_has_compared_is_seen_for_comparison_alone() {
        let new = OwnerView::Only(Pipeline::New);
        for state in [CutoverState::Starting, CutoverState::Shadow] {
            let timelines = timelines(state);
            for org in [Some(OrgId(7)), None] {
                let error = new.of(&timelines, org, Purpose::Use).unwrap_err();
                let text = error.to_string();
                assert!(
                    text.contains(state.name()) && text.contains("--for-comparison"),
                    "{text}"
                );
                assert!(new.of(&timelines, org, Purpose::Comparison).is_ok());
                assert!(OwnerView::Visible.of(&timelines, org, Purpose::Use).is_ok());
                let old = OwnerView::Only(Pipeline::Old);
                assert!(old.of(&timelines, org, Purpose::Use).is_ok());
            }
            assert!(new.of(&timelines, Some(OrgId(8)), Purpose::Use).is_ok());
        }
        assert!(
            new.of(&timelines(CutoverState::Canary), None, Purpose::Use)
                .is_ok()
        );
    }
}
