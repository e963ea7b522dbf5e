//! The new pipeline: compactors that plan and commit, manifests, segments.

mod segment;
mod job;

pub use job::{Job, Refusal};
pub use segment::{Body, Segment};

use std::rc::Rc;

use skein_compactor::duplicate_rule::SeriesMerge;
use skein_config::cutover::owner::{amends, writers};
use skein_config::cutover::timelines::OwnershipFilter;
use skein_shared::cutover::CutoverState;
use skein_shared::format::order_column::{Order, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::timeline::Pipeline;
use skein_shared::window::TimestampMs;

use crate::cutover_history::input::{self, Input, Place, Positions, org_id, org_of};
use crate::cutover_history::mutant::Mutant;
use crate::cutover_history::node::Known;
use crate::cutover_history::plan::CHAINS;

/// The newest manifest of the one shard that there is.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What the segments hold.
    pub positions: Positions,
    /// The live segments.
    pub live: Vec<Rc<Segment>>,
    /// The fleet that it was made with; it never names an older one than the manifest before.
    pub fleet: u64,
    /// For each org the latest time of a point that was left out.
    pub filtered_to: Vec<i64>,
    /// Where the points went.
    pub account: Account,
}

/// Where all points below the positions went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// That came in.
    pub gathered: u64,
    /// That lost to a later write.
    pub duplicates: u64,
    /// That were left to the old pipeline.
    pub not_owned: u64,
    /// That amend what the old pipeline has.
    pub amended: u64,
}

/// What new segments are made with.
#[derive(Debug)]
pub struct Writing<'a> {
    /// The records.
    pub input: &'a Input,
    /// By what they are filtered.
    pub known: &'a Known,
    /// For each org the fleet that named its seal.
    pub sealed_in: &'a [Option<u64>],
    /// The rule that is broken.
    pub mutant: Option<Mutant>,
}

impl Manifest {
    /// Before the first commit.
    pub fn first(orgs: usize) -> Self {
        Self {
            positions: [0; CHAINS],
            live: Vec::new(),
            fleet: 0,
            filtered_to: vec![i64::MIN; orgs],
            account: Account::default(),
        }
    }
}

impl Writing<'_> {
    /// Whether the new pipeline writes the point of a record.
    fn keeps(&self, org: usize, at: i64, place: Place) -> bool {
        let timelines = &self.known.timelines;
        let id = org_id(org);
        let state = timelines.cutover(id).map(|cutover| cutover.state);
        let asked = match self.mutant {
            Some(Mutant::WritesByNow) => self.known.now,
            Some(Mutant::LateToNewBeforeSeal) if state == Some(CutoverState::Contracting) => {
                self.known.now
            }
            Some(_) | None => at,
        };
        if writers(timelines, id, TimestampMs(asked)).contain(Pipeline::New) {
            return true;
        }
        let chain = input::chain(place.chain);
        amends(timelines, id, TimestampMs(at)).is_some_and(|vector| {
            self.mutant == Some(Mutant::AmendsBelowVector)
                || vector.is_beyond(chain, input::offset(place.offset))
        })
    }

    /// Whether a merge keeps a point of a base, which does not say of which record it is.
    fn keeps_of_base(&self, org: usize, at: i64, fleet: u64) -> bool {
        let timelines = &self.known.timelines;
        let id = org_id(org);
        let is_written = writers(timelines, id, TimestampMs(at)).contain(Pipeline::New);
        let amended = amends(timelines, id, TimestampMs(at)).is_some();
        let knew = self.sealed_in[org].is_some_and(|sealed_in| sealed_in <= fleet);
        is_written || (amended && knew)
    }

    /// A segment of the records between two positions.
    pub fn records(&self, series: usize, from: Positions, to: Positions) -> Job {
        let mut job = Job::of(from, to, self.known, series);
        let mut merge = SeriesMerge::default();
        let mut segment = Segment::empty(series, self.known);
        for number in 0..series {
            merge.clear();
            let is_inside =
                |place: &&Place| (from[place.chain]..to[place.chain]).contains(&place.offset);
            for place in self.input.places(number).iter().filter(is_inside) {
                self.gather(&mut merge, &mut job, *place);
            }
            let counts = merge.merge_into(&mut segment.series[number]);
            job.account.duplicates += counts.duplicates;
        }
        job.segment = Some(Rc::new(segment));
        job
    }

    fn gather(&self, merge: &mut SeriesMerge, job: &mut Job, place: Place) {
        let record = self.input.record(place);
        let org = org_of(record.series);
        job.account.gathered += record.points.len() as u64;
        merge.gather_record(self.input.order(place), |times, values| {
            let (kept, left): (Vec<_>, Vec<_>) = record
                .points
                .iter()
                .partition(|(at, _)| self.keeps(org, *at, place));
            for (at, _) in left {
                job.leave_out(org, at);
            }
            for (at, value) in kept {
                let id = org_id(org);
                let is_amended = amends(&self.known.timelines, id, TimestampMs(at)).is_some();
                job.account.amended += u64::from(is_amended);
                times.push(at);
                values.push(value);
            }
        });
    }

    /// One segment in place of several.
    ///
    /// # Panics
    /// If a series has more than 2^32 points.
    pub fn merged(&self, series: usize, replaced: &[Rc<Segment>], body: Body) -> Job {
        let mut job = Job::of([0; CHAINS], [0; CHAINS], self.known, series);
        let mut merge = SeriesMerge::default();
        let mut segment = Segment::merge_of(series, replaced, (self.known, body));
        for number in 0..series {
            merge.clear();
            for before in replaced {
                let kept = self.kept_of(before, number, &mut job);
                merge.gather_segment(&kept);
            }
            let out = &mut segment.series[number];
            let counts = merge.merge_into(out);
            job.account.duplicates += counts.duplicates;
            if segment.body == Body::Base {
                out.orders.clear();
                let points = u32::try_from(out.values.len()).expect("few points");
                let order = Order::default();
                let run = (points > 0).then_some(OrderRun { order, points });
                out.orders.extend(run);
            }
        }
        job.segment = Some(Rc::new(segment));
        job.replaced = replaced.to_vec();
        job
    }

    fn kept_of(&self, segment: &Segment, series: usize, job: &mut Job) -> SeriesBuffer {
        let org = org_of(series);
        let mut kept = SeriesBuffer::default();
        for (at, value, order) in segment.points(series) {
            let keeps = match (self.known.timelines.filter(), segment.body) {
                (OwnershipFilter::Everything, _) => true,
                (OwnershipFilter::Owned, Body::Overlay) => {
                    self.keeps(org, at, Segment::place(&order))
                }
                (OwnershipFilter::Owned, Body::Base) => self.keeps_of_base(org, at, segment.fleet),
            };
            if !keeps {
                job.leave_out(org, at);
                continue;
            }
            kept.timestamps_ms.push(at);
            kept.values.push(value);
            kept.push_order(OrderRun { order, points: 1 });
        }
        kept
    }
}
