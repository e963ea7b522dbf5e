//! What processes promise: replay, memory, and no alarm without a fire.

use skein_connector::core::action::StopReason;
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;
use skein_shared::units::Millis;

use crate::model_kafka::{ModelKafka, Place};
use crate::promise_check::{PromiseCheck, Verdict, broken};

/// Bytes beyond the budget that a worker may hold: one record, and heads and footers of the objects on their way.
const MEMORY_SLACK: u64 = 24 * 1024;

/// How long a flush takes on its way in a quiet world: a dozen requests, one after the other.
const FLUSH_MS: u64 = 1_000;

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// By its own count.
    pub counted_bytes: u64,
    /// In blocks that are compressed and requests that are under way, by ours.
    pub leaving_bytes: u64,
    /// What it may hold.
    pub limit_bytes: u64,
}

/// How far a process has read a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// Where.
    pub place: Place,
    /// Behind the last record that it was given.
    pub to: Offset,
}

impl PromiseCheck {
    /// SK-5: who says that it stopped with everything flushed has left nothing to be read again.
    ///
    /// # Errors
    /// SK-5.
    pub fn stopped(&self, reads: Reads) -> Verdict {
        let end = self.newest_chain(reads.place).map(|chain| chain.end);
        if end.is_some_and(|end| reads.to <= end) {
            return Ok(());
        }
        let Reads { place, to } = reads;
        let words = format!(
            "a worker stopped after it read partition {place} to {to}, the ledger ends at {end:?}"
        );
        broken(Promise::BoundedReplay, words)
    }

    /// Whether the ledger covers an offset.
    pub fn is_durable(&self, place: Place, offset: Offset) -> bool {
        let chain = self.newest_chain(place);
        chain.is_some_and(|chain| offset < chain.end)
    }

    /// SK-5: who is killed while nothing else goes wrong leaves to be read again what came within a flush interval, and
    /// while a flush is on its way. `age` is that of the oldest record that the ledger does not cover.
    ///
    /// # Errors
    /// SK-5.
    pub fn killed(&self, reads: Reads, age: Millis) -> Verdict {
        let interval = self.settings.flush_interval;
        if age.0 <= interval.0 + FLUSH_MS {
            return Ok(());
        }
        let Reads { place, to } = reads;
        let words = format!(
            "a worker was killed after it read partition {place} to {to}: the oldest record that is to be read again was \
             given {age} before, the flush interval is {interval}"
        );
        broken(Promise::BoundedReplay, words)
    }

    /// SK-6.
    ///
    /// # Errors
    /// SK-6.
    pub fn holds(held: Held) -> Verdict {
        let most = held.limit_bytes + MEMORY_SLACK;
        if held.counted_bytes <= most && held.leaving_bytes <= most {
            return Ok(());
        }
        broken(Promise::BoundedMemory, format!("{held:?}"))
    }

    /// SK-15: a partition is stopped only where Kafka lost or replaced records, and SK-3 depends on it.
    ///
    /// # Errors
    /// SK-15.
    pub fn alerted(&self, kafka: &ModelKafka, place: Place, reason: &StopReason) -> Verdict {
        let log = kafka.log(place);
        let was_replaced = log.histories() > 1;
        let is_true = match reason {
            StopReason::RecordsLost { from, .. } => {
                (0..log.histories()).any(|history| *from < log.reach(history).0)
            }
            StopReason::LogEndsBelowLedger { .. } | StopReason::RecordsReplaced { .. } => {
                was_replaced
            }
            // Only a refused request makes it so.
            StopReason::LedgerUnreadable(_) => true,
        };
        if is_true {
            return Ok(());
        }
        broken(
            Promise::Liveness,
            format!("partition {place} was stopped without a cause: {reason:?}"),
        )
    }
}
