//! The old pipeline: a consumer for each partition, files that are never changed, offsets that hand over.

use std::ops::Range;

use skein_config::cutover::owner::writers;
use skein_config::cutover::timelines::OwnershipFilter;
use skein_shared::cutover::CutoverState;
use skein_shared::timeline::Pipeline;
use skein_shared::window::TimestampMs;

use crate::cutover_history::input::{Input, Place, Positions, org_id, org_of};
use crate::cutover_history::mutant::Mutant;
use crate::cutover_history::node::Known;
use crate::cutover_history::oracle::{Write, last_of_each};
use crate::cutover_history::plan::CHAINS;

/// What the old pipeline has written, and up to where it has read.
#[derive(Debug, Clone)]
pub struct OldSide {
    writes: Vec<(usize, Write)>,
    /// Committed offsets.
    pub positions: Positions,
    /// For each org the records that were read for it.
    read: Vec<[Vec<Range<usize>>; CHAINS]>,
    /// For each org the latest time of a point that was left out.
    pub filtered_to: Vec<i64>,
    /// Which node has which partition.
    pub assigned: [usize; CHAINS],
    /// What a node still holds of a partition that it has lost.
    pub held: Vec<(usize, usize, Range<usize>)>,
    mutant: Option<Mutant>,
}

impl OldSide {
    /// Nothing is read.
    pub fn new(orgs: usize, nodes: usize, mutant: Option<Mutant>) -> Self {
        Self {
            writes: Vec::new(),
            positions: [0; CHAINS],
            read: vec![Default::default(); orgs],
            filtered_to: vec![i64::MIN; orgs],
            assigned: std::array::from_fn(|chain| chain % nodes),
            held: Vec::new(),
            mutant,
        }
    }

    /// Writes a file of the records up to `to`, and then commits.
    pub fn flush(&mut self, input: &Input, known: &Known, chain: usize, to: usize) {
        let span = self.positions[chain]..to;
        self.write(input, known, chain, span);
        self.positions[chain] = to;
    }

    /// Gives a partition to another node; the one that loses it may hold what it had read.
    pub fn reassign(&mut self, chain: usize, to: usize, holds: usize) {
        let from = self.positions[chain];
        if holds > from {
            let node = self.assigned[chain];
            self.held.push((node, chain, from..holds));
        }
        self.assigned[chain] = to;
    }

    /// Writes a file, whoever it comes from.
    pub fn write(&mut self, input: &Input, known: &Known, chain: usize, span: Range<usize>) {
        for offset in span.clone() {
            let place = Place { chain, offset };
            self.write_record(input, known, place);
        }
        for (org, read) in self.read.iter_mut().enumerate() {
            if !has_ended(known, org) {
                read[chain].push(span.clone());
            }
        }
    }

    fn write_record(&mut self, input: &Input, known: &Known, place: Place) {
        let record = input.record(place);
        let org = org_of(record.series);
        for (index, (at, value)) in record.points.iter().enumerate() {
            if !keeps(known, org, *at, self.mutant) {
                self.filtered_to[org] = self.filtered_to[org].max(*at);
                continue;
            }
            let write = Write {
                at: *at,
                beyond: 0,
                record: record.timestamp,
                place,
                index,
                value: *value,
            };
            self.writes.push((record.series, write));
        }
    }

    /// Whether a record was read for an org.
    pub fn has_read(&self, org: usize, place: Place) -> bool {
        let read = &self.read[org][place.chain];
        read.iter().any(|span| span.contains(&place.offset))
    }

    /// The points of a series, the last write of each time.
    pub fn points(&self, series: usize) -> Vec<Write> {
        let of_series = self.writes.iter().filter(|(of, _)| *of == series);
        last_of_each(of_series.map(|(_, write)| *write).collect())
    }
}

/// Whether the old pipeline has ended for an org, as far as the node knows. One that does not know goes on.
fn has_ended(known: &Known, org: usize) -> bool {
    let cutover = known.timelines.cutover(org_id(org));
    let ended = |state| matches!(state, CutoverState::Sealed | CutoverState::Done);
    let is_over = cutover.is_some_and(|cutover| ended(cutover.state));
    is_over && known.timelines.filter() == OwnershipFilter::Owned
}

/// Whether the old pipeline writes a point.
fn keeps(known: &Known, org: usize, at: i64, mutant: Option<Mutant>) -> bool {
    match known.timelines.filter() {
        OwnershipFilter::Everything => return true,
        OwnershipFilter::Owned => {}
    }
    if has_ended(known, org) {
        return false;
    }
    let cutover = known.timelines.cutover(org_id(org));
    let state = cutover.map(|cutover| cutover.state);
    let asked = match mutant {
        Some(Mutant::WritesByNow) => known.now,
        Some(Mutant::LateToNewBeforeSeal) if state == Some(CutoverState::Contracting) => known.now,
        Some(_) | None => at,
    };
    writers(&known.timelines, org_id(org), TimestampMs(asked)).contain(Pipeline::Old)
}
