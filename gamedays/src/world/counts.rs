//! What a world has seen: shows that a run reached what it is meant to prove.

use serde::{Serialize, Serializer};

use crate::fault::{FAMILIES, Family, Strikes};

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts of one world, or of many.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counts {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// How often each family of faults has struck.
            pub struck: Strikes,
        }

        impl Counts {
            /// Adds another world's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
                for place in 0..FAMILIES {
                    self.struck[place] += other.struck[place];
                }
            }

            /// Every count with its name.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                let mut named = vec![$((stringify!($name), self.$name),)+];
                let struck = Family::ALL.into_iter().zip(self.struck);
                named.extend(struck.map(|(family, count)| (family.name(), count)));
                named
            }
        }
    };
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named())
    }
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
    /// Commits whose outcome came when it was not waited for any more.
    late_commits,
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
    /// Positions that Kafka did not have any more, without a word: their consumer was paused before it was taken.
    lost_words,
    /// Partitions that were seen to stand still below Kafka's end.
    stood_still,
    /// Times that a core closed its intake.
    full,
    /// Versions of the shard map beyond the first.
    shard_maps,
    /// Requests that were sent again.
    retries,
    /// Looks at which a retry was due and the budget allowed none.
    held_back,
    /// Requests that were sent a second time while the first try was under way.
    hedges,
    /// Looks at which some lane of uploads was narrower than it may be.
    narrowed,
    /// Times that cores told that the store refuses everything.
    refusals,
    /// Times that they told that it takes everything again.
    acceptances,
    /// Holes that Kafka had where the ledger ends.
    holes,
    /// Holes that were recorded as lost.
    lost_spans,
    /// Lives of topics beyond the first.
    incarnations,
    /// Offsets that were left to the next owner in a storm of rebalances.
    left_offsets,
    /// Records in quarantine.
    quarantined,
    /// Objects whose upload somebody had dropped.
    lost_objects,
    /// Flushes that the janitor has declared void.
    voided,
    /// Watermarks of chains that were compared with what Kafka had.
    watermarks,
    /// Partitions of killed processes whose replay had to be bounded.
    bounded_replays,
}
