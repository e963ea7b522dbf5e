//! What is produced: records of several orgs, poison, and offsets that hold no record.

use fastrand::Rng;
use skein_shared::format::frame::{HeaderBuffer, RecordTimestamp};
use skein_shared::payload::ORG_HEADER;
use skein_shared::window::TimestampMs;

use crate::model_kafka::Place;
use crate::model_kafka::log::Record;
use crate::model_s3::EPOCH;
use crate::world::World;
use crate::world::agenda::Turn;
use crate::world::plan::PAYLOAD_LIMIT;

const DAY_MS: i64 = 24 * 3_600 * 1_000;

impl World {
    pub(super) fn produce_turn(&mut self) {
        if !self.is_unsafe() {
            return;
        }
        for _ in 0..self.rng.u32(1..6) {
            self.produce();
        }
        let at = self.now + self.rng.u64(10..=self.plan.produce_every_ms);
        self.agenda.set(at, Turn::Produce);
    }

    /// Appends to some partition.
    pub(super) fn produce(&mut self) {
        let place = self.rng.usize(..self.plan.partitions);
        // A log made anew has a record wherever the ledger's last one may have been.
        let is_gap = self.kafka.log(place).history() == 0 && self.rng.u8(..8) == 0;
        let ahead_ms = self.plan.delay.0 / 2;
        let record = (!is_gap).then(|| record(&mut self.rng, self.now, ahead_ms));
        if self.may_grow(place) {
            let (_, log) = &mut self.kafka.partitions[place];
            log.append(record);
            let high = log.high().0.cast_unsigned();
            self.trace.note(self.now, "produced", &[place as u64, high]);
        }
    }

    /// A log that was made anew is told from the one before by its end, and by the ledger's last record where Kafka holds
    /// it. Where neither can tell them apart the model keeps the new one short.
    fn may_grow(&self, place: Place) -> bool {
        let log = self.kafka.log(place);
        let Some(chain) = self.check.newest_chain(place) else {
            return true;
        };
        let is_told_apart =
            chain.goes_on_in(log) || chain.last.is_some_and(|last| log.low() <= last);
        is_told_apart || log.high().next() < chain.end
    }
}

/// A record that is produced now, by a clock that runs ahead by at most so much.
fn record(rng: &mut Rng, now: u64, ahead_ms: u64) -> Record {
    let org = rng.u64(..9);
    let kind = rng.u8(..100);
    let mut headers = HeaderBuffer::default();
    if kind < 20 {
        headers.push(ORG_HEADER.as_bytes(), Some(org.to_string().as_bytes()));
    }
    if kind % 10 == 3 {
        headers.push(b"trace", None);
    }
    let length = match rng.u8(..40) {
        0 => rng.usize(500..1_400),
        1 => usize::try_from(PAYLOAD_LIMIT).expect("it is small") + rng.usize(1..400),
        _ => rng.usize(4..120),
    };
    let mut value = vec![8, u8::try_from(org).expect("there are few orgs")];
    value.extend(std::iter::repeat_with(|| rng.u8(..)).take(length));
    let mut poison = value.len() as u64 > PAYLOAD_LIMIT;
    let mut value = Some(value);
    if (90..94).contains(&kind) {
        (value, poison) = poisoned(rng, &mut headers);
    }
    Record {
        timestamp: timestamp(rng, now, ahead_ms),
        key: (rng.u8(..3) == 0).then(|| vec![rng.u8(..); rng.usize(..9)]),
        value,
        headers,
        org: (!poison).then_some(org),
        appended_at: now,
    }
}

fn poisoned(rng: &mut Rng, headers: &mut HeaderBuffer) -> (Option<Vec<u8>>, bool) {
    match rng.u8(..4) {
        0 => (None, true),
        1 => (Some(Vec::new()), true),
        2 => {
            headers.push(ORG_HEADER.as_bytes(), Some(b"seven"));
            (Some(vec![8, 7]), true)
        }
        _ => (Some(vec![0xff; rng.usize(1..30)]), true),
    }
}

fn timestamp(rng: &mut Rng, now: u64, ahead_ms: u64) -> RecordTimestamp {
    let time = EPOCH + now.cast_signed();
    match rng.u8(..30) {
        0 => RecordTimestamp::Missing,
        1 => RecordTimestamp::Created(TimestampMs(time + 40_000 * DAY_MS)),
        2 => RecordTimestamp::Created(TimestampMs(-time)),
        3..6 => RecordTimestamp::Created(TimestampMs(time + rng.i64(-2..3) * DAY_MS)),
        6..10 => RecordTimestamp::Appended(TimestampMs(time)),
        10..15 => {
            let ahead = rng.u64(0..=ahead_ms).cast_signed();
            RecordTimestamp::Created(TimestampMs(time + ahead))
        }
        _ => RecordTimestamp::Created(TimestampMs(time - rng.i64(0..5_000))),
    }
}
