//! What must the caller do about an error?

/// The caller's duty after an error. A bug is not a kind: it is an assert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same call may succeed later: back off and retry.
    Transient,
    /// Another process owns this partition or shard: drop local work and rejoin.
    Fenced,
    /// Stored bytes break the format: quarantine, alert, never retry.
    Corrupt,
    /// Input, setting or permission is wrong: reject it, or refuse to start.
    Invalid,
}
