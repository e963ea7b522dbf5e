//! What one task of a plan made: the object at `results/<plan>/<task>`. It becomes true with the shard's commit.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::account::{OrgAccounts, OrgsBody};
use crate::format::compact_plan::{Advance, InputMessage, Step};
use crate::format::damage::{DamageRef, DamageRefBody};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::shard_manifest::{
    ConservationCounts, CountsBody, Deleted, DeletedBody, ManifestVersions, QuarantineBody,
    QuarantineRef, SealRef, SealRefBody, SegmentBody, SegmentEntry, VersionsBody,
};
use crate::format::wire::{self, Reading};
use crate::ids::{Chain, Generation, Hole, PlanId, ShardId, WriteId};
use crate::window::{TimestampMs, Window};

/// A task's segments, and what they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactResult {
    /// Of which plan.
    pub plan: PlanId,
    /// Which of its tasks.
    pub task: u32,
    /// Whose segments.
    pub shard: ShardId,
    /// What became of it.
    pub outcome: TaskOutcome,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutcome {
    /// This is to be committed.
    Made(Box<Delta>),
    /// It was larger than a task may be: the shard has to be cut into more parts.
    OverBudget {
        /// Payload bytes that it had read by then.
        bytes: u64,
    },
}

/// What one step changes in a shard's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Per chain from where to where the step has read.
    pub advances: BTreeMap<Chain, Advance>,
    /// The same per hole, in its fills.
    pub fill_advances: BTreeMap<Hole, Advance>,
    /// Windows that get new segments in place of these, some or all of their live ones.
    pub replaced: BTreeMap<Window, Vec<String>>,
    /// The new segments.
    pub added: Vec<SegmentEntry>,
    /// Lists of the records that could not become points.
    pub quarantine: Vec<QuarantineRef>,
    /// The seal of its bases, where there are any.
    pub seal: Option<SealRef>,
    /// Where the step's points went.
    pub counts: ConservationCounts,
    /// The same by org; `None` when that is not known.
    pub orgs: Option<OrgAccounts>,
    /// The decisions that the step was made with.
    pub versions: ManifestVersions,
    /// Places of state objects that did not read back.
    pub damages: Vec<DamageRef>,
    /// What it knows of deletes.
    pub deletes: DeltaDeletes,
    /// Everything before this time was in the ledger, and has been read with it; `None` where there is more to read.
    pub complete_to: Option<TimestampMs>,
}

/// What a step knows of deletes, and did to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeltaDeletes {
    /// It was made with those up to this number.
    pub in_force: u64,
    /// No segment that is live after it holds any point of those up to this number, if none has come since `made_on`.
    pub applied: u64,
    /// The manifest that it was made on.
    pub made_on: Generation,
    /// Points that each has taken.
    pub deleted: Deleted,
}

#[derive(Clone, PartialEq, Message)]
struct ResultMessage {
    #[prost(string, tag = "1")]
    plan: String,
    #[prost(uint32, tag = "2")]
    task: u32,
    #[prost(string, tag = "3")]
    shard: String,
    #[prost(message, optional, tag = "4")]
    input: Option<InputMessage>,
    #[prost(message, repeated, tag = "5")]
    replaced: Vec<ReplacedMessage>,
    #[prost(message, repeated, tag = "6")]
    added: Vec<SegmentBody>,
    #[prost(message, repeated, tag = "7")]
    quarantine: Vec<QuarantineBody>,
    #[prost(message, optional, tag = "8")]
    counts: Option<CountsBody>,
    #[prost(message, optional, tag = "9")]
    versions: Option<VersionsBody>,
    /// Present when the task was over budget; then all but 1 to 3 is absent.
    #[prost(uint64, optional, tag = "10")]
    over_budget_bytes: Option<u64>,
    #[prost(message, optional, tag = "11")]
    seal: Option<SealRefBody>,
    #[prost(message, repeated, tag = "20")]
    damages: Vec<DamageRefBody>,
    #[prost(message, optional, tag = "21")]
    deletes: Option<DeletesMessage>,
    #[prost(sint64, optional, tag = "22")]
    complete_to_ms: Option<i64>,
    #[prost(message, optional, tag = "25")]
    orgs: Option<OrgsBody>,
}

#[derive(Clone, PartialEq, Message)]
struct DeletesMessage {
    #[prost(uint64, tag = "1")]
    in_force: u64,
    #[prost(uint64, tag = "2")]
    applied: u64,
    #[prost(uint64, tag = "3")]
    made_on: u64,
    #[prost(message, repeated, tag = "4")]
    deleted: Vec<DeletedBody>,
}

#[derive(Clone, PartialEq, Message)]
struct ReplacedMessage {
    #[prost(sint64, tag = "1")]
    window: i64,
    #[prost(string, repeated, tag = "2")]
    keys: Vec<String>,
}

impl CompactResult {
    /// Encodes into the bytes of an object.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::CompactResult, write_id, &ResultMessage::of(self))
    }

    /// Reads [`CompactResult::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<ResultMessage>(Kind::CompactResult, bytes)?;
        let refuse =
            |reason| Error::decode(Kind::CompactResult.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

impl Delta {
    /// Takes in what another part of the same shard made; both have replaced the same segments and met the same damages,
    /// which are counted once.
    pub fn join(&mut self, other: Self) {
        self.added.extend(other.added);
        self.quarantine.extend(other.quarantine);
        // Both say the same of other windows: the object of one of them is enough.
        match (&mut self.seal, other.seal) {
            (Some(seal), Some(other)) => seal.windows.extend(other.windows),
            (seal, other) => *seal = seal.take().or(other),
        }
        let damaged_frames = self.counts.damaged_frames;
        self.counts.add(other.counts);
        self.counts.damaged_frames = damaged_frames;
        self.orgs = self.orgs.take().zip(other.orgs).map(|(mut orgs, other)| {
            orgs.add(&other);
            orgs
        });
        self.deletes.join(other.deletes);
    }
}

impl DeltaDeletes {
    /// Parts are made with the same deletes; the oldest manifest says how much is known of what has come since.
    fn join(&mut self, other: Self) {
        self.applied = self.applied.min(other.applied);
        self.made_on = self.made_on.min(other.made_on);
        for (delete, points) in other.deleted {
            *self.deleted.entry(delete).or_default() += points;
        }
    }
}

impl DeletesMessage {
    fn of(deletes: &DeltaDeletes) -> Self {
        Self {
            in_force: deletes.in_force,
            applied: deletes.applied,
            made_on: deletes.made_on.0,
            deleted: DeletedBody::of(&deletes.deleted),
        }
    }

    fn read(self) -> DeltaDeletes {
        DeltaDeletes {
            in_force: self.in_force,
            applied: self.applied,
            made_on: Generation(self.made_on),
            deleted: self.deleted.into_iter().map(DeletedBody::read).collect(),
        }
    }
}

impl ResultMessage {
    fn of(result: &CompactResult) -> Self {
        let mut message = Self {
            plan: result.plan.to_string(),
            task: result.task,
            shard: result.shard.to_string(),
            ..Self::default()
        };
        match &result.outcome {
            TaskOutcome::OverBudget { bytes } => message.over_budget_bytes = Some(*bytes),
            TaskOutcome::Made(delta) => message.put(delta),
        }
        message
    }

    fn put(&mut self, delta: &Delta) {
        let positions = Step {
            advances: delta.advances.clone(),
            fill_advances: delta.fill_advances.clone(),
            ..Step::default()
        };
        let replaced = delta.replaced.iter();
        let replaced = replaced.map(|(window, keys)| ReplacedMessage {
            window: window.number(),
            keys: keys.clone(),
        });
        self.input = Some(InputMessage::of(&positions));
        self.replaced = replaced.collect();
        self.added = delta.added.iter().map(SegmentBody::from).collect();
        self.quarantine = delta.quarantine.iter().map(QuarantineBody::from).collect();
        self.seal = delta.seal.as_ref().map(SealRefBody::from);
        self.counts = Some(CountsBody::from(&delta.counts));
        self.versions = Some(VersionsBody::from(&delta.versions));
        self.damages = delta.damages.iter().map(DamageRefBody::from).collect();
        self.deletes = Some(DeletesMessage::of(&delta.deletes));
        self.complete_to_ms = delta.complete_to.map(|time| time.0);
        self.orgs = delta.orgs.as_ref().map(OrgsBody::of);
    }

    fn read(self) -> Reading<CompactResult> {
        let (plan, task, shard) = (self.plan.parse()?, self.task, self.shard.parse()?);
        let outcome = match self.over_budget_bytes {
            Some(bytes) => TaskOutcome::OverBudget { bytes },
            None => TaskOutcome::Made(Box::new(self.delta()?)),
        };
        Ok(CompactResult {
            plan,
            task,
            shard,
            outcome,
        })
    }

    fn delta(self) -> Reading<Delta> {
        let positions = wire::required(self.input, "input")?.read()?;
        let replaced = self.replaced.into_iter();
        let replaced = replaced.map(|r| (Window::from_number(r.window), r.keys));
        let added = self.added.into_iter().map(SegmentBody::read);
        let quarantine = self.quarantine.into_iter().map(QuarantineBody::read);
        let damages = self.damages.into_iter().map(DamageRefBody::read);
        Ok(Delta {
            advances: positions.advances,
            fill_advances: positions.fill_advances,
            replaced: replaced.collect(),
            added: added.collect::<Reading<_>>()?,
            quarantine: quarantine.collect(),
            seal: self.seal.map(SealRefBody::read).transpose()?,
            counts: wire::required(self.counts, "counts")?.read(),
            versions: wire::required(self.versions, "versions")?.read()?,
            damages: damages.collect::<Reading<_>>()?,
            deletes: wire::required(self.deletes, "deletes")?.read(),
            complete_to: self.complete_to_ms.map(TimestampMs),
            orgs: self.orgs.map(OrgsBody::read).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests;
