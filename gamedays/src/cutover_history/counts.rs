//! What histories have seen: shows that they reached what they are meant to prove.

use serde::{Serialize, Serializer};

use crate::seed_range::Tally;

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts of one history, or of many.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counts {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counts {
            /// Adds another history's.
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

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named())
    }
}

counts! {
    /// Steps.
    steps,
    /// Series that were read and compared.
    reads,
    /// Points of them.
    points,
    /// Records that came.
    records,
    /// Points that were older than what they were to be by a lead and more.
    late,
    /// Points whose time was there already.
    duplicates,
    /// Records that came a second time.
    replays,
    /// Points from farther ahead than any clock.
    future,
    /// Manifests of compactors.
    commits,
    /// Commits that were refused, for positions or for an older fleet.
    superseded,
    /// Segments that were written without a filter.
    unfiltered,
    /// Points that the new pipeline left to the old one.
    not_owned,
    /// Points that were amended.
    amended,
    /// Files of the old pipeline.
    files,
    /// Files of one that had lost its partition.
    zombie_files,
    /// Times that a node was cut off.
    cut_offs,
    /// Reads by an older fleet.
    pinned_reads,
    /// Versions.
    versions,
    /// Cutovers that were begun.
    created,
    /// That were given up.
    cancelled,
    /// Switches whose edge has passed.
    switched,
    /// Switches that were moved, as a node had not acknowledged.
    postponed,
    /// Taken back from the switch on.
    voided,
    /// Ends of the old pipeline that were set.
    contracted,
    /// Seals.
    sealed,
    /// Times that the old pipeline was to come back.
    reversing,
    /// Times that it did.
    reversed,
    /// Changes of a share of orgs.
    shares,
}

impl Tally for Counts {
    fn add(&mut self, other: &Self) {
        Counts::add(self, other);
    }

    fn named(&self) -> Vec<(&'static str, u64)> {
        Counts::named(self)
    }
}
