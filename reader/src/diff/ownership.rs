//! Which rows of a window are compared, and which should not be there: by who writes each time.

use std::collections::BTreeSet;

use skein_config::cutover::owner::{amends, writers};
use skein_config::cutover::timelines::Timelines;
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Pipeline, Writers};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

/// A stretch of event time with the same writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    span: TimeSpan,
    writers: Writers,
    /// Whether the new pipeline amends what the old one has.
    amended: bool,
}

/// Who writes which time of a span of one org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    span: TimeSpan,
    /// Without gaps; empty of an org that was never cut over, of which both sides may have everything.
    stretches: Vec<Stretch>,
}

/// What is to be done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Both sides have to have it.
    Compared,
    /// It is its side's alone.
    OneSided,
    /// Its side does not write that time.
    WrongOwner,
}

impl Ownership {
    /// Of `org` in `span`.
    pub fn of(timelines: &Timelines, org: OrgId, span: TimeSpan) -> Self {
        let mut stretches = Vec::new();
        if timelines.cutover(org).is_some() {
            for (part, _) in timelines.of(org).phases_in(span) {
                stretches.push(Stretch {
                    span: part,
                    writers: writers(timelines, org, part.from),
                    amended: amends(timelines, org, part.from).is_some(),
                });
            }
        }
        Self { span, stretches }
    }

    /// Whether a person could say who writes what: the org has a cutover.
    pub fn is_known(&self) -> bool {
        !self.stretches.is_empty()
    }

    /// What is to be done with a row of `side` that covers `covered`, in a comparison with one of `other`.
    pub fn standing(&self, covered: TimeSpan, side: Pipeline, other: Pipeline) -> Standing {
        if self.stretches.is_empty() {
            return Standing::Compared;
        }
        let touched = self.stretches.iter().filter(|it| it.span.overlaps(covered));
        let mut standing = Standing::Compared;
        let mut stretches = 0;
        for stretch in touched {
            stretches += 1;
            let is_amendment = side == Pipeline::New && stretch.amended;
            if !stretch.writers.contain(side) && !is_amendment {
                standing = Standing::WrongOwner;
            } else if !stretch.writers.contain(other) || !stretch.writers.contain(side) {
                standing = Standing::OneSided;
            }
        }
        // A bucket that straddles an edge is made of finer ones by the reader: no side has it alone.
        if stretches > 1 && standing == Standing::WrongOwner {
            return Standing::OneSided;
        }
        standing
    }

    /// Whether any time of the span is written by both.
    pub fn has_compared(&self, left: Pipeline, right: Pipeline) -> bool {
        !self.compared(left, right).is_empty()
    }

    /// The times that both write.
    pub fn compared(&self, left: Pipeline, right: Pipeline) -> Vec<TimeSpan> {
        if self.stretches.is_empty() {
            return vec![self.span];
        }
        let both = |it: &&Stretch| it.writers.contain(left) && it.writers.contain(right);
        self.stretches
            .iter()
            .filter(both)
            .map(|it| it.span)
            .collect()
    }

    /// Whether a row of `side` is its own everywhere in the span, and everything is compared: nothing has to be looked at
    /// row by row.
    pub fn is_plain(&self, left: Pipeline, right: Pipeline) -> bool {
        let both = |it: &Stretch| it.writers.contain(left) && it.writers.contain(right);
        self.stretches.iter().all(both)
    }

    /// The edges between stretches: times at which something changes.
    pub fn edges(&self) -> BTreeSet<TimestampMs> {
        let begins = self.stretches.iter().map(|it| it.span.from);
        begins.filter(|at| *at > self.span.from).collect()
    }
}

/// The event times that a row at `at_ms` covers.
pub fn covered(resolution: Resolution, at_ms: i64) -> TimeSpan {
    let width = resolution
        .bucket_width()
        .map_or(1, |width| width.0.cast_signed());
    TimeSpan {
        from: TimestampMs(at_ms),
        to: TimestampMs(at_ms.saturating_add(width)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skein_config::cutover::timelines::OrgCutover;
    use skein_shared::cutover::CutoverState;
    use skein_shared::timeline::{Phase, SealVector, Timeline};

    use super::*;

    fn timelines(seal: Option<SealVector>) -> Timelines {
        let phase = |from, writers, visible| Phase {
            from: TimestampMs(from),
            writers,
            visible,
        };
        let cutover = OrgCutover {
            version: 1,
            state: CutoverState::Sealed,
            timeline: Timeline::new([
                phase(i64::MIN, Writers::Only(Pipeline::Old), Pipeline::Old),
                phase(100, Writers::Both, Pipeline::Old),
                phase(300, Writers::Only(Pipeline::New), Pipeline::New),
            ])
            .unwrap(),
            seal: seal.map(Arc::new),
            mirror_percent: 0,
            old_place: None,
        };
        Timelines::owned_by(Pipeline::Old).with(OrgId(7), cutover)
    }

    fn standing(timelines: &Timelines, at: i64, side: Pipeline) -> Standing {
        let ownership = Ownership::of(timelines, OrgId(7), TimeSpan::ALL);
        ownership.standing(covered(Resolution::Raw, at), side, side.other())
    }

    #[test]
    fn a_point_is_compared_where_both_write_and_wrong_where_its_side_does_not() {
        let (old, new) = (Pipeline::Old, Pipeline::New);
        let open = timelines(None);
        for (at, of_old, of_new) in [
            (99, Standing::OneSided, Standing::WrongOwner),
            (100, Standing::Compared, Standing::Compared),
            (299, Standing::Compared, Standing::Compared),
            (300, Standing::WrongOwner, Standing::OneSided),
        ] {
            assert_eq!(standing(&open, at, old), of_old, "old at {at}");
            assert_eq!(standing(&open, at, new), of_new, "new at {at}");
        }
        let sealed = timelines(Some(SealVector::default()));
        assert_eq!(standing(&sealed, 99, new), Standing::OneSided);
        let unknown = Ownership::of(&open, OrgId(8), TimeSpan::ALL);
        assert!(!unknown.is_known() && unknown.has_compared(old, new));
    }
}
