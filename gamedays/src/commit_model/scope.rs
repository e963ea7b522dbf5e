//! How large a world is, and which rule it breaks.

/// How many of what there are. A world is finite: readers apart, everything is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Compactors at the same time.
    pub compactors: usize,
    /// Collectors at the same time.
    pub collectors: usize,
    /// How often each of them collects.
    pub passes: u8,
    /// Units of input in each chain of input.
    pub units: [u8; CHAINS],
    /// What is merged.
    pub merges: Merges,
    /// What collectors declare void.
    pub fences: Fences,
    /// Crashes and late requests, of all processes together.
    pub faults: u8,
    /// The rule that is broken.
    pub bug: Option<Bug>,
}

/// When a compactor merges what is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merges {
    /// Together with new input.
    WithInput,
    /// Also without.
    Alone,
}

/// What a collector declares void, of what nobody names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fences {
    /// All that was expected before its own manifest: also what slow compactors are still writing.
    AllBefore,
    /// That, or less: whatever patience it has.
    Any,
}

/// Chains of input: changes of different ones do not conflict.
pub const CHAINS: usize = 2;

/// A rule of the protocol that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A change is issued again without looking whether its segment is void by now.
    ReissuesVoidSegment,
    /// A change is issued again over positions that another has moved.
    ReissuesOverMovedPositions,
    /// A change is issued again although a segment that it merged is gone.
    ReissuesOverReplacedSegments,
    /// A compactor does not look whether its manifest was created where one had been deleted.
    SkipsKeptFromCheck,
    /// It looks, but not after a request that it had to repeat: a number that was collected is used again.
    ReusesCollectedNumber,
    /// A manifest that exists when a request is repeated is taken for the own one.
    TakesExistenceForSuccess,
    /// A collector deletes what its manifest would allow before the manifest is there.
    DeletesBeforeFence,
    /// A collector deletes every manifest but the newest.
    DeletesKeptManifests,
    /// A collector does not ask what readers hold.
    IgnoresPins,
    /// A collector looks for references in the newest manifest alone.
    LooksAtNewestOnly,
    /// A collector deletes segments that no manifest names, whatever generation they expect.
    DeletesUnreferenced,
    /// A compactor whose number is taken waits for it to become free.
    InsistsOnNumber,
}

/// Every bug.
pub const BUGS: [Bug; 12] = [
    Bug::ReissuesVoidSegment,
    Bug::ReissuesOverMovedPositions,
    Bug::ReissuesOverReplacedSegments,
    Bug::SkipsKeptFromCheck,
    Bug::ReusesCollectedNumber,
    Bug::TakesExistenceForSuccess,
    Bug::DeletesBeforeFence,
    Bug::DeletesKeptManifests,
    Bug::IgnoresPins,
    Bug::LooksAtNewestOnly,
    Bug::DeletesUnreferenced,
    Bug::InsistsOnNumber,
];
