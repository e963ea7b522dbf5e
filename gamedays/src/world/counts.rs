//! What a world has seen: shows that a run reached what it is meant to prove.

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts of one world, or of many.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
        pub struct Counts {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counts {
            /// Adds another world's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }

            /// Every count with its name.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

counts! {
    /// Turns.
    steps,
    /// Virtual time.
    virtual_ms,
    /// Records that cores were given.
    records,
    /// Requests that reached the bucket.
    requests,
    /// Requests of cores that failed.
    failures,
    /// Answers that never came.
    time_outs,
    /// Ledger entries.
    entries,
    /// Uploads that became objects.
    uploads,
    /// Spans that another worker had covered.
    conflicts,
    /// Conditions that did not hold, and uploads that were there no more: whose is what is there?
    unclear_ends,
    /// Flush manifests and geneses that another had written.
    taken,
    /// Revocations that were answered before everything was flushed.
    missed_drains,
    /// Sessions that were over while their process still ran.
    zombies,
    /// Commits that Kafka took.
    commits,
    /// Commits that it refused.
    refused_commits,
    /// Processes that were killed.
    crashes,
    /// Processes that ended by themselves.
    exits,
    /// Processes that were stopped for a while.
    pauses,
    /// Objects and uploads that the janitor removed.
    removals,
    /// Uploads that the bucket's own rule dropped.
    expiries,
    /// Partitions that were stopped with an alert.
    alerts,
    /// Positions that Kafka did not have any more.
    offsets_lost,
    /// Times that a core closed its intake.
    full,
    /// Versions of the shard map beyond the first.
    shard_maps,
}
