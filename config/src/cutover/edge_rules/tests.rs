use super::*;
use crate::cutover::examples::{at, rules, timeline};

const NOW: TimestampMs = TimestampMs(1000);

#[track_caller]
fn check_change(before: &str, next: &str, change: PastChange, word: Option<&str>) {
    let result = check(&timeline(before), &timeline(next), change, (NOW, &rules()));
    match (result, word) {
        (Ok(()), None) => {}
        (Err(reason), Some(word)) => assert!(reason.contains(word), "{reason}"),
        (result, word) => panic!("{before} -> {next}: {result:?}, expected {word:?}"),
    }
}

#[test]
fn an_edge_lies_on_the_grid_and_one_lead_ahead() {
    use PastChange::Nothing;
    check_change("o", "o 1100:Bo", Nothing, None);
    check_change("o", "o 1105:Bo", Nothing, Some("grid"));
    check_change("o", "o 1090:Bo", Nothing, Some("before"));
    check_change("o", "o 900:Bo", Nothing, Some("before"));
    check_change("o 500:Bo", "o", Nothing, Some("before"));
    // One that was set when the grid was another one stays where it is.
    check_change("o 505:Bo", "o 505:Bo 1200:Bn", Nothing, None);
}

#[test]
fn both_write_where_readers_change_over() {
    use PastChange::Nothing;
    check_change("o 500:Bo", "o 500:Bo 1200:Bn", Nothing, None);
    check_change("o", "o 1100:Bo 1190:Bn", Nothing, Some("change over"));
    check_change("o", "o 1100:Bo 1200:Bn", Nothing, None);
    check_change(
        "o 500:Bo",
        "o 500:Bo 1200:Bn 1290:n",
        Nothing,
        Some("change over"),
    );
    check_change("o 500:Bo", "o 500:Bo 1200:Bn 1300:n", Nothing, None);
}

#[test]
fn who_is_visible_may_change_sooner_where_both_write_but_never_back_in_time() {
    use PastChange::Nothing;
    check_change("o 500:Bo 1050:Bn", "o 500:Bo", Nothing, None);
    check_change("o 500:Bo 990:Bn", "o 500:Bo", Nothing, Some("before"));
    check_change(
        "o 500:Bo 990:Bn",
        "o 500:Bo",
        PastChange::Void(at(990)),
        None,
    );
    check_change(
        "o 500:Bo 990:Bn",
        "o 500:Bo",
        PastChange::Void(at(1000)),
        Some("before"),
    );
    check_change(
        "o 500:Bo",
        "o 500:Bo 900:Bn",
        PastChange::Void(at(900)),
        Some("before"),
    );
}

#[test]
fn only_a_pipeline_that_nobody_sees_is_withdrawn_from_the_past() {
    use PastChange::Withdraw;
    check_change("o 500:Bo", "o", Withdraw, None);
    check_change("o 500:Bo", "o 1200:Bo", Withdraw, None);
    check_change("o 500:Bo 800:Bn", "o", Withdraw, Some("before"));
    check_change("o", "o 900:Bo", Withdraw, Some("before"));
}

#[test]
fn what_is_proven_may_be_given_back_and_nothing_besides() {
    let span = |from, to| {
        PastChange::Reassign(TimeSpan {
            from: at(from),
            to: at(to),
        })
    };
    let (before, next) = ("o 100:Bo 300:Bn 500:n 700:Bn 900:Bo", "o 100:Bo");
    check_change(before, next, span(300, 900), None);
    check_change(before, next, span(300, 800), Some("before"));
}
