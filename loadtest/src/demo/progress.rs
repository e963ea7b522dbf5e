//! How far the demo is.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// Told how far a stage is; called from several threads, must return at once.
pub type OnStageProgress = Arc<dyn Fn(StageProgress) + Send + Sync>;

/// A stage of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Generator to Kafka.
    Produce,
    /// Kafka to state objects.
    Connect,
    /// State objects to segments.
    Compact,
    /// Segments to points, each compared.
    Read,
    /// Every object checked.
    Verify,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StageProgress {
    /// Which.
    pub stage: Stage,
    /// How much is done.
    pub done: u64,
    /// Of how much.
    pub total: u64,
    /// What is counted: `points`, `records`, `bytes`.
    pub unit: &'static str,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Produce => "produce",
            Self::Connect => "connect",
            Self::Compact => "compact",
            Self::Read => "read",
            Self::Verify => "verify",
        })
    }
}
