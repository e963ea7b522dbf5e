use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use skein_config::cutover::timelines::OrgCutover;
use skein_shared::cutover::CutoverState;
use skein_shared::format::order_column::OrderRun;
use skein_shared::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName};
use skein_shared::timeline::{Phase, SealVector, Timeline, Writers};

use super::*;

const ORG: OrgId = OrgId(7);

fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("s").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

fn order((seals, partition, offset): (u32, u32, i64)) -> Order {
    Order {
        seals,
        record_timestamp: None,
        chain: ChainIndex(partition),
        offset: Offset(offset),
    }
}

/// Old and new write by turns, from each of `edges` on; of the chains that are named the rest amends.
fn timelines(edges: &[i64], ends: Option<&BTreeMap<u32, i64>>) -> Timelines {
    let writers = [Pipeline::Old, Pipeline::New].into_iter().cycle();
    let starts = [i64::MIN].into_iter().chain(edges.iter().copied());
    let phases = starts.zip(writers).map(|(from, writer)| Phase {
        from: TimestampMs(from),
        writers: Writers::Only(writer),
        visible: writer,
    });
    let vector = ends.map(|ends| {
        let ends = ends.iter();
        SealVector(ends.map(|(p, end)| (chain(*p), Offset(*end))).collect())
    });
    let cutover = OrgCutover {
        version: 1,
        state: CutoverState::Sealed,
        timeline: Timeline::new(phases).unwrap(),
        seal: vector.map(Arc::new),
        mirror_percent: 0,
        old_place: None,
    };
    Timelines::new_owns_everything().with(ORG, cutover)
}

proptest! {
    #[test]
    fn points_stay_by_their_time_or_by_their_record_alone(
        edges in prop::collection::btree_set(0_i64..40, 0..4),
        ends in prop::option::of(prop::collection::btree_map(0_u32..2, 0_i64..20, 0..3)),
        stretches in prop::collection::vec(
            ((0_u32..2, 0_u32..2, 0_i64..20), prop::collection::vec(0_i64..45, 1..5)), 0..8),
    ) {
        let edges: Vec<i64> = edges.into_iter().collect();
        let timelines = timelines(&edges, ends.as_ref());
        let table = ChainTable::new((0..2).map(chain).collect());
        let (mut points, mut expected) = (SeriesBuffer::default(), Vec::new());
        let mut dropped = NotOwned::default();
        for (place, times) in &stretches {
            let (seals, partition, offset) = *place;
            let is_beyond = ends.as_ref().is_some_and(|ends| {
                ends.get(&partition).is_none_or(|end| offset >= *end)
            });
            points.orders.push(OrderRun { order: order(*place), points: u32::try_from(times.len()).unwrap() });
            for ms in times {
                let value = f64::from(u32::try_from(points.values.len()).unwrap());
                points.timestamps_ms.push(*ms);
                points.values.push(value);
                let before = edges.iter().filter(|edge| *edge <= ms).count();
                if before % 2 == 1 || is_beyond || seals == 0 {
                    expected.push((*ms, value, order(*place)));
                } else {
                    dropped.add(NotOwned { points: 1, highest: Some(TimestampMs(*ms)) });
                }
            }
        }
        let all = points.values.len();
        let unfiltered = timelines.unfiltered();
        let mut rule = OwnershipRule::new(&unfiltered, Window::from_number(0), &table);
        prop_assert_eq!(rule.drop_of_segment(ORG, &mut points), NotOwned::default());
        prop_assert_eq!(points.values.len(), all);
        let mut rule = OwnershipRule::new(&timelines, Window::from_number(0), &table);
        prop_assert_eq!(rule.drop_of_segment(ORG, &mut points), dropped);
        let orders = points.orders.iter();
        let orders = orders.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
        let left = points.timestamps_ms.iter().zip(&points.values).zip(orders);
        let left: Vec<_> = left.map(|((ms, value), order)| (*ms, *value, order)).collect();
        prop_assert_eq!(left, expected);
    }
}

#[test]
fn an_org_that_has_the_whole_window_is_asked_once() {
    let timelines = timelines(&[10], None);
    let table = ChainTable::default();
    // Times before the epoch are of another window than those after the edge.
    let mut later = OwnershipRule::new(&timelines, Window::from_number(1), &table);
    assert!(later.is_whole(ORG) && later.is_whole(OrgId(8)) && later.is_whole(ORG));
    let mut first = OwnershipRule::new(&timelines, Window::from_number(0), &table);
    assert!(!first.is_whole(ORG) && first.is_whole(OrgId(8)));
    let ours = first.word(ORG, order((1, 0, 0)), &[9, 10]);
    assert_eq!(ours, Some(Word::Ours));
    assert_eq!(first.word(ORG, order((1, 0, 0)), &[8, 9]), None);
}
