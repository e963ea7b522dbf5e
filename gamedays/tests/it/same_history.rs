//! SK-16.

use skein_gamedays::seed_range;

#[test]
fn the_same_seed_gives_the_same_history() {
    let mut digests = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let first = seed_range::run_seed(seed, None);
        let second = seed_range::run_seed(seed, None);
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert_eq!(first.counts, second.counts, "seed {seed}");
        digests.insert(first.digest);
    }
    assert_eq!(digests.len(), 200, "another seed gives another history");
}

#[test]
fn a_traced_seed_has_the_same_history_line_by_line() {
    let (first, _) = seed_range::trace_seed(7, None);
    let (second, _) = seed_range::trace_seed(7, None);
    assert!(first.len() > 100);
    assert_eq!(first, second);
}
