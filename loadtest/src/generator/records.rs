//! The records of a generator, in the order in which they have to be sent.

use std::collections::BTreeMap;

use skein_shared::payload::Payload;
use skein_shared::series::SERIES_METADATA_KEY;
use skein_shared::window::TimestampMs;

use crate::generator::arrival::{Arrival, FollowUp, REPEATED_POINTS, Values, record_time};
use crate::generator::outgoing::OutgoingRecord;
use crate::generator::poison::Poison;
use crate::generator::series_plan::SeriesPlan;
use crate::generator::walk::Walk;
use crate::generator::{Generator, GeneratorSettings};

/// Gives one record after the other.
#[derive(Debug)]
pub struct Records<'a> {
    settings: &'a GeneratorSettings,
    plans: &'a [SeriesPlan],
    /// Where each series stands: before its chunk of the current step.
    walks: Vec<Walk>,
    step: u64,
    /// One beyond the last step in which a series has a chunk of its own.
    own_steps: u64,
    next_plan: usize,
    poisoned: u32,
    /// What earlier steps have left to be sent, by step, in order.
    pending: BTreeMap<u64, Vec<Pending>>,
    due: std::vec::IntoIter<Pending>,
    payload: Payload,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    plan: usize,
    chunk: u64,
    walk: Walk,
    follow_up: FollowUp,
}

impl<'a> Records<'a> {
    pub(super) fn new(generator: &'a Generator) -> Self {
        let (settings, plans) = (&generator.settings, generator.plans.as_slice());
        let own_steps = plans.iter().map(|plan| plan.chunk_count(settings)).max();
        Self {
            settings,
            plans,
            walks: plans.iter().map(|plan| Walk::new(settings, plan)).collect(),
            step: 0,
            own_steps: own_steps.expect("settings have at least one series"),
            next_plan: 0,
            poisoned: 0,
            pending: BTreeMap::new(),
            due: Vec::new().into_iter(),
            payload: Payload::default(),
        }
    }

    /// Writes the next record into `out`; `false` when there is none.
    pub fn next_into(&mut self, out: &mut OutgoingRecord) -> bool {
        loop {
            if self.next_poison(out) || self.next_own(out) || self.next_due(out) {
                return true;
            }
            self.step += 1;
            if self.step >= self.own_steps && self.pending.is_empty() {
                return false;
            }
            self.next_plan = 0;
            self.due = self
                .pending
                .remove(&self.step)
                .unwrap_or_default()
                .into_iter();
        }
    }

    /// Poison comes at the start of a step, spread over all of them.
    fn next_poison(&mut self, out: &mut OutgoingRecord) -> bool {
        let until =
            (self.step + 1).min(self.own_steps) * u64::from(self.settings.poison) / self.own_steps;
        if u64::from(self.poisoned) >= until {
            return false;
        }
        let time = record_time(self.settings, self.step);
        Poison::of(self.poisoned).write(self.poisoned, time, out);
        self.poisoned += 1;
        true
    }

    /// The chunks of this step, series by series.
    fn next_own(&mut self, out: &mut OutgoingRecord) -> bool {
        while let Some(plan) = self.plans.get(self.next_plan) {
            let (index, chunk) = (self.next_plan, self.step);
            self.next_plan += 1;
            if chunk >= plan.chunk_count(self.settings) {
                continue;
            }
            let before = self.walks[index];
            let arrival = Arrival::of(self.settings, plan.number, chunk);
            if let Some(follow_up) = arrival.follow_up(self.settings, chunk) {
                self.pending
                    .entry(follow_up.step)
                    .or_default()
                    .push(Pending {
                        plan: index,
                        chunk,
                        walk: before,
                        follow_up,
                    });
            }
            self.walks[index] = self.fill_payload(plan, chunk, before);
            if !arrival.is_sent_in_its_step() {
                continue;
            }
            if arrival == Arrival::Repeating {
                self.repeat_first_points();
            }
            self.write(plan, record_time(self.settings, chunk), out);
            return true;
        }
        false
    }

    /// What earlier steps have left for the end of this one.
    fn next_due(&mut self, out: &mut OutgoingRecord) -> bool {
        let Some(pending) = self.due.next() else {
            return false;
        };
        let plan = &self.plans[pending.plan];
        self.fill_payload(plan, pending.chunk, pending.walk);
        match pending.follow_up.values {
            Values::Own => {}
            Values::Others => self.payload.values.rotate_left(1),
        }
        self.write(plan, pending.follow_up.timestamp, out);
        true
    }

    /// Computes one chunk; gives where the series stands behind it.
    fn fill_payload(&mut self, plan: &SeriesPlan, chunk: u64, mut walk: Walk) -> Walk {
        self.payload.timestamps.clear();
        self.payload.values.clear();
        for _ in 0..plan.chunk_points(self.settings, chunk) {
            let (timestamp, value) = walk.next();
            self.payload.timestamps.push(TimestampMs(timestamp));
            self.payload.values.push(value);
        }
        walk
    }

    fn repeat_first_points(&mut self) {
        let (timestamps, values) = (&mut self.payload.timestamps, &mut self.payload.values);
        let count = values.len();
        for i in 0..REPEATED_POINTS.min(count) {
            timestamps.push(timestamps[i]);
            values.push(values[(i + 1) % count]);
        }
    }

    fn write(&mut self, plan: &SeriesPlan, timestamp: TimestampMs, out: &mut OutgoingRecord) {
        self.payload.org = plan.key.org;
        self.payload.metric = plan.key.metric;
        self.payload.metadata.clear();
        let entry = |key: &str, value: String| (key.to_owned(), value);
        self.payload
            .metadata
            .push(entry(SERIES_METADATA_KEY, plan.text.clone()));
        self.payload
            .metadata
            .push(entry("type", plan.kind.to_string()));
        out.set_payload(&self.payload);
        out.timestamp = timestamp;
        if !plan.number.is_multiple_of(4) {
            out.org_header = Some(plan.key.org.to_string());
        }
    }
}
