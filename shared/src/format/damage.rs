//! Damage in a state object: a place that does not read back, and what a person decided about it.
//!
//! A shard goes on past a damage. What was lost stands in one of its quarantine lists ([`Damage`]); its manifest names
//! each damage ([`DamageRef`]) with the event times that may be missing, until it was decided.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::str::FromStr;

use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::format::frame::Stream;
use crate::format::wire::{self, Reading};
use crate::ids::{FlushId, Generation, ShardId};
use crate::offset::Span;
use crate::window::{TimeSpan, TimestampMs};

/// Names a damage: a hash of shard, object, place and lost offsets, so that whoever meets it gives it the same name.
/// Text form 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DamageId(pub u64);

/// A place of a state object that did not read back, though it was fetched twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The flush that sealed the object.
    pub flush: FlushId,
    /// Key of the object.
    pub object_key: String,
    /// First byte: of a block, or 0 when no block of the object can be trusted.
    pub at: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Frames in it by the object's footer, or by the flush manifest where the footer is lost too: no fewer than those
    /// that the shard has lost.
    pub frames: u64,
    /// Event times of their points. No other point is missing.
    pub times: TimeSpan,
    /// Which offsets the shard has passed without reading them.
    pub lost: Vec<LostOffsets>,
    /// What is wrong with it.
    pub error: String,
}

/// Offsets of a stream that a shard has passed without reading them. Not each of them has a frame in the damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostOffsets {
    /// Which stream.
    pub stream: Stream,
    /// From the first to behind the last that may be lost.
    pub span: Span,
}

/// A damage as the shard's manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageRef {
    /// Which.
    pub id: DamageId,
    /// Key of the quarantine list that has all about it.
    pub list: String,
    /// Key of the state object.
    pub object: String,
    /// First byte of the damaged place.
    pub at: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Frames in it, at most.
    pub frames: u64,
    /// Event times that may be missing.
    pub times: TimeSpan,
    /// What became of it.
    pub state: DamageState,
}

/// What became of a damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageState {
    /// Nobody has decided: the windows that its times touch are incomplete.
    Undecided,
    /// Its records are lost for good, and somebody has said so.
    Accepted(Decision),
    /// The place was restored, and its records have been taken in.
    Released(Decision),
}

/// Who decided, why and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When, by the bucket's clock.
    pub time: TimestampMs,
    /// The generation that says so; set by the commit.
    pub generation: Generation,
}

impl fmt::Display for DamageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for DamageId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = u64::from_str_radix(text, 16).map(Self).ok();
        id.filter(|id| id.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a damage's id (16 hex digits)"))
    }
}

impl Damage {
    /// Its name in `shard`.
    pub fn id(&self, shard: ShardId) -> DamageId {
        let mut text = format!("{shard}\n{}\n{} {}\n", self.object_key, self.at, self.bytes);
        for lost in &self.lost {
            let Stream { chain, tenure } = &lost.stream;
            // A text takes whatever is written into it.
            let _ = writeln!(text, "{chain} {} {}", tenure.0, lost.span);
        }
        DamageId(xxh3_64(text.as_bytes()))
    }

    /// How the manifest of `shard` names it while it is undecided; `list` is the key of the list that has it.
    pub fn named(&self, shard: ShardId, list: &str) -> DamageRef {
        DamageRef {
            id: self.id(shard),
            list: list.to_owned(),
            object: self.object_key.clone(),
            at: self.at,
            bytes: self.bytes,
            frames: self.frames,
            times: self.times,
            state: DamageState::Undecided,
        }
    }

    /// The damaged bytes.
    pub fn place(&self) -> Range<u64> {
        self.at..self.at.saturating_add(self.bytes)
    }
}

impl DamageRef {
    /// Whether the windows that its times touch are incomplete.
    pub fn is_undecided(&self) -> bool {
        self.state == DamageState::Undecided
    }

    /// Whether its records are missing: it was not released.
    pub fn is_missing(&self) -> bool {
        match self.state {
            DamageState::Undecided | DamageState::Accepted(_) => true,
            DamageState::Released(_) => false,
        }
    }
}

impl DamageState {
    /// `undecided`, `accepted` or `released`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Accepted(_) => "accepted",
            Self::Released(_) => "released",
        }
    }

    /// The same, decided by the commit of `generation`.
    #[must_use]
    pub fn at(&self, generation: Generation) -> Self {
        let mut decided = self.clone();
        match &mut decided {
            Self::Undecided => {}
            Self::Accepted(decision) | Self::Released(decision) => decision.generation = generation,
        }
        decided
    }

    /// Who decided it; `None` while nobody has.
    pub const fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Undecided => None,
            Self::Accepted(decision) | Self::Released(decision) => Some(decision),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DamageBody {
    #[prost(string, tag = "1")]
    flush: String,
    #[prost(string, tag = "2")]
    object_key: String,
    #[prost(uint64, tag = "3")]
    at: u64,
    #[prost(uint64, tag = "4")]
    bytes: u64,
    #[prost(uint64, tag = "5")]
    frames: u64,
    #[prost(sint64, tag = "6")]
    from_ms: i64,
    #[prost(sint64, tag = "7")]
    to_ms: i64,
    #[prost(message, repeated, tag = "8")]
    lost: Vec<LostBody>,
    #[prost(string, tag = "9")]
    error: String,
}

#[derive(Clone, PartialEq, Message)]
struct LostBody {
    #[prost(message, optional, tag = "1")]
    stream: Option<wire::Stream>,
    #[prost(uint64, tag = "2")]
    from: u64,
    #[prost(uint64, tag = "3")]
    to: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DamageRefBody {
    #[prost(fixed64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    list: String,
    #[prost(string, tag = "3")]
    object: String,
    #[prost(uint64, tag = "4")]
    at: u64,
    #[prost(uint64, tag = "5")]
    bytes: u64,
    #[prost(uint64, tag = "6")]
    frames: u64,
    #[prost(sint64, tag = "7")]
    from_ms: i64,
    #[prost(sint64, tag = "8")]
    to_ms: i64,
    /// At most one of these two is there.
    #[prost(message, optional, tag = "9")]
    accepted: Option<DecisionBody>,
    #[prost(message, optional, tag = "10")]
    released: Option<DecisionBody>,
}

#[derive(Clone, PartialEq, Message)]
struct DecisionBody {
    #[prost(string, tag = "1")]
    actor: String,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(sint64, tag = "3")]
    time_ms: i64,
    #[prost(uint64, tag = "4")]
    generation: u64,
}

impl From<&Damage> for DamageBody {
    fn from(damage: &Damage) -> Self {
        let lost = damage.lost.iter().map(|lost| LostBody {
            stream: Some(wire::Stream::of(&lost.stream)),
            from: wire::offset_number(lost.span.from),
            to: wire::offset_number(lost.span.to),
        });
        Self {
            flush: damage.flush.to_string(),
            object_key: damage.object_key.clone(),
            at: damage.at,
            bytes: damage.bytes,
            frames: damage.frames,
            from_ms: damage.times.from.0,
            to_ms: damage.times.to.0,
            lost: lost.collect(),
            error: damage.error.clone(),
        }
    }
}

impl DamageBody {
    pub(crate) fn read(self) -> Reading<Damage> {
        let lost = self.lost.into_iter().map(|lost| {
            Ok(LostOffsets {
                stream: wire::required(lost.stream, "stream")?.read()?,
                span: wire::span(lost.from, lost.to)?,
            })
        });
        Ok(Damage {
            flush: self.flush.parse()?,
            object_key: self.object_key,
            at: self.at,
            bytes: self.bytes,
            frames: self.frames,
            times: times(self.from_ms, self.to_ms),
            lost: lost.collect::<Reading<_>>()?,
            error: self.error,
        })
    }
}

impl From<&DamageRef> for DamageRefBody {
    fn from(damage: &DamageRef) -> Self {
        let (accepted, released) = match &damage.state {
            DamageState::Undecided => (None, None),
            DamageState::Accepted(decision) => (Some(DecisionBody::from(decision)), None),
            DamageState::Released(decision) => (None, Some(DecisionBody::from(decision))),
        };
        Self {
            id: damage.id.0,
            list: damage.list.clone(),
            object: damage.object.clone(),
            at: damage.at,
            bytes: damage.bytes,
            frames: damage.frames,
            from_ms: damage.times.from.0,
            to_ms: damage.times.to.0,
            accepted,
            released,
        }
    }
}

impl DamageRefBody {
    pub(crate) fn read(self) -> Reading<DamageRef> {
        let state = match (self.accepted, self.released) {
            (None, None) => DamageState::Undecided,
            (Some(decision), None) => DamageState::Accepted(decision.read()),
            (None, Some(decision)) => DamageState::Released(decision.read()),
            (Some(_), Some(_)) => return Err("a damage is both accepted and released".into()),
        };
        Ok(DamageRef {
            id: DamageId(self.id),
            list: self.list,
            object: self.object,
            at: self.at,
            bytes: self.bytes,
            frames: self.frames,
            times: times(self.from_ms, self.to_ms),
            state,
        })
    }
}

impl From<&Decision> for DecisionBody {
    fn from(decision: &Decision) -> Self {
        Self {
            actor: decision.actor.clone(),
            reason: decision.reason.clone(),
            time_ms: decision.time.0,
            generation: decision.generation.0,
        }
    }
}

impl DecisionBody {
    fn read(self) -> Decision {
        Decision {
            actor: self.actor,
            reason: self.reason,
            time: TimestampMs(self.time_ms),
            generation: Generation(self.generation),
        }
    }
}

fn times(from_ms: i64, to_ms: i64) -> TimeSpan {
    TimeSpan {
        from: TimestampMs(from_ms),
        to: TimestampMs(to_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_its_one_form() {
        let id = DamageId(0xab);
        assert_eq!(id.to_string(), "00000000000000ab");
        assert_eq!("00000000000000ab".parse(), Ok(id));
        for wrong in ["ab", "00000000000000AB", "+0000000000000ab", ""] {
            assert!(wrong.parse::<DamageId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_damage_that_is_accepted_and_released_is_refused() {
        let body = DamageRefBody {
            accepted: Some(DecisionBody::default()),
            released: Some(DecisionBody::default()),
            ..DamageRefBody::default()
        };
        assert!(body.read().unwrap_err().contains("both"));
    }
}
