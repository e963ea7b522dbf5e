//! What must the caller do about an error?

/// The caller's duty after an error. A bug is not a kind: it is an assert.
///
/// In the order of how bad it is: what heals by itself, what another try heals, what a person has to set right,
/// and what a person may not be able to set right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The same call may succeed later: back off and retry.
    Transient,
    /// Another process owns this partition or shard: drop local work and rejoin.
    Fenced,
    /// Input, setting or permission is wrong: reject it, or refuse to start.
    Invalid,
    /// Stored bytes break the format: quarantine, alert, never retry.
    Corrupt,
}
