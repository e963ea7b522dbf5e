//! What the core wants done.

use bytes::Bytes;

use skein_shared::ErrorKind;
use skein_shared::format::block::{BlockBuffer, SyncMarker};
use skein_shared::format::flush_manifest::FlushManifest;
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry, StartPolicy};
use skein_shared::ids::{Chain, Incarnation, PartitionId, TopicName, WorkerId, WriteId};
use skein_shared::offset::{Offset, Span};
use skein_shared::units::Millis;

/// A partition as Kafka names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic.
    pub topic: TopicName,
    /// Partition of the topic.
    pub partition: PartitionId,
}

/// Number of an object within its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectNumber(pub u64);

/// Number of a request within its worker; a repeated request keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Number of a commit of offsets within its worker, in the order in which they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitNumber(pub u64);

/// Something to do.
#[derive(Debug)]
pub enum Action {
    /// Answer an assignment, or begin to read some partitions again from another offset.
    Assign {
        /// What is new or starts anew, and from where. Empty is an answer, too.
        added: Vec<(TopicPartition, Offset)>,
        /// Everything that is to be read, `added` included, and from where.
        all: Vec<(TopicPartition, Offset)>,
    },
    /// Answer a revocation, or stop reading.
    Unassign {
        /// What goes. Empty is an answer, too.
        removed: Vec<TopicPartition>,
        /// Everything that stays, and from where.
        rest: Vec<(TopicPartition, Offset)>,
    },
    /// Bring no records until [`Action::Resume`], but all that the group decides, if up to a second later: for so
    /// long the consumer need not be asked, and only then what is assigned is paused.
    Pause,
    /// Bring records again.
    Resume,
    /// Compress a block and bring it back as [`Event::BlockEncoded`](crate::core::event::Event).
    Encode {
        /// Of which object.
        object: ObjectNumber,
        /// The frames.
        block: BlockBuffer,
        /// The object's marker.
        marker: SyncMarker,
    },
    /// Send a request once and bring its outcome back: it comes to an end, if only by a time limit. The core
    /// bounds how many are under way and sends again what failed.
    Send(RequestId, Request),
    /// Send a request that is under way a second time, and bring back one outcome of the two: the first
    /// answer, which ends the other try, or the last failure. Whoever ignores this loses time only.
    Hedge(RequestId, Request),
    /// Commit these offsets and bring the outcome back with the number. The outcome of one commit is waited for at a
    /// time; one that took too long may still come while the next is under way.
    Commit(CommitNumber, Vec<(TopicPartition, Offset)>),
    /// Tell a person that a partition is not read any more.
    Alert {
        /// Which.
        partition: TopicPartition,
        /// Why.
        reason: StopReason,
    },
    /// Tell a person of something that the connector goes on from by itself.
    Notify(Notice),
    /// Leave the group and end.
    Exit(ExitReason),
}

/// What a person should know, though the connector goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Kafka no longer has records that the ledger does not cover. They are given up after a while.
    HoleFound {
        /// Where.
        partition: TopicPartition,
        /// What is missing, as it looks now.
        span: Span,
        /// When it is looked at again.
        wait: Millis,
    },
    /// The ledger says that these records are lost; reading goes on behind them.
    HoleRecorded {
        /// Where.
        partition: TopicPartition,
        /// What is lost.
        span: Span,
    },
    /// The topic was made anew or truncated; reading begins at the new log's oldest record.
    IncarnationBegun {
        /// Where.
        partition: TopicPartition,
        /// Which life of the topic begins.
        incarnation: Incarnation,
    },
    /// The store takes nothing until a person has acted; nothing is fetched meanwhile. Told again each minute.
    StoreRefuses {
        /// The store's words and what to do.
        reason: String,
    },
    /// The store takes again what it refused.
    StoreAccepts,
    /// Where a partition stands is asked again and again, because the answers make no sense. Told at most each
    /// minute, for one of those partitions.
    OddAnswer {
        /// Which.
        partition: TopicPartition,
        /// What was asked, and the answer's words.
        reason: String,
    },
}

/// A request to the bucket, to the ledger or to Kafka.
#[derive(Debug, Clone)]
pub enum Request {
    /// Where do the ledger and Kafka stand?
    LookUpChain(Chain),
    /// Begin a chain.
    CreateGenesis {
        /// Which.
        chain: Chain,
        /// Its first offset.
        start: Offset,
        /// Who chose it.
        policy: StartPolicy,
    },
    /// Write a whole object at once.
    PutObject {
        /// Its key.
        key: String,
        /// Identity of the write.
        write: WriteId,
        /// All of it.
        body: Bytes,
    },
    /// Upload a part; the first to be sent starts the upload.
    UploadPart {
        /// Of which object.
        object: ObjectNumber,
        /// Its key.
        key: String,
        /// Identity of the write.
        write: WriteId,
        /// From 1.
        part: u32,
        /// The part.
        body: Bytes,
    },
    /// Make the object out of its parts, all of which are stored.
    CompleteUpload(ObjectNumber),
    /// State what a flush holds.
    CreateFlushManifest {
        /// The manifest.
        manifest: Box<FlushManifest>,
        /// Identity of the write.
        write: WriteId,
    },
    /// Make a span count.
    AppendLedger {
        /// The entry.
        entry: Box<LedgerEntry>,
        /// Identity of the write.
        write: WriteId,
    },
    /// Tell where this worker stands, over what it told before: the bucket's clock is read first, then
    /// Kafka's end of each partition.
    WriteStatus {
        /// This run of the process.
        worker: WorkerId,
        /// Its partitions, in the order of their chains.
        standings: Vec<Standing>,
        /// Identity of the write.
        write: WriteId,
    },
}

/// Where a partition stands by what its worker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub chain: Chain,
    /// End of its ledger.
    pub position: Offset,
    /// Why it is not read any more and what to do; `None` while it is.
    pub stopped: Option<String>,
}

/// Why a partition is not read any more. A person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// Kafka's log ends below what the ledger covers: the topic was made anew or truncated.
    LogEndsBelowLedger {
        /// End of the ledger.
        ledger: Offset,
        /// End of Kafka's log.
        kafka: Offset,
    },
    /// Kafka deleted records that the ledger does not cover.
    RecordsLost {
        /// First offset that is missing.
        from: Offset,
        /// First offset that Kafka has.
        to: Offset,
    },
    /// Kafka holds another record where the ledger ends: the topic was made anew.
    RecordsReplaced {
        /// Of the record.
        offset: Offset,
    },
    /// What the ledger says cannot be read.
    LedgerUnreadable(String),
}

/// Why the core ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// Asked to; everything is flushed.
    Stopped,
    /// Asked to; the last flush missed its deadline, its records are read again at the next start.
    FlushMissed,
    /// Every partition was read to the end it had when it was assigned.
    EndReached,
    /// It was to end at the partitions' ends, and nothing came forward for too long.
    Stalled,
    /// A request failed for good.
    Failed {
        /// Which.
        step: &'static str,
        /// Why.
        reason: String,
        /// What the caller must do.
        kind: ErrorKind,
    },
}

impl Request {
    /// Bytes of object data that it carries.
    pub fn body_bytes(&self) -> u64 {
        match self {
            Self::PutObject { body, .. } | Self::UploadPart { body, .. } => body.len() as u64,
            Self::LookUpChain(_)
            | Self::CreateGenesis { .. }
            | Self::CompleteUpload(_)
            | Self::CreateFlushManifest { .. }
            | Self::AppendLedger { .. }
            | Self::WriteStatus { .. } => 0,
        }
    }

    /// Whether only one partition waits for its answer. That one is asked about until the answer makes sense,
    /// whatever it was; any other request that cannot succeed ends the worker.
    pub fn is_about_one_partition(&self) -> bool {
        match self {
            Self::LookUpChain(_) | Self::CreateGenesis { .. } => true,
            Self::AppendLedger { entry, .. } => matches!(entry.kind, EntryKind::LostSpan { .. }),
            Self::PutObject { .. }
            | Self::UploadPart { .. }
            | Self::CompleteUpload(_)
            | Self::CreateFlushManifest { .. }
            | Self::WriteStatus { .. } => false,
        }
    }

    /// What it does, for messages.
    pub const fn step(&self) -> &'static str {
        match self {
            Self::LookUpChain(_) => "look up ledger",
            Self::CreateGenesis { .. } => "create genesis",
            Self::PutObject { .. } => "put object",
            Self::UploadPart { .. } => "upload part",
            Self::CompleteUpload(_) => "complete upload",
            Self::CreateFlushManifest { .. } => "create flush manifest",
            Self::AppendLedger { .. } => "append ledger entry",
            Self::WriteStatus { .. } => "write status",
        }
    }
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LogEndsBelowLedger { ledger, kafka } => write!(
                f,
                "kafka's log ends at {kafka}, the ledger at {ledger}: the topic was made anew or \
                 truncated; connector.on_replaced_log is `stop`, `new-incarnation` begins anew"
            ),
            Self::RecordsLost { from, to } => write!(
                f,
                "kafka deleted the records [{from}, {to}) before they were read: raise its retention; \
                 connector.on_lost_offsets is `stop`, `skip-and-record` goes on behind them"
            ),
            Self::RecordsReplaced { offset } => write!(
                f,
                "kafka's record {offset} is not the one that the ledger ends with: the topic was made \
                 anew; connector.on_replaced_log is `stop`, `new-incarnation` begins anew"
            ),
            Self::LedgerUnreadable(reason) => {
                write!(f, "the ledger cannot be read, run `skein verify`: {reason}")
            }
        }
    }
}
