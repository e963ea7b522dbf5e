//! What a reader takes for complete by the claims of workers, alive or stalled or gone, is complete.
//!
//! The readers' own judgement (`skein_shared::completeness`) is asked after every claim and every entry, and compared with
//! what Kafka had got.

use std::collections::BTreeMap;

use skein_shared::completeness::{ChainFacts, EntryTimes, JudgedAt, Standing, watermark};
use skein_shared::format::ledger_entry::LedgerEntry;
use skein_shared::format::worker_status::WorkerStatus;
use skein_shared::ids::Chain;
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;
use skein_shared::window::TimestampMs;

use crate::model_kafka::log::Log;
use crate::model_kafka::{ModelKafka, Place};
use crate::model_s3::time_at;
use crate::promise_check::{ChainState, PromiseCheck, Verdict, broken, violation};

impl PromiseCheck {
    pub(super) fn status_written(
        &mut self,
        kafka: &ModelKafka,
        key: &str,
        bytes: &[u8],
    ) -> Verdict {
        let (_, status) = WorkerStatus::decode(bytes).map_err(|error| {
            violation(Promise::CompleteOrInvisible, format!("`{key}`: {error}"))
        })?;
        self.statuses.insert(status.worker, status);
        self.watermarks_hold(kafka)
    }

    /// SK-3: who closes a window at a watermark loses nothing that comes as late as it may, or less.
    pub(super) fn watermarks_hold(&mut self, kafka: &ModelKafka) -> Verdict {
        let mut facts = BTreeMap::new();
        let mut places: BTreeMap<Chain, (Place, &ChainState)> = BTreeMap::new();
        for ((place, _), state) in &self.chains {
            facts.insert(state.chain.clone(), state.facts());
            places.insert(state.chain.clone(), (*place, state));
        }
        let statuses: Vec<WorkerStatus> = self.statuses.values().cloned().collect();
        let at = JudgedAt {
            now: TimestampMs::default(),
            delay: self.delay,
        };
        let judged = watermark(&facts, &statuses, at);
        for (chain, standing) in &judged.chains {
            let Standing::UpTo(reached) = standing else {
                continue;
            };
            self.watermarks += 1;
            let (place, state) = places[chain];
            let log = kafka.log(place);
            if !state.goes_on_in(log) {
                // That the log is another, or has lost records, shows when it is read.
                continue;
            }
            if let Some(offset) = self.undurable_before(log, state.end, reached.watermark) {
                let words = format!(
                    "{chain} is said to be complete to {}, {offset} is not durable: {:?}",
                    reached.watermark.0, reached
                );
                return broken(Promise::NothingLost, words);
            }
        }
        Ok(())
    }

    /// A record from `end` on that has an earlier time and came no later after it than readers grant: half of their
    /// delay, the other half is for producers whose clocks run ahead.
    fn undurable_before(&self, log: &Log, end: Offset, watermark: TimestampMs) -> Option<Offset> {
        let mut next = log.next_at(end);
        while let Some((offset, record)) = next {
            let time = record.timestamp.time();
            let is_due = time.is_some_and(|time| {
                let latest = time.0 + (self.delay.0 / 2).cast_signed();
                time < watermark && time_at(record.appended_at).0 <= latest
            });
            if is_due {
                return Some(offset);
            }
            next = log.next_at(offset.next());
        }
        None
    }
}

/// Times of the entry that a chain ends with.
pub(super) fn times_of(entry: &LedgerEntry) -> Option<EntryTimes> {
    let times = entry.times?;
    Some(EntryTimes {
        oldest: times.oldest,
        newest: times.newest,
        last: entry.last.and_then(|last| last.timestamp.time()),
    })
}

impl ChainState {
    fn facts(&self) -> ChainFacts {
        ChainFacts {
            end: self.end,
            times: self.times,
            retired_at: None,
        }
    }
}
