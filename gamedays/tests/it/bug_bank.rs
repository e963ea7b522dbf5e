//! Every known bug is found on the range that is stored with it, and the core itself is clean there.

use std::ops::Range;

use skein_gamedays::mutants::{BUGS, Bug};
use skein_gamedays::seed_range::{self, RangeOptions, RangeReport};

/// Seeds around the one that finds a bug.
fn range_of(bug: &Bug) -> Range<u64> {
    let first = bug.caught_by.saturating_sub(20);
    first..bug.caught_by + 20
}

fn run(bug: &Bug, with: Option<skein_gamedays::mutants::Mutation>) -> RangeReport {
    let options = RangeOptions {
        seeds: range_of(bug),
        mutation: with,
        enough_failures: 1,
        threads: 0,
    };
    seed_range::run(&options, |_| {})
}

#[test]
fn every_known_bug_is_found_on_its_range() {
    seed_range::keep_panics_quiet();
    let missed = BUGS
        .iter()
        .filter(|bug| run(bug, Some(bug.mutation)).failures.is_empty());
    let missed: Vec<&str> = missed.map(|bug| bug.name).collect();
    assert_eq!(missed, Vec::<&str>::new());
}

#[test]
fn without_a_bug_the_same_ranges_are_clean() {
    for bug in &BUGS {
        let report = run(bug, None);
        assert_eq!(report.failures, Vec::new(), "{}", bug.name);
    }
}
