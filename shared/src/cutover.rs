//! The words of a cutover: its states, whether it goes on, its edges, and what taking a step back costs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::window::TimestampMs;

/// Where the cutover of an org stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CutoverState {
    /// The old pipeline has everything.
    Off = 0,
    /// The new one writes from an edge in the future on.
    Starting = 1,
    /// Both write, the old one is visible.
    Shadow = 2,
    /// The same, and a share of reads is compared.
    Canary = 3,
    /// The new one is visible from an edge in the future on.
    Scheduled = 4,
    /// The same, and everybody knows.
    Armed = 5,
    /// The new one is visible, both write.
    Switched = 6,
    /// The old one ends to write at an edge in the future.
    Contracting = 7,
    /// The old one is read alone.
    Sealed = 8,
    /// It is kept for what it holds.
    Done = 9,
    /// The old one is to be visible again from an edge on.
    Reversing = 10,
    /// It is.
    Reversed = 11,
}

/// Whether a cutover goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// It does.
    #[default]
    Going,
    /// Somebody stopped it.
    Paused,
    /// A gate says no.
    Blocked(String),
    /// A gate cannot say.
    Inconclusive(String),
    /// It needs `repair`.
    Faulted(String),
}

/// Event times at which something changes; those that the state is not about are absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edges {
    /// From here on the new pipeline writes.
    pub new_writes_from: Option<TimestampMs>,
    /// From here on it is visible.
    pub switch_at: Option<TimestampMs>,
    /// From here on the old one does not write.
    pub old_ends_at: Option<TimestampMs>,
    /// From here on the old one is visible again.
    pub reverse_at: Option<TimestampMs>,
}

/// What it takes to undo a change; each costs more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum UndoCost {
    /// Metadata alone: the target has written the span.
    Metadata = 0,
    /// One lead: an edge in the future is moved.
    OneLead = 1,
    /// State is replayed through the other pipeline, and compared.
    Replay = 2,
    /// What was kept is restored.
    Restore = 3,
}

/// Who has to know of a cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NodeRole {
    /// Writes segments.
    Compactor = 1,
    /// Writes the old pipeline's files.
    OldPipeline = 2,
    /// Reads both, in one process that ends.
    Reader = 3,
    /// Reads both, for others.
    Server = 4,
}

/// What a comparison is called: `[A-Za-z0-9_-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComparisonName(Arc<str>);

impl CutoverState {
    /// All of them, in the order of a cutover that goes well; then the way back.
    pub const ALL: [Self; 12] = [
        Self::Off,
        Self::Starting,
        Self::Shadow,
        Self::Canary,
        Self::Scheduled,
        Self::Armed,
        Self::Switched,
        Self::Contracting,
        Self::Sealed,
        Self::Done,
        Self::Reversing,
        Self::Reversed,
    ];

    /// The name that commands and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starting => "starting",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Scheduled => "scheduled",
            Self::Armed => "armed",
            Self::Switched => "switched",
            Self::Contracting => "contracting",
            Self::Sealed => "sealed",
            Self::Done => "done",
            Self::Reversing => "reversing",
            Self::Reversed => "reversed",
        }
    }
}

impl fmt::Display for CutoverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CutoverState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|state| state.name() == text);
        named.ok_or_else(|| format!("`{text}` is no state of a cutover"))
    }
}

impl UndoCost {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 4] = [Self::Metadata, Self::OneLead, Self::Replay, Self::Restore];

    /// What a person reads before a verb runs.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Metadata => "R0: metadata only",
            Self::OneLead => "R1: one lead time",
            Self::Replay => "R2: a replay of state through the other pipeline, and a comparison",
            Self::Restore => "R3: a restore from retention",
        }
    }
}

impl NodeRole {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Compactor,
        Self::OldPipeline,
        Self::Reader,
        Self::Server,
    ];

    /// The name that keys and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compactor => "compactor",
            Self::OldPipeline => "old",
            Self::Reader => "reader",
            Self::Server => "server",
        }
    }
}

impl FromStr for NodeRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|role| role.name() == text);
        named.ok_or_else(|| format!("`{text}` is no role of a node"))
    }
}

impl ComparisonName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// A message that names what is wrong.
    pub fn new(name: impl Into<String>) -> Result<Self, String> {
        let name = name.into();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if (1..=64).contains(&name.len()) && name.chars().all(legal) {
            return Ok(Self(name.into()));
        }
        Err(format!(
            "comparison `{name}` must have 1 to 64 of A-Z, a-z, 0-9, `_` and `-` as its name"
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComparisonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
