//! What a reader returns: points of both pipelines, by the timelines that it goes by.

use skein_compactor::duplicate_rule::SeriesMerge;
use skein_config::cutover::owner::{amends, owner, writers};
use skein_config::cutover::timelines::{OwnershipFilter, Timelines};
use skein_shared::format::order_column::{Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::timeline::{Pipeline, SealVector};
use skein_shared::window::TimestampMs;

use crate::cutover_history::input::{self, org_id, org_of};
use crate::cutover_history::mutant::Mutant;
use crate::cutover_history::new_side::{Body, Manifest, Segment};
use crate::cutover_history::old_side::OldSide;

/// Both sides, and the timelines by which they are read.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The old pipeline's files.
    pub old: &'a OldSide,
    /// The new pipeline's newest manifest.
    pub new: &'a Manifest,
    /// The reader's timelines.
    pub timelines: &'a Timelines,
    /// For each org the fleet that named its seal.
    pub sealed_in: &'a [Option<u64>],
    /// The rule that is broken.
    pub mutant: Option<Mutant>,
}

impl Reading<'_> {
    /// The points of a series, in ascending time.
    pub fn points(&self, series: usize) -> Vec<(i64, f64)> {
        let org = org_of(series);
        let new = self.new_points(series);
        let new = new.timestamps_ms.iter().copied().zip(new.values);
        let mut points: Vec<(i64, f64)> = new.collect();
        // The new pipeline's come first, so that they win where both have an instant that is amended.
        let is_shown = |at: i64| owner(self.timelines, org_id(org), TimestampMs(at));
        let old = self.old.points(series).into_iter();
        let old = old.filter(|write| is_shown(write.at) == Pipeline::Old);
        points.extend(old.map(|write| (write.at, write.value)));
        points.sort_by_key(|(at, _)| *at);
        points.dedup_by_key(|(at, _)| *at);
        points
    }

    /// What the new pipeline's segments hold of a series, whoever is visible there: what its rollups are made of.
    pub fn stored(&self, series: usize) -> Vec<(i64, f64)> {
        let mut merge = SeriesMerge::default();
        for segment in &self.new.live {
            merge.gather_segment(&segment.series[series]);
        }
        let mut merged = SeriesBuffer::default();
        merge.merge_into(&mut merged);
        let times = merged.timestamps_ms.into_iter();
        times.zip(merged.values).collect()
    }

    fn new_points(&self, series: usize) -> SeriesBuffer {
        let mut merge = SeriesMerge::default();
        for segment in &self.new.live {
            let mut shown = SeriesBuffer::default();
            let points = segment.points(series);
            let points = points.filter(|(at, _, order)| self.shows(segment, series, (*at, order)));
            for (at, value, order) in points {
                shown.timestamps_ms.push(at);
                shown.values.push(value);
                shown.push_order(OrderRun { order, points: 1 });
            }
            merge.gather_segment(&shown);
        }
        let mut merged = SeriesBuffer::default();
        merge.merge_into(&mut merged);
        merged
    }

    /// Whether a point of a segment is shown, or stands in for one of the old pipeline's.
    fn shows(&self, segment: &Segment, series: usize, (at, order): (i64, &Order)) -> bool {
        let (org, at) = (org_of(series), TimestampMs(at));
        let id = org_id(org);
        if owner(self.timelines, id, at) == Pipeline::New {
            return true;
        }
        let cutover = self.timelines.cutover(id);
        if cutover.is_none_or(|cutover| cutover.seal.is_none()) {
            return false;
        }
        if writers(self.timelines, id, at).contain(Pipeline::New) {
            return true;
        }
        amends(self.timelines, id, at).is_some_and(|vector| {
            self.knew_seal(segment, org) || lies_beyond(vector, segment, order)
        })
    }

    /// Whether the segment holds of amended spans nothing but amendments.
    fn knew_seal(&self, segment: &Segment, org: usize) -> bool {
        if self.mutant == Some(Mutant::TakesLeftovers) {
            return true;
        }
        let knew = self.sealed_in[org].is_some_and(|sealed_in| sealed_in <= segment.fleet);
        knew && segment.filter == OwnershipFilter::Owned
    }
}

fn lies_beyond(vector: &SealVector, segment: &Segment, order: &Order) -> bool {
    match segment.body {
        Body::Overlay => {
            let place = Segment::place(order);
            vector.is_beyond(input::chain(place.chain), input::offset(place.offset))
        }
        // What it is made of came before every seal that it does not know.
        Body::Base => false,
    }
}
