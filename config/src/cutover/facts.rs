//! What is known when a change of a cutover is decided: collected once, so that the decision itself asks nobody.

use std::collections::BTreeMap;

use skein_shared::cutover::NodeRole;
use skein_shared::format::diff_verdict::DiffVerdict;
use skein_shared::ids::Chain;
use skein_shared::offset::Offset;
use skein_shared::timeline::{Pipeline, SealVector};
use skein_shared::window::TimestampMs;

/// What is known of one org's cutover at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// By the bucket's clock.
    pub now: TimestampMs,
    /// The build that decides; evidence must be of the same.
    pub build: String,
    /// Who has the orgs that were never cut over.
    pub unenrolled: Pipeline,
    /// The first version from which on the timeline is what it is in the newest; 0 without a version.
    pub same_timeline_since: u64,
    /// What every node said last, those that have been silent for long among them.
    pub nodes: Vec<NodeFact>,
    /// What comparisons of the org found, in any order.
    pub verdicts: Vec<VerdictFact>,
    /// How far the new pipeline is.
    pub new: NewFacts,
    /// How far the old one is.
    pub old: OldFacts,
    /// The seal that is in force.
    pub seal: Option<SealVector>,
    /// Where the old pipeline's files are.
    pub old_place: String,
    /// All that is earlier has expired, and nobody reads it; `None` where the org's points are kept for ever.
    pub kept_from: Option<TimestampMs>,
}

/// What a node said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFact {
    /// What it does.
    pub role: NodeRole,
    /// How reports call it.
    pub name: String,
    /// The org's version that it goes by; 0 is before the first.
    pub version: u64,
    /// When it said so, by the bucket's clock.
    pub at: TimestampMs,
    /// Whether it leaves the org out because it saw an edge too late.
    pub fence: NodeFence,
}

/// Whether a node leaves an org out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeFence {
    /// It goes by the timeline.
    Open,
    /// It saw an edge too late.
    Fenced,
}

/// What a comparison found, and the object that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictFact {
    /// The verdict.
    pub verdict: DiffVerdict,
    /// Its object.
    pub key: String,
    /// xxh3-128 of the object.
    pub digest: u128,
}

/// How far the new pipeline is with the org.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewFacts {
    /// Up to which record time its segments hold everything; `None` when that is not known.
    pub complete_to: Option<TimestampMs>,
    /// The highest event time of a point that it passed over because the org's timeline gave it to the old one alone.
    pub not_owned_to: Option<TimestampMs>,
    /// Points that went in and that nothing accounts for.
    pub unaccounted: u64,
}

/// How far the old pipeline is with the org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldFacts {
    /// It can be asked.
    Active(OldProgress),
    /// Nobody can ask it: it is taken to write for ever, and acknowledges nothing.
    Passive,
}

/// What an old pipeline says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OldProgress {
    /// Up to which record time its files hold everything; `None` when it did not say.
    pub complete_to: Option<TimestampMs>,
    /// The positions up to which its files hold everything; `None` when it did not say.
    pub positions: Option<BTreeMap<Chain, Offset>>,
    /// The highest event time of a point of the org that it left to the new pipeline alone.
    pub not_written_to: Option<TimestampMs>,
}
