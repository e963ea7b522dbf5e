//! Records that come: on time, late, twice, again, and from the future.

use crate::cutover_history::chance::History;
use crate::cutover_history::input::Record;
use crate::cutover_history::plan::RecordClock;

impl History {
    pub(super) fn repeated(&mut self, series: usize) -> Option<Record> {
        let places = self.world.input.places(series);
        let place = self.rng.choice(places)?;
        let mut record = self.world.input.record(*place).clone();
        if self.world.plan.record_clock == RecordClock::Steady {
            record.timestamp = self.record_timestamp(series);
        }
        self.world.counts.replays += 1;
        Some(record)
    }

    pub(super) fn fresh(&mut self, series: usize) -> Record {
        let timestamp = self.record_timestamp(series);
        let points = self.rng.usize(1..=3);
        let points = (0..points).map(|_| (self.time(series), self.value()));
        let points = points.collect();
        Record {
            series,
            timestamp,
            points,
        }
    }

    fn record_timestamp(&mut self, series: usize) -> i64 {
        let now = self.world.now;
        match self.world.plan.record_clock {
            RecordClock::Jittered => now + self.rng.i64(-60..=20),
            RecordClock::Steady => {
                let input = &self.world.input;
                let last = input.places(series).last();
                let last = last.map(|place| input.record(*place).timestamp + 1);
                last.map_or(now, |last| last.max(now))
            }
        }
    }

    /// Now and then two writes have the same value.
    fn value(&mut self) -> f64 {
        if self.rng.u8(0..5) > 0 {
            self.next_value += 1;
        }
        f64::from(self.next_value)
    }

    fn time(&mut self, series: usize) -> i64 {
        let now = self.world.now;
        let (born, dead) = self.lives[series];
        let future = self.world.plan.future_per_mille;
        if self.rng.u32(0..1000) < future {
            self.world.counts.future += 1;
            return now + self.rng.i64(10..400);
        }
        let is_alive = (born..dead).contains(&now);
        match self.rng.u8(0..10) {
            0..5 if is_alive => now + self.rng.i64(-8..=5),
            0..7 => {
                let at = now - self.rng.i64(0..700);
                let at = if born > now {
                    now
                } else {
                    at.clamp(born, dead.min(now))
                };
                self.world.counts.late += u64::from(self.world.is_late(at));
                at
            }
            _ => self.known_time(series),
        }
    }

    fn known_time(&mut self, series: usize) -> i64 {
        let places = self.world.input.places(series);
        let Some(place) = self.rng.choice(places) else {
            return self.world.now;
        };
        self.world.counts.duplicates += 1;
        let points = &self.world.input.record(*place).points;
        points[self.rng.usize(0..points.len())].0
    }
}
