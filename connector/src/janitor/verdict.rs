//! What may be done with the uploads and objects of a flush: a pure function of what the bucket proves.

use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::ids::FlushId;
use skein_shared::offset::Offset;
use skein_shared::units::Millis;

/// What is known of a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What of it is judged.
    pub thing: Thing,
    /// What stands at the flush's key.
    pub manifest: Manifest,
    /// What its worker says.
    pub worker: Worker,
    /// How old the upload or object is by the bucket's clock.
    pub age: Millis,
}

/// What can be left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A multipart upload that is not complete.
    Upload,
    /// A state object.
    Object,
}

/// What stands at the key of a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// Nothing: its worker may still write it.
    Absent,
    /// It was declared void. That is for ever: its worker can never write it.
    Void,
    /// Its worker wrote it. What became of each span.
    Written(Vec<Fate>),
    /// Something that does not read back: nobody knows what it said.
    Damaged,
}

/// What became of a span of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The ledger names it.
    Counts,
    /// The chain has not come to it: its worker may still append it.
    Open,
    /// The ledger covers its first offset otherwise, so that it can never be appended.
    Lost,
    /// What would tell does not read back.
    Unknown,
}

/// Whether a worker was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    /// Its status is younger than the janitor's patience.
    Tells,
    /// It has none, or an old one: it may be dead, or slow.
    Silent,
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep(Because),
    /// Try to create the flush's manifest as void, and look again.
    DeclareVoid,
    /// Abort and delete: nothing of the flush can ever count.
    Remove,
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Some of it counts.
    Counts,
    /// Some of it may come to count.
    MayCount,
    /// Its worker is at work.
    WorkerTells,
    /// It is young.
    Young,
    /// What would tell is damaged, and that is no proof of anything.
    Damaged,
}

/// Judges the uploads and objects of one flush. Only what can never be undone gives [`Verdict::Remove`]; the
/// worker's silence and the age decide no more than whether it is worth to fence.
pub fn verdict(evidence: &Evidence, patience: Millis) -> Verdict {
    match &evidence.manifest {
        Manifest::Absent => match evidence.worker {
            Worker::Tells => Verdict::Keep(Because::WorkerTells),
            Worker::Silent if evidence.age < patience => Verdict::Keep(Because::Young),
            Worker::Silent => Verdict::DeclareVoid,
        },
        // A manifest is written after the last of the flush's objects is complete. An upload that is still
        // open then was begun twice, because the answer to the first beginning was lost.
        Manifest::Written(fates) if evidence.thing == Thing::Object => of_object(fates),
        Manifest::Damaged => Verdict::Keep(Because::Damaged),
        Manifest::Void | Manifest::Written(_) => Verdict::Remove,
    }
}

/// One span that counts keeps all objects, since each may hold frames of it. A flush without spans has
/// nothing that the ledger could name.
fn of_object(fates: &[Fate]) -> Verdict {
    if fates.contains(&Fate::Counts) {
        Verdict::Keep(Because::Counts)
    } else if fates.contains(&Fate::Open) {
        Verdict::Keep(Because::MayCount)
    } else if fates.contains(&Fate::Unknown) {
        Verdict::Keep(Because::Damaged)
    } else {
        Verdict::Remove
    }
}

/// What became of a span that begins at `from`. `end` is the end of its chain, looked up *before* the entry
/// at `from` was.
///
/// A chain that has an entry around `from`, but none that begins there, has passed over it: an entry is sent
/// only once the one that ends at its first offset is proven to stand, and none does.
pub fn fate(
    flush: FlushId,
    from: Offset,
    end: Option<Offset>,
    at_from: Option<&LedgerEntry>,
) -> Fate {
    match at_from.map(|entry| &entry.kind) {
        Some(EntryKind::Flushed { flush: named, .. }) if *named == flush => Fate::Counts,
        Some(EntryKind::Flushed { .. } | EntryKind::LostSpan { .. }) => Fate::Lost,
        None if end.is_some_and(|end| from < end) => Fate::Lost,
        None => Fate::Open,
    }
}

#[cfg(test)]
mod tests;
