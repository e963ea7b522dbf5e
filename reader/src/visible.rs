//! Timeline → owner: which points of an org readers see.

use std::ops::Range;

use skein_config::cutover::owner::owner;
use skein_config::cutover::timelines::Timelines;
use skein_shared::format::order_column::{ChainTable, Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::OrgId;
use skein_shared::offset::Offset;
use skein_shared::timeline::Pipeline;
use skein_shared::window::{TimeSpan, TimestampMs};

/// What an unfiltered segment may amend of what the old pipeline has: points of records beyond the seal alone. All else in it
/// lies where nobody knew whether the old one would write it.
#[derive(Debug)]
pub struct AmendRule {
    timelines: Timelines,
    org: OrgId,
    /// Up to where the old pipeline has written, for each chain that orders mean.
    ends: Vec<Option<Offset>>,
}

/// Leaves the points of `org` that readers see of those that the new pipeline has (SK-12): those that it owns, and once the
/// old one is sealed those that amend it. Orders are dropped: they have done their work.
pub fn keep_visible(timelines: &Timelines, org: OrgId, points: &mut SeriesBuffer) {
    points.orders.clear();
    let (Some(first), Some(last)) = (points.timestamps_ms.first(), points.timestamps_ms.last())
    else {
        return;
    };
    if amends_old(timelines, org) {
        return;
    }
    let is_visible = |ms: i64| owner(timelines, org, TimestampMs(ms)) == Pipeline::New;
    let timeline = timelines.of(org);
    if timeline.phase_at(TimestampMs(*first)) == timeline.phase_at(TimestampMs(*last)) {
        if !is_visible(*first) {
            points.clear();
        }
        return;
    }
    let keep: Vec<bool> = points
        .timestamps_ms
        .iter()
        .map(|ms| is_visible(*ms))
        .collect();
    retain(&mut points.timestamps_ms, &keep);
    retain(&mut points.values, &keep);
}

/// Whether the new pipeline's points are seen over those of the old one where that is visible: it has ended.
pub fn amends_old(timelines: &Timelines, org: OrgId) -> bool {
    let cutover = timelines.cutover(org);
    cutover.is_some_and(|cutover| cutover.seal.is_some())
}

/// Whether readers may see points of `org` that the new pipeline has in `span`.
pub fn may_show_new(timelines: &Timelines, org: OrgId, span: TimeSpan) -> bool {
    let mut phases = timelines.of(org).phases_in(span);
    amends_old(timelines, org) || phases.any(|(_, phase)| phase.visible == Pipeline::New)
}

/// Whether readers see the new pipeline's points of `org` in all of `span`, and no others.
pub fn is_new_alone(timelines: &Timelines, org: OrgId, span: TimeSpan) -> bool {
    let mut phases = timelines.of(org).phases_in(span);
    phases.all(|(_, phase)| phase.visible == Pipeline::New)
}

/// Lays the visible points of the new pipeline over those of the old one, of which readers see all: of equal times the new
/// one's is an amendment, so the later write. Answers how many of the old one's lost.
pub fn lay_over(old: &SeriesBuffer, new: &mut SeriesBuffer, spare: &mut SeriesBuffer) -> u64 {
    if old.timestamps_ms.is_empty() {
        return 0;
    }
    spare.clear();
    let (mut at_old, mut at_new) = (0, 0);
    let (old_times, new_times) = (&old.timestamps_ms, &new.timestamps_ms);
    let mut lost = 0;
    while at_old < old_times.len() && at_new < new_times.len() {
        let (of_old, of_new) = (old_times[at_old], new_times[at_new]);
        if of_old < of_new {
            spare.timestamps_ms.push(of_old);
            spare.values.push(old.values[at_old]);
            at_old += 1;
            continue;
        }
        if of_old == of_new {
            lost += 1;
            at_old += 1;
        }
        spare.timestamps_ms.push(of_new);
        spare.values.push(new.values[at_new]);
        at_new += 1;
    }
    append(spare, old, at_old..old_times.len());
    append(spare, new, at_new..new_times.len());
    std::mem::swap(new, spare);
    lost
}

fn append(to: &mut SeriesBuffer, from: &SeriesBuffer, points: Range<usize>) {
    to.timestamps_ms
        .extend_from_slice(&from.timestamps_ms[points.clone()]);
    to.values.extend_from_slice(&from.values[points]);
}

impl AmendRule {
    /// For orders that mean `chains`; `None` of an org whose old pipeline is not sealed: nothing amends it.
    pub fn new(timelines: &Timelines, org: OrgId, chains: &ChainTable) -> Option<Self> {
        let seal = timelines.cutover(org)?.seal.as_ref()?;
        let ends = chains
            .chains()
            .iter()
            .map(|chain| seal.0.get(chain).copied());
        Some(Self {
            timelines: timelines.clone(),
            org,
            ends: ends.collect(),
        })
    }

    /// Drops what amends nothing where the old pipeline is visible.
    pub fn apply(&self, points: &mut SeriesBuffer) {
        let records = points.orders.iter();
        let records = records.flat_map(|run| std::iter::repeat_n(run.order, run.points as usize));
        let kept = points.timestamps_ms.iter().zip(records).map(|(ms, order)| {
            let is_own = owner(&self.timelines, self.org, TimestampMs(*ms)) == Pipeline::New;
            (is_own || self.is_beyond(order)).then_some(order)
        });
        let kept: Vec<Option<Order>> = kept.collect();
        points.orders.clear();
        for order in kept.iter().flatten() {
            points.push_order(OrderRun {
                order: *order,
                points: 1,
            });
        }
        let keep: Vec<bool> = kept.iter().map(Option::is_some).collect();
        retain(&mut points.timestamps_ms, &keep);
        retain(&mut points.values, &keep);
    }

    fn is_beyond(&self, order: Order) -> bool {
        let end = self.ends.get(order.chain.0 as usize).copied().flatten();
        end.is_none_or(|end| order.offset >= end)
    }
}

fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| *keep.next().expect("both columns are as long"));
}
