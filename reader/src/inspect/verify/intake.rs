//! What each shard has taken in, and under which limits: settings may have changed from one generation to the
//! next, and a record was refused by those that were in force when it was compacted.

use std::collections::BTreeMap;

use skein_shared::format::shard_manifest::{LimitsEpoch, ShardManifest};
use skein_shared::ids::{Chain, Hole, ShardId};
use skein_shared::offset::{Offset, Span};
use skein_shared::payload::Limits;

/// The intake of every shard that was compacted.
pub(super) type Histories = BTreeMap<ShardId, Intake>;

/// Positions of one shard by the limits that brought them there, newest first.
#[derive(Debug, Default)]
pub(super) struct Intake {
    epochs: Vec<LimitsEpoch>,
}

impl Intake {
    /// What the newest manifest tells of all that came before.
    pub(super) fn of(manifest: &ShardManifest) -> Self {
        let newest = LimitsEpoch {
            limits: manifest.versions.limits,
            positions: manifest.positions.clone(),
            fills: manifest.fills.clone(),
        };
        let earlier = manifest.earlier_limits.iter().cloned();
        Self {
            epochs: std::iter::once(newest).chain(earlier).collect(),
        }
    }

    /// The limits under which the record at `offset` was compacted; `None` when it was not.
    /// `hole` is the hole's first offset when the record is a fill's.
    pub(super) fn limits_at(
        &self,
        chain: &Chain,
        hole: Option<Offset>,
        offset: Offset,
    ) -> Option<&Limits> {
        let has_passed = |epoch: &&LimitsEpoch| {
            epoch_position(epoch, chain, hole).is_some_and(|position| offset < position)
        };
        let oldest = self.epochs.iter().rev().find(has_passed)?;
        Some(&oldest.limits)
    }

    /// Under which limits the records of a span were compacted: up to which offset each, ascending; none that are beyond.
    /// Tells of the span alone, however far the shard has come elsewhere.
    pub(super) fn over(
        &self,
        chain: &Chain,
        hole: Option<Offset>,
        span: Span,
    ) -> Vec<(Limits, Offset)> {
        let mut stretches: Vec<(Limits, Offset)> = Vec::new();
        let mut at = span.from;
        for epoch in self.epochs.iter().rev() {
            let Some(to) = epoch_position(epoch, chain, hole) else {
                continue;
            };
            let to = to.min(span.to);
            if to <= at {
                continue;
            }
            at = to;
            match stretches.last_mut() {
                Some((limits, end)) if *limits == epoch.limits => *end = to,
                _ => stretches.push((epoch.limits, to)),
            }
        }
        stretches
    }

    /// Every set of limits that was in force.
    pub(super) fn limits(&self) -> impl Iterator<Item = Limits> {
        self.epochs.iter().map(|epoch| epoch.limits)
    }
}

/// How far an epoch came in a chain, or in the fills of one of its holes.
fn epoch_position(epoch: &LimitsEpoch, chain: &Chain, hole: Option<Offset>) -> Option<Offset> {
    let position = match hole {
        None => epoch.positions.get(chain),
        Some(from) => epoch.fills.get(&Hole {
            chain: chain.clone(),
            from,
        }),
    };
    position.copied()
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::{Incarnation, PartitionId, SourceName, TopicName};

    use super::*;

    fn chain() -> Chain {
        Chain {
            source: SourceName::new("s").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(0),
        }
    }

    fn epoch(points: u32, position: i64) -> LimitsEpoch {
        let limits = Limits {
            points,
            ..Limits::default()
        };
        LimitsEpoch {
            limits,
            positions: BTreeMap::from([(chain(), Offset(position))]),
            fills: BTreeMap::new(),
        }
    }

    #[test]
    fn a_record_was_taken_in_under_the_limits_of_the_first_generation_beyond_it() {
        let mut manifest = ShardManifest::empty(ShardId::Quarantine);
        manifest.versions.limits.points = 5;
        manifest.positions.insert(chain(), Offset(40));
        manifest.earlier_limits = vec![epoch(9, 30), epoch(5, 10)];
        let intake = Intake::of(&manifest);
        let points = |offset| {
            let limits = intake.limits_at(&chain(), None, Offset(offset));
            limits.map(|limits| limits.points)
        };
        assert_eq!([0, 9].map(points), [Some(5); 2]);
        assert_eq!([10, 29].map(points), [Some(9); 2]);
        assert_eq!([30, 39].map(points), [Some(5); 2]);
        assert_eq!(points(40), None);
        let over = |from, to| {
            let span = Span::new(Offset(from), Offset(to));
            let stretches = intake.over(&chain(), None, span).into_iter();
            let short = |(limits, to): (Limits, Offset)| (limits.points, to.0);
            stretches.map(short).collect::<Vec<_>>()
        };
        assert_eq!(over(0, 50), [(5, 10), (9, 30), (5, 40)]);
        assert_eq!(over(3, 10), [(5, 10)]);
        assert_eq!(over(10, 35), [(9, 30), (5, 35)]);
        assert_eq!(over(40, 50), []);
    }
}
