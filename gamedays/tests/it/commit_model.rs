//! Commits and garbage collection of one shard, in every interleaving: the protocol is clean, every broken rule is found.

use skein_gamedays::commit_model::scope::{BUGS, Bug, Fences, Merges, Scope};
use skein_gamedays::commit_model::search::{Explored, explore};

/// Two compactors and one collector over two units of input that do not conflict.
const SMALL: Scope = Scope {
    compactors: 2,
    collectors: 1,
    passes: 1,
    units: [1, 1],
    merges: Merges::WithInput,
    fences: Fences::AllBefore,
    faults: 0,
    bug: None,
};

/// Without collectors, for rules among compactors.
const THREE_UNITS: Scope = Scope {
    collectors: 0,
    units: [2, 1],
    ..SMALL
};

#[track_caller]
fn is_clean(scope: &Scope) -> Explored {
    let explored = explore(scope);
    let broken = explored.broken.as_ref();
    let broken = broken.map(|it| format!("{}\n{}", it.promise, it.way));
    assert_eq!(broken, None, "{scope:?}");
    explored
}

/// The least scope known to show each bug.
fn scope_of(bug: Bug) -> Scope {
    let scope = match bug {
        Bug::ReissuesOverMovedPositions | Bug::ReissuesOverReplacedSegments => THREE_UNITS,
        Bug::TakesExistenceForSuccess => Scope {
            faults: 1,
            ..THREE_UNITS
        },
        Bug::ReusesCollectedNumber => Scope { faults: 1, ..SMALL },
        Bug::InsistsOnNumber => Scope {
            compactors: 1,
            ..SMALL
        },
        Bug::ReissuesVoidSegment
        | Bug::SkipsKeptFromCheck
        | Bug::DeletesBeforeFence
        | Bug::DeletesKeptManifests
        | Bug::IgnoresPins
        | Bug::LooksAtNewestOnly
        | Bug::DeletesUnreferenced => SMALL,
    };
    Scope {
        bug: Some(bug),
        ..scope
    }
}

#[test]
fn every_broken_rule_of_commits_is_found() {
    for bug in BUGS {
        let scope = scope_of(bug);
        let broken = explore(&scope).broken;
        let broken = broken.unwrap_or_else(|| panic!("{bug:?} was not found"));
        assert!(broken.way.lines().count() > 3, "{bug:?}: {broken:?}");
        is_clean(&Scope { bug: None, ..scope });
    }
}

#[test]
fn commits_are_atomic_whatever_crashes_or_arrives_late() {
    let explored = is_clean(&Scope { faults: 1, ..SMALL });
    assert!(explored.states > 300_000, "{explored:?}");
    is_clean(&Scope {
        faults: 1,
        ..THREE_UNITS
    });
}

#[test]
fn what_is_collected_is_named_by_nothing_that_is_kept() {
    let three = Scope {
        units: [2, 1],
        ..SMALL
    };
    assert_eq!(is_clean(&three).generations, 4);
    is_clean(&Scope {
        merges: Merges::Alone,
        ..SMALL
    });
}

#[test]
fn collectors_do_no_harm_to_one_another() {
    is_clean(&Scope {
        collectors: 2,
        ..SMALL
    });
}

#[test]
fn a_collector_may_spare_what_slow_compactors_write() {
    is_clean(&Scope {
        fences: Fences::Any,
        ..SMALL
    });
}

/// Minutes and gigabytes: `SKEIN_COMMIT_MODEL=large`.
#[test]
fn larger_worlds_are_clean_as_well() {
    if std::env::var("SKEIN_COMMIT_MODEL").is_err() {
        return;
    }
    let three = Scope {
        units: [2, 1],
        ..SMALL
    };
    is_clean(&Scope { faults: 1, ..three });
    let crowd = Scope {
        collectors: 2,
        ..SMALL
    };
    is_clean(&Scope {
        fences: Fences::Any,
        ..crowd
    });
    is_clean(&Scope {
        units: [2, 1],
        ..crowd
    });
}
