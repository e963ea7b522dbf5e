//! What the core is told.

use skein_shared::ErrorKind;
use skein_shared::format::block::EncodedBlock;
use skein_shared::format::frame::{LastRecord, RecordRef};
use skein_shared::format::ledger_entry::LedgerEntry;
use skein_shared::ids::Incarnation;
use skein_shared::offset::Offset;
use skein_shared::shard_map::ShardMap;

use crate::core::action::{CommitNumber, ObjectNumber, RequestId};

pub use crate::core::action::TopicPartition;

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The group gave us these; it waits for our answer.
    Assigned(Vec<TopicPartition>),
    /// The group takes these away; it waits for our answer.
    Revoked(Vec<TopicPartition>),
    /// Others may already own these: nothing of theirs may be committed any more.
    Lost(Vec<TopicPartition>),
    /// The next record of a partition.
    Record {
        /// Its topic.
        topic: &'a str,
        /// Its partition.
        partition: u32,
        /// The record.
        record: &'a RecordRef<'a>,
    },
    /// How far the consumer has come in each partition: beyond its last record where only transaction
    /// markers or compacted records follow. Every record below was given before.
    Positions(Vec<(TopicPartition, Offset)>),
    /// The consumer's position in some partition does not exist in Kafka any more.
    OffsetsLost,
    /// Nothing came of these for a while though Kafka has more: the consumer may have lost the word that their position
    /// does not exist any more.
    StoodStill(Vec<TopicPartition>),
    /// A block is compressed.
    BlockEncoded {
        /// Of which object.
        object: ObjectNumber,
        /// The block.
        block: EncodedBlock,
    },
    /// A request came back with what was asked.
    Answered(RequestId, Answer),
    /// A request came back without.
    Failed(RequestId, Failure),
    /// The commit of that number came back.
    Committed(CommitNumber, CommitOutcome),
    /// The shard map has a new version.
    ShardMapChanged(ShardMap),
    /// Time has passed.
    Tick,
    /// Somebody asked for a flush.
    FlushNow,
    /// Somebody asked for the end: flush, commit, leave.
    Shutdown,
}

/// What a request brought.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To a look-up.
    Chain(ChainView),
    /// A genesis or a flush manifest was created by this request.
    Ours,
    /// A genesis or a flush manifest was there, made by another.
    Taken,
    /// The data is in the bucket.
    Stored,
    /// Somebody dropped the upload, and may do so only once its flush is void.
    UploadGone,
    /// The ledger entry is ours.
    Appended,
    /// Another worker covered the entry's first offset.
    AppendTaken(Box<LedgerEntry>),
}

/// Where a partition stands, in the ledger and in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainView {
    /// The newest life of the topic that has a chain, at least the one that was asked for.
    pub incarnation: Incarnation,
    /// End of that life's chain; `None` when it has no genesis.
    pub ledger: Option<LedgerEnd>,
    /// The oldest offset that Kafka still has.
    pub kafka_low: Offset,
    /// The offset behind the newest record.
    pub kafka_high: Offset,
}

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEnd {
    /// First offset that it does not cover.
    pub offset: Offset,
    /// The last record that it covers.
    pub last: Option<LastRecord>,
}

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it.
    pub remedy: Remedy,
    /// The error's words.
    pub reason: String,
}

/// What the core does about a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Send it again after a while: the store or the broker is away.
    Again,
    /// Send it again after a while, and fewer at the same time: the store has too much to do.
    SlowDown,
    /// Send it again after a while and alert: credentials are refused, a person must act.
    AgainAndAlert,
    /// Ask again after a while and alert: the answer makes no sense, and another may. Only what asks about one
    /// partition is worth that; the others go on.
    AskAgain,
    /// Give up: sending it again cannot help.
    GiveUp(ErrorKind),
}

impl Remedy {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Again => "unavailable",
            Self::SlowDown => "throttled",
            Self::AgainAndAlert => "refused",
            Self::AskAgain => "odd answer",
            Self::GiveUp(_) => "given up",
        }
    }
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Kafka has the offsets.
    Done,
    /// It does not, or it is not known. Only a hint is lost: the ledger rules.
    Failed(String),
}
