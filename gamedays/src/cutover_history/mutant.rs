//! Known bugs and traps of cutovers. The histories have to find each.

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Reads go by event time, and writes by the time at which they happen.
    WritesByNow,
    /// Edges are set where the clock stands.
    EdgesWithoutLead,
    /// Late points go to the new pipeline as soon as the old one's end is set, before the seal.
    LateToNewBeforeSeal,
    /// The new pipeline becomes visible where it has filtered points before it was to write them.
    VisibleOverFiltered,
    /// The new pipeline amends also what the old one has written, of records below the vector.
    AmendsBelowVector,
    /// A changed percentage moves orgs that have edges of their own.
    PercentMovesEdges,
    /// What is going to be visible may have read less than what is.
    FlipsToWhoLags,
    /// Reads of a span that is amended take all that segments hold there that were made before the seal.
    TakesLeftovers,
    /// The new pipeline stops to write what a pinned scan may still ask it for.
    CancelsUnderScans,
    /// A change of one org's timeline is made to all.
    ChangesEveryOrg,
}

/// A mutant with its name and origin.
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    /// What `--mutant` calls it.
    pub name: &'static str,
    /// The rule.
    pub mutant: Mutant,
    /// What it is, in words.
    pub words: &'static str,
    /// The first seed that finds it.
    pub caught_by: u64,
}

const fn trap(name: &'static str, mutant: Mutant, words: &'static str, seed: u64) -> Trap {
    Trap {
        name,
        mutant,
        words,
        caught_by: seed,
    }
}

/// Every mutant.
pub const TRAPS: [Trap; 10] = [
    trap(
        "writes-by-now",
        Mutant::WritesByNow,
        "the classic trap: reads are routed by event time, writes by the time at which they happen",
        7,
    ),
    trap(
        "edges-without-lead",
        Mutant::EdgesWithoutLead,
        "a flip without lead: nodes learn of an edge when it has passed",
        72,
    ),
    trap(
        "late-to-new-before-seal",
        Mutant::LateToNewBeforeSeal,
        "late points go to the new pipeline before readers look for them there",
        7,
    ),
    trap(
        "visible-over-filtered",
        Mutant::VisibleOverFiltered,
        "points of the future, filtered before the new pipeline was to write them, are lost to readers",
        96,
    ),
    trap(
        "amends-below-vector",
        Mutant::AmendsBelowVector,
        "an outdated amendment wins over what the old pipeline wrote later",
        13,
    ),
    trap(
        "percent-moves-edges",
        Mutant::PercentMovesEdges,
        "a changed share of orgs moves one that has edges of its own",
        2,
    ),
    trap(
        "flips-to-who-lags",
        Mutant::FlipsToWhoLags,
        "points that were seen vanish, as the pipeline that is visible now has yet to read them",
        5,
    ),
    trap(
        "takes-leftovers",
        Mutant::TakesLeftovers,
        "what an earlier try left behind wins over what the old pipeline wrote later",
        13,
    ),
    trap(
        "cancels-under-scans",
        Mutant::CancelsUnderScans,
        "a scan that began before a cancel asks a pipeline that writes no more",
        1923,
    ),
    trap(
        "changes-every-org",
        Mutant::ChangesEveryOrg,
        "one org's edge is every org's",
        0,
    ),
];

impl Trap {
    /// The one of a name.
    pub fn named(name: &str) -> Option<Self> {
        TRAPS.into_iter().find(|trap| trap.name == name)
    }
}
