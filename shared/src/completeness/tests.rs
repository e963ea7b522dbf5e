//! Rules one by one, and random histories against what really happened.

mod history;

use uuid::Uuid;

use crate::ids::{SourceName, TopicName, WorkerId};

use super::*;

const DELAY: Millis = Millis(100);
const NOW: i64 = 1_700_000_000_000;
const YEAR_2100: i64 = 4_102_444_800_000;

fn chain(incarnation: u32, partition: u32) -> Chain {
    Chain {
        source: SourceName::new("s").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(incarnation),
        partition: PartitionId(partition),
    }
}

/// A chain of incarnation 0 whose last entry has records of these times, the last one last.
fn facts(end: i64, times: &[i64]) -> ChainFacts {
    let time = |ms: &i64| TimestampMs(*ms);
    ChainFacts {
        end: Offset(end),
        times: times.last().map(|last| EntryTimes {
            oldest: times.iter().map(time).min().unwrap(),
            newest: times.iter().map(time).max().unwrap(),
            last: Some(TimestampMs(*last)),
        }),
        retired_at: None,
    }
}

fn status(as_of: i64, claims: &[(u32, i64, i64)]) -> WorkerStatus {
    let claim = |(partition, position, log_end): &(u32, i64, i64)| Claim {
        chain: chain(0, *partition),
        position: Offset(*position),
        log_end: Some(Offset(*log_end)),
        stopped: None,
    };
    WorkerStatus {
        worker: WorkerId(Uuid::from_u128(1)),
        as_of: TimestampMs(as_of),
        claims: claims.iter().map(claim).collect(),
    }
}

fn judge(chains: &[ChainFacts], statuses: &[WorkerStatus]) -> Completeness {
    let chains = (0..).zip(chains).map(|(n, facts)| (chain(0, n), *facts));
    watermark(&chains.collect(), statuses, at_now())
}

fn at_now() -> JudgedAt {
    JudgedAt {
        now: TimestampMs(NOW),
        delay: DELAY,
    }
}

#[track_caller]
fn check(chains: &[ChainFacts], statuses: &[WorkerStatus], expected: Option<i64>) {
    let watermark = judge(chains, statuses).watermark();
    assert_eq!(watermark.map(|time| time.0), expected);
}

#[test]
fn an_idle_partition_does_not_hold_the_watermark_back() {
    let chains = [
        facts(0, &[]),
        facts(9, &[NOW - 86_400_000]),
        facts(5, &[NOW]),
    ];
    let told = [status(NOW, &[(0, 0, 0), (1, 9, 9), (2, 5, 5)])];
    check(&chains, &told, Some(NOW - 100));
}

#[test]
fn a_stalled_worker_holds_the_watermark_back() {
    let chains = [facts(5, &[NOW - 9_000]), facts(5, &[NOW])];
    let stalled = status(NOW - 7_000, &[(0, 5, 5)]);
    check(
        &chains,
        &[stalled, status(NOW, &[(1, 5, 5)])],
        Some(NOW - 7_100),
    );
    // Nobody tells: nothing is known.
    check(&chains, &[status(NOW, &[(1, 5, 5)])], None);
    let judged = judge(&chains, &[status(NOW, &[(1, 5, 5)])]);
    assert_eq!(judged.held_back_by(), [&chain(0, 0)]);
}

#[test]
fn a_claim_counts_only_at_the_chains_end() {
    let chains = [facts(20, &[NOW - 4_000])];
    // A zombie that still believes in offset 10 and hears of a log that ends there.
    let zombie = status(NOW, &[(0, 10, 10)]);
    check(&chains, std::slice::from_ref(&zombie), None);
    check(
        &chains,
        &[zombie, status(NOW - 1_000, &[(0, 20, 30)])],
        Some(NOW - 4_100),
    );
    check(&chains, &[status(NOW, &[(0, 21, 21)])], None);
}

#[test]
fn the_newest_of_several_claims_counts() {
    let told = [status(NOW - 9_000, &[(0, 5, 5)]), status(NOW, &[(0, 5, 5)])];
    check(&[facts(5, &[NOW])], &told, Some(NOW - 100));
}

#[test]
fn a_partition_with_records_to_come_is_complete_up_to_its_newest_durable_one() {
    let chains = [facts(5, &[NOW - 9_000, NOW - 3_000, NOW - 8_000])];
    check(&chains, &[status(NOW, &[(0, 5, 6)])], Some(NOW - 3_100));
    let behind = judge(&chains, &[status(NOW, &[(0, 5, 6)])]);
    let Standing::UpTo(reached) = behind.chains[&chain(0, 0)] else {
        panic!("{behind:?}")
    };
    assert_eq!(reached.behind, Behind::Offsets(Some(1)));
    check(&[facts(5, &[])], &[status(NOW, &[(0, 5, 6)])], None);
}

#[test]
fn a_timestamp_from_the_year_2100_closes_nothing() {
    let told = [status(NOW, &[(0, 5, 500)])];
    check(
        &[facts(5, &[NOW - 9_000, YEAR_2100, NOW - 8_000])],
        &told,
        Some(NOW - 8_100),
    );
    check(
        &[facts(5, &[NOW - 9_000, YEAR_2100])],
        &told,
        Some(NOW - 9_100),
    );
    check(&[facts(5, &[YEAR_2100])], &told, None);
    check(
        &[facts(5, &[YEAR_2100])],
        &[status(NOW, &[(0, 5, 5)])],
        Some(NOW - 100),
    );
    // A producer's clock that is a little ahead of the bucket's is believed up to the bucket's own.
    check(&[facts(5, &[NOW + 50])], &told, Some(NOW - 100));
}

#[test]
fn a_retired_partition_is_not_waited_for_until_it_grows_again() {
    let retired = ChainFacts {
        retired_at: Some(Offset(5)),
        ..facts(5, &[NOW - 9_000])
    };
    let told = [status(NOW, &[(1, 7, 7)])];
    check(&[retired, facts(7, &[NOW])], &told, Some(NOW - 100));
    let grown = ChainFacts {
        end: Offset(6),
        ..retired
    };
    check(&[grown, facts(7, &[NOW])], &told, None);
}

#[test]
fn with_every_partition_retired_the_watermark_is_the_clocks() {
    let retired = ChainFacts {
        retired_at: Some(Offset(5)),
        ..facts(5, &[NOW - 9_000])
    };
    check(&[retired, retired], &[], Some(NOW - 100));
    let chains = [(chain(0, 0), facts(3, &[])), (chain(1, 0), retired)].into();
    let judged = watermark(&chains, &[], at_now());
    assert_eq!(judged.chains[&chain(0, 0)], Standing::Replaced);
    assert_eq!(judged.watermark(), Some(TimestampMs(NOW - 100)));
    assert!(judged.held_back_by().is_empty());
    let grown = ChainFacts {
        end: Offset(6),
        ..retired
    };
    check(&[retired, grown], &[], None);
}

#[test]
fn only_the_last_life_of_a_topic_is_waited_for() {
    let lives = [chain(0, 0), chain(0, 1), chain(1, 1), chain(2, 1)];
    let chains = lives.map(|chain| (chain, facts(5, &[NOW]))).into();
    let judged = watermark(&chains, &[], at_now());
    let standing = |incarnation, partition| judged.chains[&chain(incarnation, partition)];
    assert_eq!(standing(0, 0), Standing::NoClaim);
    assert_eq!(standing(0, 1), Standing::Replaced);
    assert_eq!(standing(1, 1), Standing::Replaced);
    assert_eq!(standing(2, 1), Standing::NoClaim);
}

#[test]
fn a_partition_that_nobody_reads_any_more_is_never_at_its_end() {
    let mut told = status(NOW, &[(0, 5, 5)]);
    told.claims[0].stopped = Some("lost offsets".to_owned());
    check(&[facts(5, &[NOW - 9_000])], &[told], Some(NOW - 9_100));
}

#[test]
fn without_any_partition_nothing_is_complete() {
    check(&[], &[status(NOW, &[(0, 5, 5)])], None);
}
