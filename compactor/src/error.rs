//! The one error of this crate.

use std::path::PathBuf;

use skein_shared::ErrorKind;
use skein_shared::format::damage::DamageId;
use skein_shared::ids::{Chain, FlushId, Generation, PlanId, ShardId};
use skein_shared::offset::Offset;
use skein_shared::window::Window;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed, and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket, or an object in it.
    #[error(transparent)]
    Shared(#[from] skein_shared::Error),
    /// The ledger of a chain does not go on where a shard's manifest ends.
    #[error(
        "plan {shard} failed: the ledger does not go on where the manifest ends; chain=`{chain}` \
         expected=`{expected}` found=`{found}`: run `skein verify`, an entry was deleted or overlaps"
    )]
    LedgerGap {
        /// Whose plan.
        shard: ShardId,
        /// Which chain.
        chain: Chain,
        /// The manifest's position, or the end of the entry before.
        expected: Offset,
        /// The first offset of the entry that was found.
        found: Offset,
    },
    /// A ledger entry names a flush that was given up.
    #[error(
        "plan failed: ledger entry at {offset} of chain `{chain}` names the void flush `{flush}`"
    )]
    VoidFlush {
        /// Which chain.
        chain: Chain,
        /// First offset of the entry.
        offset: Offset,
        /// Which flush.
        flush: FlushId,
    },
    /// A state object does not hold what its flush manifest says.
    #[error("read state object failed; object=`{object}` reason=`{reason}`")]
    ObjectDiffers {
        /// Its key.
        object: String,
        /// What differs.
        reason: String,
    },
    /// State that had been read when it was compacted does not read back now.
    #[error(
        "rebuild {shard} is refused: state is damaged; object=`{object}` reason=`{reason}`: restore the object from a \
         copy or a version; nothing was changed"
    )]
    StateDamaged {
        /// Whose rebuild.
        shard: ShardId,
        /// The state object.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// State that a rebuild has to read may be deleted.
    #[error(
        "rebuild {shard} is refused: state that window {window} may need is gone; chain=`{chain}` kept_from=`{kept_from}`: \
         rebuild later windows alone (--from), or replay the records into the topic again; nothing was changed"
    )]
    StateGone {
        /// Whose rebuild.
        shard: ShardId,
        /// The first window that was to be rebuilt.
        window: Window,
        /// Where state is missing.
        chain: Chain,
        /// From where on it is kept.
        kept_from: Offset,
    },
    /// A manifest stands where state may be deleted, though every manifest had passed it.
    #[error(
        "plan {shard} is refused: state that it has to read may be deleted; chain=`{chain}` position=`{position}` \
         kept_from=`{kept_from}`: run `skein verify`, an older manifest was restored"
    )]
    BehindBound {
        /// Whose plan.
        shard: ShardId,
        /// Which chain.
        chain: Chain,
        /// Where the manifest stands.
        position: Offset,
        /// From where on state is kept.
        kept_from: Offset,
    },
    /// Another commit has decided about a damage first.
    #[error("damage `{id}` of {shard} was decided by another: {how}")]
    Decided {
        /// Which.
        id: DamageId,
        /// Whose.
        shard: ShardId,
        /// What was decided, by whom and why.
        how: String,
    },
    /// No manifest names such a damage.
    #[error("no shard has a damage `{id}`: `skein quarantine ls` shows those that there are")]
    NoSuchDamage {
        /// What was asked for.
        id: DamageId,
    },
    /// The local disk that payloads are spilled to.
    #[error(
        "{action} spill file failed; folder=`{}`: {source}: free space there, or set compactor.spill_folder to a \
         folder on a disk that has it (nothing of this step was committed)", .folder.display()
    )]
    Spill {
        /// What was tried.
        action: &'static str,
        /// In which folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A task has more payloads than one may have.
    #[error(
        "the task is over budget; payload_bytes=`{bytes}` most=`{most}`: plan again, the next plan splits the shard"
    )]
    OverBudget {
        /// What it had read when it gave up.
        bytes: u64,
        /// What a task may read.
        most: u64,
    },
    /// A plan that was done, or overtaken.
    #[error("plan `{plan}` is gone: it is done, or a later one has overtaken it")]
    PlanGone {
        /// Which.
        plan: PlanId,
    },
    /// An index beyond a plan's tasks.
    #[error("plan `{plan}` has no task {index}: it has {tasks}, counted from 0")]
    NoSuchTask {
        /// Which plan.
        plan: PlanId,
        /// What was asked for.
        index: u32,
        /// What it has.
        tasks: usize,
    },
    /// A shard of which a rebuild would give something else than what was taken in.
    #[error("rebuild {shard} is refused: {reason}; nothing was changed")]
    NotRebuildable {
        /// Which.
        shard: ShardId,
        /// Why.
        reason: String,
    },
    /// A live segment is not there.
    #[error(
        "compact {shard} failed: a live segment is missing; object=`{object}`: restore it from a copy or a version, or \
         make it again with `skein compact rebuild`"
    )]
    SegmentMissing {
        /// Whose.
        shard: ShardId,
        /// Its key.
        object: String,
    },
    /// Another compactor has committed the same input or the same windows.
    #[error("commit {shard} was superseded at generation {generation}; reason=`{reason}`")]
    Superseded {
        /// Whose commit.
        shard: ShardId,
        /// The generation that was found.
        generation: Generation,
        /// What has changed.
        reason: String,
    },
    /// Points are missing, or there are too many (SK-11).
    #[error(
        "commit {shard} was refused: points are not conserved; expected=`{expected}` live=`{live}`"
    )]
    Unconserved {
        /// Whose commit.
        shard: ShardId,
        /// Points in, less duplicates and points not owned.
        expected: u64,
        /// Points in the live segments.
        live: u64,
    },
    /// The orgs of a shard and the shard say different things (SK-11).
    #[error("commit {shard} was refused: its orgs do not add up; reason=`{reason}`")]
    Unbalanced {
        /// Whose commit.
        shard: ShardId,
        /// What differs.
        reason: String,
    },
    /// A rollup does not count the points that its segment has.
    #[error(
        "commit {shard} was refused: a rollup differs from its segment; rollup=`{rollup}` reason=`{reason}`"
    )]
    RollupDiffers {
        /// Whose commit.
        shard: ShardId,
        /// The rollup's key.
        rollup: String,
        /// What differs.
        reason: String,
    },
    /// The run was asked to stop; what is committed stands.
    #[error("the run was cancelled")]
    Cancelled,
    /// A task of ours broke an invariant of its own; nothing of it was committed.
    #[error("a task panicked, which is a bug: please report it; reason=`{reason}`")]
    Panicked {
        /// What it said.
        reason: String,
    },
    /// Some shards failed; the others are done and committed. The worst failure decides what the caller must
    /// do: damage must not hide behind an outage that happened to hit the shard before.
    #[error("compact shards failed; failed=`{failed}` of=`{shards}` worst=`{shard}`: {worst}")]
    Shards {
        /// How many failed.
        failed: usize,
        /// How many there are.
        shards: usize,
        /// The first of those that failed worst, see [`ErrorKind`].
        shard: ShardId,
        /// Why it failed.
        worst: Box<Error>,
    },
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Shared(error) => error.kind(),
            Self::LedgerGap { .. }
            | Self::VoidFlush { .. }
            | Self::BehindBound { .. }
            | Self::ObjectDiffers { .. }
            | Self::StateDamaged { .. }
            | Self::SegmentMissing { .. }
            | Self::Unconserved { .. }
            | Self::Unbalanced { .. }
            | Self::RollupDiffers { .. } => ErrorKind::Corrupt,
            Self::Superseded { .. } | Self::PlanGone { .. } | Self::Decided { .. } => {
                ErrorKind::Fenced
            }
            Self::NoSuchTask { .. }
            | Self::NoSuchDamage { .. }
            | Self::NotRebuildable { .. }
            | Self::StateGone { .. } => ErrorKind::Invalid,
            Self::Spill { source, .. } => kind_of_io(source),
            Self::Cancelled | Self::Panicked { .. } | Self::OverBudget { .. } => {
                ErrorKind::Transient
            }
            Self::Shards { worst, .. } => worst.kind(),
        }
    }
}

/// A folder that is not there waits for a person; a full or failing disk may be another one at the next try.
fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    let waits_for_a_person = matches!(
        error.kind(),
        Io::NotFound | Io::NotADirectory | Io::PermissionDenied | Io::ReadOnlyFilesystem
    );
    if waits_for_a_person {
        ErrorKind::Invalid
    } else {
        ErrorKind::Transient
    }
}
