//! The two questions of a cutover, both answered by a point's own timestamp.

use skein_shared::ids::OrgId;
use skein_shared::window::TimestampMs;

use crate::cutover::timeline::{Pipeline, Timelines, Writers};

/// Whose point of `org` at `timestamp` readers see.
pub fn owner(timelines: &Timelines, org: OrgId, timestamp: TimestampMs) -> Pipeline {
    timelines.of(org).phase_at(timestamp).visible
}

/// Who writes points of `org` at `timestamp`.
pub fn writers(timelines: &Timelines, org: OrgId, timestamp: TimestampMs) -> Writers {
    timelines.of(org).phase_at(timestamp).writers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_pipeline_writes_and_shows_everything_before_any_cutover() {
        let timelines = Timelines::new_owns_everything();
        for (org, ms) in [(0, i64::MIN), (7, 0), (u64::MAX, i64::MAX)] {
            let (org, at) = (OrgId(org), TimestampMs(ms));
            assert_eq!(owner(&timelines, org, at), Pipeline::New);
            assert!(writers(&timelines, org, at).contain(Pipeline::New));
            assert!(!writers(&timelines, org, at).contain(Pipeline::Old));
        }
    }
}
