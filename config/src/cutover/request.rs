//! What is asked of a cutover, and the two answers: its next version, or why not.

use std::fmt;

use skein_shared::cutover::{CutoverState, Edges, Standing, UndoCost};
use skein_shared::format::cutover_version::{Change, CutoverVersion, Evidence};
use skein_shared::format::delete_entry::{EntryHash, Statement};
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Pipeline, SealVector, Timeline};
use skein_shared::window::{TimeSpan, TimestampMs};

/// Something that a person or the controller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The new pipeline is to write beside the old one.
    Create(EdgeChoice),
    /// So many reads in a hundred are to run on the new pipeline, too.
    MirrorTraffic(u8),
    /// Readers are to see the new pipeline's points from an edge on.
    SwitchTraffic(EdgeChoice),
    /// Readers are to see the old pipeline's points again.
    ReverseTraffic(Reverse),
    /// The old pipeline is to end: after a switch it ceases to write, after a seal it is kept for reading alone.
    Complete(Confirmation),
    /// The step that has not taken effect is taken back, or the whole cutover.
    Cancel,
    /// What the old pipeline has is not needed any more.
    Purge(Confirmation),
    /// A span that was proven equal is the old pipeline's again.
    Reassign(TimeSpan),
    /// Nothing is to go on by itself.
    Pause,
    /// It is to go on.
    Resume,
    /// The log and what is observed disagree: nothing goes on until it is repaired.
    Fault(String),
    /// They agree again.
    Repair,
    /// What is due by time, acknowledgements and progress.
    Advance,
}

/// Where an edge is to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeChoice {
    /// As soon as is safe.
    Soonest,
    /// There.
    At(TimestampMs),
}

/// How readers go back to the old pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reverse {
    /// From an edge in the future on; what the new pipeline has shown stays its own.
    Forward(EdgeChoice),
    /// From the switch on, at once: answers that were given change.
    Void,
}

/// Whether a person has named the org of which something is to be done that cannot be taken back with metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// Nobody has.
    Missing,
    /// This org was named.
    Of(OrgId),
}

/// What a change makes of a cutover: a version without its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextVersion {
    /// The verb, as on the command line.
    pub verb: &'static str,
    /// Where the cutover stood.
    pub from: CutoverState,
    /// Where it stands.
    pub state: CutoverState,
    /// Whether it goes on.
    pub standing: Standing,
    /// Who writes and who is visible.
    pub timeline: Timeline,
    /// The edges that the state is about.
    pub edges: Edges,
    /// Up to where the old pipeline has written.
    pub seal: NextSeal,
    /// How many reads in a hundred also run on the new pipeline.
    pub mirror_percent: u8,
    /// What the change rests on.
    pub evidence: Vec<Evidence>,
    /// What it costs to take the change back.
    pub undo: UndoCost,
    /// Where the old pipeline's files are, once only readers use them.
    pub old_place: Option<String>,
    /// Event times of which answers that were given before are other ones now.
    pub restated: Option<TimeSpan>,
}

/// The seal of a next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextSeal {
    /// That of an earlier version, if there is one.
    Kept(Option<u64>),
    /// These positions, which are to be kept before the version that names them.
    Taken(SealVector),
}

/// Why there is no next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the caller must do.
    pub kind: RefusalKind,
    /// In words.
    pub reason: String,
}

/// What the caller must do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalKind {
    /// Wait: nothing is wrong, and what is awaited may come.
    NotYet,
    /// Ask for something else: no state allows it so.
    Invalid,
    /// Look at what is wrong: a gate says no.
    Gate,
    /// Get evidence: a gate cannot say.
    Inconclusive,
    /// Read again: the cutover does not stand where this is possible.
    Conflict,
    /// Name the org: taking it back costs more than metadata.
    Irreversible,
}

impl Request {
    /// The verb, as on the command line and in versions.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::MirrorTraffic(_) => "mirror-traffic",
            Self::SwitchTraffic(_) => "switch-traffic",
            Self::ReverseTraffic(_) => "reverse-traffic",
            Self::Complete(_) => "complete",
            Self::Cancel => "cancel",
            Self::Purge(_) => "purge",
            Self::Reassign(_) => "reassign",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Fault(_) => "fault",
            Self::Repair => "repair",
            Self::Advance => "advance",
        }
    }
}

impl NextVersion {
    /// What `before` says, to be changed; of an org without a version, that the old pipeline has everything.
    pub fn after(before: Option<&CutoverVersion>, verb: &'static str) -> Self {
        let Some(before) = before else {
            return Self {
                verb,
                from: CutoverState::Off,
                state: CutoverState::Off,
                standing: Standing::Going,
                timeline: Timeline::owned_by(Pipeline::Old),
                edges: Edges::default(),
                seal: NextSeal::Kept(None),
                mirror_percent: 0,
                evidence: vec![],
                undo: UndoCost::Metadata,
                old_place: None,
                restated: None,
            };
        };
        Self {
            verb,
            from: before.state,
            state: before.state,
            standing: Standing::Going,
            timeline: before.timeline.clone(),
            edges: before.edges,
            seal: NextSeal::Kept(before.seal),
            mirror_percent: before.mirror_percent,
            evidence: before.evidence.clone(),
            undo: before.undo,
            old_place: before.old_place.clone(),
            restated: None,
        }
    }

    /// The version of `org` that follows `before`.
    pub fn numbered(
        &self,
        org: OrgId,
        before: Option<(&CutoverVersion, EntryHash)>,
        (stated, at): (Statement, TimestampMs),
    ) -> CutoverVersion {
        let version = before.map_or(0, |(before, _)| before.version) + 1;
        CutoverVersion {
            org,
            version,
            previous: before.map_or_else(EntryHash::default, |(_, hash)| hash),
            change: Change {
                verb: self.verb.to_owned(),
                from: self.from,
                stated,
                at,
            },
            state: self.state,
            standing: self.standing.clone(),
            timeline: self.timeline.clone(),
            edges: self.edges,
            seal: match self.seal {
                NextSeal::Kept(seal) => seal,
                NextSeal::Taken(_) => Some(version),
            },
            mirror_percent: self.mirror_percent,
            evidence: self.evidence.clone(),
            undo: self.undo,
            old_place: self.old_place.clone(),
        }
    }
}

impl Refusal {
    /// A refusal.
    pub fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { kind, reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
