//! The bug bank: real bugs of other systems, and traps that the protocol closes. The simulator has to find each.

use skein_connector::core::Mutant;

/// A bug, wherever it sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// In the core's decisions.
    Core(Mutant),
    /// The bucket's client takes a completion for done when the upload is there no more.
    TakesMissingUploadForSuccess,
    /// The bucket's client reads its own object, created by a try whose answer was lost, as another's.
    ReadsOwnWriteAsFenced,
    /// The bucket's client looks whether a key is free, and then writes it in any case.
    ChecksThenWrites,
    /// The bucket's client takes a throttled completion for done.
    SwallowsThrottledComplete,
    /// The bucket's client writes without a condition when it tries again.
    OverwritesLate,
    /// The bucket's client does not verify what it reads.
    SkipsChecksum,
    /// The janitor deletes what is old.
    DeletesByAge,
    /// The janitor deletes void flush manifests, so that their ids can be used again.
    CollectsVoidFlushes,
    /// A worker's status names the end that Kafka had when the worker came to its position, not the end that it has now.
    RemembersLogEnd,
    /// A worker's status names the bucket's time after Kafka was asked for its ends, not before.
    ReadsClockLast,
}

/// A bug with its name and origin.
#[derive(Debug, Clone)]
pub struct Bug {
    /// What `--mutant` calls it.
    pub name: &'static str,
    /// Where it sits.
    pub mutation: Mutation,
    /// Who had it.
    pub origin: &'static str,
    /// The first seed that finds it.
    pub caught_by: u64,
}

const fn bug(name: &'static str, mutation: Mutation, origin: &'static str, seed: u64) -> Bug {
    Bug {
        name,
        mutation,
        origin,
        caught_by: seed,
    }
}

/// Every bug.
pub const BUGS: [Bug; 21] = [
    bug(
        "commits-highest-offset",
        Mutation::Core(Mutant::CommitsHighestOffset),
        "Vector #24215: the highest offset was committed, not the contiguous one",
        0,
    ),
    bug(
        "commits-before-upload",
        Mutation::Core(Mutant::CommitsBeforeUpload),
        "connectors that commit before the upload is durable",
        0,
    ),
    bug(
        "drops-flush-on-error",
        Mutation::Core(Mutant::DropsFlushOnError),
        "Lenses, commit a28a0b35: a transient error on the first commit step dropped the staged buffer",
        1,
    ),
    bug(
        "takes-missing-upload-for-success",
        Mutation::TakesMissingUploadForSuccess,
        "ClickHouse #118829, FoundationDB #14027: NoSuchUpload taken for success",
        1348,
    ),
    bug(
        "reads-own-write-as-fenced",
        Mutation::ReadsOwnWriteAsFenced,
        "SlateDB: the own 412 after a retried PUT was read as being fenced",
        20,
    ),
    bug(
        "collects-void-flushes",
        Mutation::CollectsVoidFlushes,
        "SlateDB #1622: a garbage-collected manifest number was used again",
        176,
    ),
    bug(
        "commits-for-lost-partition",
        Mutation::Core(Mutant::CommitsForLostPartition),
        "librdkafka pull request 5604: offsets committed for a lost partition",
        4,
    ),
    bug(
        "checks-then-writes",
        Mutation::ChecksThenWrites,
        "versitygw #2288: a look before the write instead of create-if-absent",
        100,
    ),
    bug(
        "trusts-stale-position",
        Mutation::Core(Mutant::TrustsStalePosition),
        "librdkafka #2782: a stale stored offset after a re-assignment",
        34,
    ),
    bug(
        "revoke-drops-all-buffers",
        Mutation::Core(Mutant::RevokeDropsAllBuffers),
        "Confluent #794, #950: revoking one partition dropped the buffers of all",
        1,
    ),
    bug(
        "swallows-throttled-complete",
        Mutation::SwallowsThrottledComplete,
        "Confluent #269: a throttled Complete was swallowed",
        22,
    ),
    bug(
        "overwrites-late",
        Mutation::OverwritesLate,
        "Confluent #800: a task that slept 30 minutes overwrote newer data",
        2,
    ),
    bug(
        "drops-batch-when-denied",
        Mutation::Core(Mutant::DropsBatchWhenDenied),
        "Vector #24543: a batch was dropped when credentials were refused",
        1,
    ),
    bug(
        "skips-checksum",
        Mutation::SkipsChecksum,
        "stores and clients that never verify a checksum on reads",
        66,
    ),
    bug(
        "deletes-by-age",
        Mutation::DeletesByAge,
        "lifecycle rules and janitors that delete what is old, without a fence",
        0,
    ),
    bug(
        "reads-without-genesis",
        Mutation::Core(Mutant::ReadsWithoutGenesis),
        "a chain without a first entry: two workers begin it at two offsets",
        0,
    ),
    bug(
        "keeps-tenure",
        Mutation::Core(Mutant::KeepsTenure),
        "frames of an ended tenure counted with those of the next",
        27,
    ),
    bug(
        "trusts-replaced-log",
        Mutation::Core(Mutant::TrustsReplacedLog),
        "a topic made anew is read on as if it were the old one",
        295,
    ),
    bug(
        "ignores-still",
        Mutation::Core(Mutant::IgnoresStill),
        "a client that is paused loses the word that its position is refused: it is waited for, for good",
        92,
    ),
    bug(
        "remembers-log-end",
        Mutation::RemembersLogEnd,
        "a stalled worker goes on claiming to be at the end: its heart beats, its reading does not",
        1,
    ),
    bug(
        "reads-clock-last",
        Mutation::ReadsClockLast,
        "a worker that is stalled between asking and telling claims what was true before",
        395,
    ),
];

impl Bug {
    /// The bug of a name.
    pub fn named(name: &str) -> Option<Self> {
        BUGS.into_iter().find(|bug| bug.name == name)
    }
}
