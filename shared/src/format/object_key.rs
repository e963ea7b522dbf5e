//! Every object key: built and parsed here and nowhere else.
//!
//! Keys of state, segments, quarantine, seals, leaves and accounts begin with four hex digits of xxh3-64 of the rest, so that no
//! prefix is hot. The other kinds are listed and therefore begin with their kind.

mod prefix;
mod piece;
mod cutover_key;
mod old_key;
mod spell;
mod parse;

use std::fmt;

use crate::ids::{Chain, FlushId, Generation, Hole, JobId, PlanId, ShardId, SourceName, WorkerId};
use crate::offset::Offset;
use crate::window::{Resolution, TimestampMs, Window};

pub use cutover_key::CutoverKey;
pub use old_key::{OldFileName, OldKey};
pub use prefix::Prefix;

/// Key of an object, without the prefix of the bucket's URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// `<hash>/state/<shard>/<yyyy-mm-dd>/<hh>/<flush>-<number>`
    State {
        /// Whose records.
        shard: ShardId,
        /// When it was opened.
        hour: Hour,
        /// With which objects it was sealed.
        flush: FlushId,
        /// Its number within the flush.
        number: u32,
    },
    /// `<hash>/segment/<shard>/<resolution>/<window>/<generation>-<attempt>-<number>`
    Segment {
        /// Whose points.
        shard: ShardId,
        /// How dense they are.
        resolution: Resolution,
        /// Of which window.
        window: Window,
        /// Which manifest was to name it first.
        generation: Generation,
        /// Which try wrote it.
        attempt: Attempt,
        /// Its number within the try.
        number: u32,
    },
    /// `<hash>/quarantine/<shard>/<generation>-<attempt>`
    Quarantine {
        /// Whose compactor refused the records.
        shard: ShardId,
        /// Which manifest was to name it.
        generation: Generation,
        /// Which try wrote it.
        attempt: Attempt,
    },
    /// `<hash>/seal/<shard>/<generation>-<attempt>`
    Seal {
        /// Whose bases.
        shard: ShardId,
        /// Which manifest was to name it first.
        generation: Generation,
        /// Which try wrote it.
        attempt: Attempt,
    },
    /// `<hash>/leaf/<shard>/<generation>-<attempt>-<number>`
    Leaf {
        /// Of whose manifest.
        shard: ShardId,
        /// Which manifest was to name it first.
        generation: Generation,
        /// Which try wrote it.
        attempt: Attempt,
        /// Its number within the try.
        number: u32,
    },
    /// `<hash>/account/<shard>/<generation>-<attempt>`
    Account {
        /// Whose orgs.
        shard: ShardId,
        /// Which manifest was to name it first.
        generation: Generation,
        /// Which try wrote it.
        attempt: Attempt,
    },
    /// `flushes/<flush>`
    Flush(FlushId),
    /// `ledger/<source>/<topic>/<incarnation>/<partition>/genesis`
    Genesis(Chain),
    /// `ledger/<source>/<topic>/<incarnation>/<partition>/<from, 20 digits>`
    LedgerEntry {
        /// Of which chain.
        chain: Chain,
        /// Its first offset.
        from: Offset,
    },
    /// `fills/<source>/<topic>/<incarnation>/<partition>/<hole's from, 20 digits>/<from, 20 digits>`
    Fill {
        /// Of which hole.
        hole: Hole,
        /// Its first offset.
        from: Offset,
    },
    /// `replays/<job>/plan`
    ReplayJob(JobId),
    /// `replays/<job>/<2^64 - 1 - number, 20 digits>`, so that the newest is listed first.
    ReplayStep {
        /// Of which replay.
        job: JobId,
        /// Its number, from 1.
        number: u64,
    },
    /// `replays/<job>/cancel`
    ReplayCancel(JobId),
    /// `plans/<plan>`
    Plan(PlanId),
    /// `results/<plan>/<task>`
    Result {
        /// Of which plan.
        plan: PlanId,
        /// Which of its tasks.
        task: u32,
    },
    /// `sources/<name>`
    Source(SourceName),
    /// `shard-map/<version, 20 digits>`
    ShardMap(u64),
    /// `manifest/<shard>/<2^64 - 1 - generation, 20 digits>`, so that the newest is listed first.
    Manifest {
        /// Whose.
        shard: ShardId,
        /// Which.
        generation: Generation,
    },
    /// `status/<worker, 32 hex digits>`
    Status(WorkerId),
    /// `retired/<source>/<topic>/<incarnation>/<partition>/<end, 20 digits>`
    Retirement {
        /// Which chain.
        chain: Chain,
        /// Where it ended.
        end: Offset,
    },
    /// `deletes/<number, 20 digits>`
    Delete(u64),
    /// `deletes/<number, 20 digits>/positions`
    DeletePositions(u64),
    /// `deletes/<number, 20 digits>/receipt`
    DeleteReceipt(u64),
    /// `state-bounds/<number, 20 digits>`
    StateBound(u64),
    /// `runs/<2^64 - 1 - milliseconds since the epoch, 20 digits>-<run>`, so that the newest is listed first.
    RunRecord {
        /// When it was over; not before the epoch.
        at: TimestampMs,
        /// Its name.
        run: Attempt,
    },
    /// What cutovers and comparisons leave.
    Cutover(CutoverKey),
    /// What the old pipeline keeps.
    Old(OldKey),
}

/// One try to write a shard's segments, or a flush of the old pipeline: random, so that two tries never share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// An hour of UTC, as the number of hours since the epoch; years 0000 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    const MILLIS: i64 = 3_600_000;
    /// 0000-01-01T00 and 9999-12-30T22: the ends that a date can print.
    const FIRST: i64 = -17_268_672;
    const LAST: i64 = 70_389_502;

    /// The hour that holds `time`; a time outside the years 0000 to 9999 gives the nearest end.
    pub fn of(time: TimestampMs) -> Self {
        Self(
            time.0
                .div_euclid(Self::MILLIS)
                .clamp(Self::FIRST, Self::LAST),
        )
    }

    /// Its first instant.
    pub const fn start(self) -> TimestampMs {
        TimestampMs(self.0 * Self::MILLIS)
    }
}

/// First digit of the hash that a key of state, segments, quarantine, seals, leaves or accounts begins with: which of 16
/// groups of keys it is in.
///
/// # Panics
/// If the key is none of those.
pub fn hash_digit(key: &str) -> u8 {
    let first = key.chars().next().and_then(|first| first.to_digit(16));
    let digit = first.expect("a hashed key begins with a hex digit");
    u8::try_from(digit).expect("a digit is below 16")
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Hour {
    /// `yyyy-mm-dd/hh`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.start().0)
            .expect("an Hour lies within the years 0000 to 9999");
        f.write_str(&time.strftime("%Y-%m-%d/%H").to_string())
    }
}
