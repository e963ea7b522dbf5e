//! A real server that cannot be had on this machine, and why.

use std::fmt;

/// Why a real server could not be fetched or started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// For the closing summary of the tests: what was tried and what it said.
    pub reason: String,
}

impl Unavailable {
    /// Gives the reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Unavailable {}
