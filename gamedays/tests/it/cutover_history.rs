//! Random histories of cutovers: they keep the promises, every known trap is found, the same seed gives the same history.

use std::ops::Range;

use skein_gamedays::cutover_history::boundary::{self, Case, Serving, cases};
use skein_gamedays::cutover_history::counts::Counts;
use skein_gamedays::cutover_history::history_range::run_seed;
use skein_gamedays::cutover_history::mutant::{Mutant, TRAPS};
use skein_gamedays::seed_range::{self, RangeOptions, RangeReport};

fn run(seeds: Range<u64>, mutation: Option<Mutant>) -> RangeReport<Counts> {
    seed_range::keep_panics_quiet();
    let options = RangeOptions {
        seeds,
        mutation,
        enough_failures: 1,
        threads: 0,
    };
    seed_range::run_each(&options, run_seed, |_| {})
}

#[test]
fn cutovers_keep_their_promises_in_every_history() {
    let report = run(0..20_000, None);
    assert_eq!(report.failures, Vec::new(), "the seed is named");
    assert_eq!(report.seeds, 20_000);
    let rare: Vec<_> = report.counts.named().into_iter().collect();
    let missing = rare.iter().filter(|(_, count)| *count < 50);
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&(&str, u64)>::new());
}

#[test]
fn every_trap_of_cutovers_is_found() {
    let missed = TRAPS
        .iter()
        .filter(|trap| run(0..20_000, Some(trap.mutant)).failures.is_empty());
    let missed: Vec<&str> = missed.map(|trap| trap.name).collect();
    assert_eq!(missed, Vec::<&str>::new());
}

#[test]
fn the_same_seed_gives_the_same_cutovers() {
    let digests =
        |seeds: Range<u64>| -> Vec<u64> { seeds.map(|seed| run_seed(seed, None).digest).collect() };
    let first = digests(0..50);
    assert_eq!(first, digests(0..50));
    assert_ne!(first, digests(50..100));
}

#[test]
fn every_kind_of_point_at_every_kind_of_edge_is_read_as_one_system_would() {
    let broken: Vec<String> = cases()
        .filter_map(|case| {
            boundary::run(case)
                .err()
                .map(|how| format!("{case:?}: {how}"))
        })
        .collect();
    assert_eq!(broken, Vec::<String>::new());
    assert_eq!(cases().count(), 288);
    // The table can tell: buckets that straddle an edge are not the new pipeline's.
    let straddled = cases().map(|case| Case {
        serving: Serving::ByEnd,
        ..case
    });
    let broken = straddled.filter(|case| boundary::run(*case).is_err());
    assert!(broken.count() > 10);
}
