//! One version of an org's cutover: the objects at `cutover/<org>/<version>`.

use bytes::Bytes;
use prost::Message;

use crate::cutover::{CutoverState, Edges, Standing, UndoCost};
use crate::error::{Error, Result};
use crate::format::delete_entry::{EntryHash, Statement};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::timeline_body::{PhaseMessage, read_timeline};
use crate::format::wire::Reading;
use crate::ids::{OrgId, WriteId};
use crate::timeline::Timeline;
use crate::window::TimestampMs;

/// What is true of an org's cutover from one version to the next. It is never changed and never deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutoverVersion {
    /// Whose.
    pub org: OrgId,
    /// Its number; the first is 1, and each is one more than the one before.
    pub version: u64,
    /// Of the version before; of nothing for the first.
    pub previous: EntryHash,
    /// What was done, by whom and why.
    pub change: Change,
    /// Where the cutover stands now.
    pub state: CutoverState,
    /// Whether it goes on.
    pub standing: Standing,
    /// Who writes and who is visible.
    pub timeline: Timeline,
    /// The edges that the state is about.
    pub edges: Edges,
    /// The version whose seal holds the positions up to which the old pipeline has written; `None` while it writes.
    pub seal: Option<u64>,
    /// How many reads in a hundred also run on the new pipeline and are compared.
    pub mirror_percent: u8,
    /// What the change rests on.
    pub evidence: Vec<Evidence>,
    /// What it costs to take the change back.
    pub undo: UndoCost,
    /// Where the old pipeline's files are, once only readers use them.
    pub old_place: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The verb, as on the command line.
    pub verb: String,
    /// The state that it was done in.
    pub from: CutoverState,
    /// By whom and why.
    pub stated: Statement,
    /// By the bucket's clock.
    pub at: TimestampMs,
}

/// Something that a change rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What it is: `diff`, `acknowledgements`, `seal`, `declaration`, `rehearsal`.
    pub kind: String,
    /// The object that holds it; empty when the text says all.
    pub key: String,
    /// xxh3-128 of that object or text.
    pub digest: u128,
    /// In words.
    pub text: String,
    /// When it was made, by the bucket's clock.
    pub at: TimestampMs,
}

impl CutoverVersion {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::CutoverVersion, write_id, &CutoverMessage::of(self))
    }

    /// Reads [`CutoverVersion::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format, also a timeline that breaks SK-12.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<CutoverMessage>(Kind::CutoverVersion, bytes)?;
        let refuse =
            |reason| Error::decode(Kind::CutoverVersion.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct CutoverMessage {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(uint64, tag = "2")]
    version: u64,
    #[prost(bytes = "vec", tag = "3")]
    previous: Vec<u8>,
    #[prost(string, tag = "4")]
    verb: String,
    #[prost(string, tag = "5")]
    from: String,
    #[prost(string, tag = "6")]
    actor: String,
    #[prost(string, tag = "7")]
    reason: String,
    #[prost(string, optional, tag = "8")]
    ticket: Option<String>,
    #[prost(sint64, tag = "9")]
    at_ms: i64,
    #[prost(string, tag = "10")]
    state: String,
    #[prost(message, optional, tag = "11")]
    standing: Option<StandingMessage>,
    #[prost(message, repeated, tag = "12")]
    phases: Vec<PhaseMessage>,
    #[prost(sint64, optional, tag = "13")]
    new_writes_from_ms: Option<i64>,
    #[prost(sint64, optional, tag = "14")]
    switch_at_ms: Option<i64>,
    #[prost(sint64, optional, tag = "15")]
    old_ends_at_ms: Option<i64>,
    #[prost(sint64, optional, tag = "16")]
    reverse_at_ms: Option<i64>,
    #[prost(uint64, optional, tag = "17")]
    seal: Option<u64>,
    #[prost(uint32, tag = "18")]
    mirror_percent: u32,
    #[prost(message, repeated, tag = "19")]
    evidence: Vec<EvidenceMessage>,
    #[prost(uint32, tag = "20")]
    undo: u32,
    #[prost(string, optional, tag = "21")]
    old_place: Option<String>,
}

/// Of a cutover that does not go on.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StandingMessage {
    /// 1 paused, 2 blocked, 3 inconclusive, 4 faulted.
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    why: String,
}

#[derive(Clone, PartialEq, Message)]
struct EvidenceMessage {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    key: String,
    #[prost(bytes = "vec", tag = "3")]
    digest: Vec<u8>,
    #[prost(string, tag = "4")]
    text: String,
    #[prost(sint64, tag = "5")]
    at_ms: i64,
}

impl StandingMessage {
    pub(crate) fn of(standing: &Standing) -> Option<Self> {
        let (kind, why) = match standing {
            Standing::Going => return None,
            Standing::Paused => (1, ""),
            Standing::Blocked(why) => (2, why.as_str()),
            Standing::Inconclusive(why) => (3, why.as_str()),
            Standing::Faulted(why) => (4, why.as_str()),
        };
        let why = why.to_owned();
        Some(Self { kind, why })
    }

    pub(crate) fn read(of: Option<Self>) -> Reading<Standing> {
        let Some(Self { kind, why }) = of else {
            return Ok(Standing::Going);
        };
        match kind {
            1 => Ok(Standing::Paused),
            2 => Ok(Standing::Blocked(why)),
            3 => Ok(Standing::Inconclusive(why)),
            4 => Ok(Standing::Faulted(why)),
            _ => Err(format!("{kind} is no standing of a cutover")),
        }
    }
}

impl CutoverMessage {
    fn of(version: &CutoverVersion) -> Self {
        let ms = |at: Option<TimestampMs>| at.map(|at| at.0);
        let (change, edges) = (&version.change, version.edges);
        let evidence = version.evidence.iter().map(|evidence| EvidenceMessage {
            kind: evidence.kind.clone(),
            key: evidence.key.clone(),
            digest: evidence.digest.to_be_bytes().to_vec(),
            text: evidence.text.clone(),
            at_ms: evidence.at.0,
        });
        Self {
            org: version.org.0,
            version: version.version,
            previous: version.previous.0.to_be_bytes().to_vec(),
            verb: change.verb.clone(),
            from: change.from.name().to_owned(),
            actor: change.stated.actor.clone(),
            reason: change.stated.reason.clone(),
            ticket: change.stated.ticket.clone(),
            at_ms: change.at.0,
            state: version.state.name().to_owned(),
            standing: StandingMessage::of(&version.standing),
            phases: PhaseMessage::of_timeline(&version.timeline),
            new_writes_from_ms: ms(edges.new_writes_from),
            switch_at_ms: ms(edges.switch_at),
            old_ends_at_ms: ms(edges.old_ends_at),
            reverse_at_ms: ms(edges.reverse_at),
            seal: version.seal,
            mirror_percent: version.mirror_percent.into(),
            evidence: evidence.collect(),
            undo: version.undo as u32,
            old_place: version.old_place.clone(),
        }
    }

    fn read(self) -> Reading<CutoverVersion> {
        if self.version == 0 {
            return Err("version 0 is never written".into());
        }
        let undo = UndoCost::ALL.into_iter().find(|it| *it as u32 == self.undo);
        let time = |ms: Option<i64>| ms.map(TimestampMs);
        Ok(CutoverVersion {
            org: OrgId(self.org),
            version: self.version,
            previous: EntryHash(wide(self.previous)?),
            change: Change {
                verb: self.verb,
                from: self.from.parse()?,
                stated: Statement {
                    actor: self.actor,
                    reason: self.reason,
                    ticket: self.ticket,
                },
                at: TimestampMs(self.at_ms),
            },
            state: self.state.parse()?,
            standing: StandingMessage::read(self.standing)?,
            timeline: read_timeline(self.phases)?,
            edges: Edges {
                new_writes_from: time(self.new_writes_from_ms),
                switch_at: time(self.switch_at_ms),
                old_ends_at: time(self.old_ends_at_ms),
                reverse_at: time(self.reverse_at_ms),
            },
            seal: self.seal,
            mirror_percent: percent(self.mirror_percent)?,
            evidence: self
                .evidence
                .into_iter()
                .map(EvidenceMessage::read)
                .collect::<Reading<_>>()?,
            undo: undo.ok_or_else(|| format!("{} is no cost of undoing", self.undo))?,
            old_place: self.old_place,
        })
    }
}

impl EvidenceMessage {
    fn read(self) -> Reading<Evidence> {
        Ok(Evidence {
            kind: self.kind,
            key: self.key,
            digest: wide(self.digest)?,
            text: self.text,
            at: TimestampMs(self.at_ms),
        })
    }
}

pub(crate) fn percent(number: u32) -> Reading<u8> {
    let percent = u8::try_from(number).ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| format!("{number} is no share in a hundred"))
}

pub(crate) fn wide(bytes: Vec<u8>) -> Reading<u128> {
    let array = bytes.try_into().map_err(|_| "a digest is not 16 bytes")?;
    Ok(u128::from_be_bytes(array))
}

#[cfg(test)]
pub(crate) mod tests;
