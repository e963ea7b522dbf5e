//! Which statuses are spent.

use skein_shared::format::worker_status::Claim;
use skein_shared::ids::{Incarnation, PartitionId, SourceName, TopicName};
use uuid::Uuid;

use super::*;

fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("s").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

fn status(worker: u128, as_of: i64, claims: &[(u32, i64)]) -> WorkerStatus {
    let claim = |(partition, position): &(u32, i64)| Claim {
        chain: chain(*partition),
        position: Offset(*position),
        log_end: None,
        stopped: None,
    };
    WorkerStatus {
        worker: WorkerId(Uuid::from_u128(worker)),
        as_of: TimestampMs(as_of),
        claims: claims.iter().map(claim).collect(),
    }
}

#[track_caller]
fn check(status_under_test: &WorkerStatus, others: &[WorkerStatus], expected: bool) {
    let at = |offset| End::At(Some(Offset(offset)));
    let ends = [
        (chain(0), at(10)),
        (chain(1), at(20)),
        (chain(2), End::At(None)),
        (chain(3), End::Unknown),
    ];
    let mut all = others.to_vec();
    all.push(status_under_test.clone());
    assert_eq!(is_spent(status_under_test, &all, &ends.into()), expected);
}

#[test]
fn a_status_is_spent_once_each_of_its_claims_is_outlived_or_told_again() {
    let both = status(1, 5, &[(0, 10), (1, 20)]);
    check(&both, &[], false);
    check(&both, &[status(2, 9, &[(0, 10)])], false);
    check(&both, &[status(2, 9, &[(0, 10), (1, 20)])], true);
    check(
        &both,
        &[status(2, 9, &[(0, 10)]), status(3, 9, &[(1, 20)])],
        true,
    );
    // One that is older, or about another place, says less.
    check(&both, &[status(2, 5, &[(0, 10), (1, 20)])], false);
    check(&both, &[status(2, 9, &[(0, 10), (1, 19)])], false);
    check(&status(1, 5, &[(0, 9), (1, 19)]), &[], true);
    check(&status(1, 5, &[]), &[], true);
    check(&status(1, 5, &[(2, 7)]), &[], true);
    // That the chain's end does not read back says nothing about the claim.
    check(&status(1, 5, &[(3, 7)]), &[], false);
    let younger = status(2, 9, &[(3, 7)]);
    check(&status(1, 5, &[(3, 7)]), &[younger], true);
}
