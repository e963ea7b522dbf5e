//! Segments.

use std::rc::Rc;

use skein_config::cutover::timelines::OwnershipFilter;
use skein_shared::format::order_column::Order;
use skein_shared::format::segment_reader::SeriesBuffer;

use crate::cutover_history::input::Place;
use crate::cutover_history::node::Known;

/// The points of all series that one commit wrote.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The fleet that they were filtered by; of points that nobody filtered the oldest that wrote any.
    pub fleet: u64,
    /// Whether they were filtered.
    pub filter: OwnershipFilter,
    /// Whether it keeps orders.
    pub body: Body,
    /// By the number of the series.
    pub series: Vec<SeriesBuffer>,
}

/// Whether a segment keeps where its points came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It does.
    Overlay,
    /// It does not: all of its points come before those of overlays.
    Base,
}

impl Segment {
    /// Nothing of any series.
    pub fn empty(series: usize, known: &Known) -> Self {
        Self {
            fleet: known.fleet,
            filter: known.timelines.filter(),
            body: Body::Overlay,
            series: vec![SeriesBuffer::default(); series],
        }
    }

    /// What several become, without points yet.
    pub fn merge_of(series: usize, replaced: &[Rc<Self>], (known, body): (&Known, Body)) -> Self {
        let mut merged = Self {
            body,
            ..Self::empty(series, known)
        };
        if merged.filter == OwnershipFilter::Everything {
            let oldest = replaced.iter().map(|segment| segment.fleet).min();
            merged.fleet = oldest.map_or(merged.fleet, |oldest| oldest.min(merged.fleet));
            merged.body = Body::Overlay;
        }
        merged
    }

    /// The points of a series, each with its order.
    pub fn points(&self, series: usize) -> impl Iterator<Item = (i64, f64, Order)> {
        let buffer = &self.series[series];
        let runs = buffer.orders.iter();
        let orders = runs.flat_map(|run| (0..run.points).map(move |_| run.order));
        let points = buffer.timestamps_ms.iter().zip(&buffer.values);
        points
            .zip(orders)
            .map(|((at, value), order)| (*at, *value, order))
    }

    /// How many points it has.
    pub fn len(&self) -> u64 {
        self.series.iter().map(|it| it.values.len() as u64).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place that an order names.
    ///
    /// # Panics
    /// If its offset is below 0.
    pub fn place(order: &Order) -> Place {
        Place {
            chain: order.chain.0 as usize,
            offset: usize::try_from(order.offset.0).expect("offsets are small"),
        }
    }
}
