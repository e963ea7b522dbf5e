//! Known bugs, to be switched on where a simulator has to prove that it would find them.
//!
//! Each is a real bug of another system, or a trap that the protocol closes. Without one, which is always so outside a
//! simulation, the core decides as it should.

/// A bug of the core's decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Commits the highest offset that was read, not the end of what is durable without a gap (Vector #24215).
    CommitsHighestOffset,
    /// Commits what a flush has sealed before its objects are uploaded (connectors that commit on a timer).
    CommitsBeforeUpload,
    /// Drops a flush when the first step of its commit fails in passing (Lenses, commit a28a0b35).
    DropsFlushOnError,
    /// Goes on committing for a partition that was taken away (librdkafka pull request 5604).
    CommitsForLostPartition,
    /// Believes the consumer's position of an earlier assignment (librdkafka #2782).
    TrustsStalePosition,
    /// Drops the buffers of all partitions when one is revoked (Confluent #794, #950).
    RevokeDropsAllBuffers,
    /// Takes a batch for done when credentials are refused (Vector #24543).
    DropsBatchWhenDenied,
    /// Reads a partition before its chain has a genesis.
    ReadsWithoutGenesis,
    /// Marks frames of a new tenure with the number of the one before.
    KeepsTenure,
    /// Does not compare the ledger's last record with Kafka's, so that a topic made anew goes unnoticed.
    TrustsReplacedLog,
    /// Does not look at partitions that stand still: it waits for the word that their position is refused.
    IgnoresStill,
}
