//! `skein simulate`: worlds by seed, their histories, and known bugs that they find.

use crate::skein::{Ended, Skein};

async fn simulate(arguments: &[&str]) -> Ended {
    let arguments = [&["simulate"], arguments].concat();
    Skein::default().run(&arguments).await
}

#[tokio::test]
async fn a_range_of_seeds_is_clean_and_says_what_its_worlds_have_seen() {
    let report = Skein::default()
        .report(&["simulate", "--seeds", "100..140"])
        .await;
    assert_eq!(report["seeds"], 40);
    assert_eq!(report["failures"], serde_json::json!([]));
    for name in ["entries", "retries", "struck_throttle"] {
        let count = report["counts"][name].as_u64();
        assert!(
            count.is_some_and(|count| count > 0),
            "{name}: {}",
            report["counts"]
        );
    }
    let text = simulate(&["--seeds", "100..140"]).await;
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    assert!(
        text.stdout.contains("40 seeds, 0 failed"),
        "{}",
        text.stdout
    );
}

#[tokio::test]
async fn the_same_seed_prints_the_same_history_byte_by_byte() {
    let first = simulate(&["--seeds", "17..18", "--trace"]).await;
    let second = simulate(&["--seeds", "17..18", "--trace"]).await;
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.lines().count() > 100);
    assert_eq!(first.stdout, second.stdout);
    let other = simulate(&["--seeds", "18..19", "--trace"]).await;
    assert_ne!(first.stdout, other.stdout);
}

#[tokio::test]
async fn a_known_bug_is_found_and_the_printed_command_replays_it() {
    let bug = ["--mutant", "commits-before-upload"];
    let found = simulate(&[&["--seeds", "0..100"], &bug[..]].concat()).await;
    assert_eq!(found.code, Some(3), "{}", found.stderr);
    let lines: Vec<&str> = found.stdout.lines().collect();
    let replay = lines
        .iter()
        .find_map(|line| line.trim().strip_prefix("replay: skein "))
        .unwrap_or_else(|| panic!("no replay: {}", found.stdout));
    let (_, reason) = lines[0].split_once(": ").unwrap();
    assert!(reason.starts_with("SK-"), "{reason}");
    let arguments: Vec<&str> = replay.split(' ').collect();
    let replayed = Skein::default().run(&arguments).await;
    assert_eq!(replayed.code, Some(3), "{}", replayed.stderr);
    assert_eq!(replayed.stdout.lines().last(), Some(reason));
}

#[tokio::test]
async fn histories_of_cutovers_are_clean_and_find_the_classic_trap() {
    let report = Skein::default()
        .report(&["simulate", "cutover", "--seeds", "0..200"])
        .await;
    assert_eq!(report["failures"], serde_json::json!([]));
    let switched = report["counts"]["switched"].as_u64();
    assert!(switched.is_some_and(|count| count > 0), "{report}");
    let trap = ["--seeds", "0..2000", "--mutant", "writes-by-now"];
    let found = simulate(&[&["cutover"], &trap[..]].concat()).await;
    assert_eq!(found.code, Some(3), "{}", found.stderr);
    let replay = "replay: skein simulate cutover --seeds";
    assert!(found.stdout.contains(replay), "{}", found.stdout);
}

#[tokio::test]
async fn every_known_bug_is_listed_with_who_had_it() {
    let listed = simulate(&["--list-mutants"]).await;
    assert_eq!(listed.code, Some(0));
    for name in ["commits-highest-offset", "remembers-log-end"] {
        let line = listed.stdout.lines().find(|line| line.starts_with(name));
        assert!(
            line.is_some_and(|line| line.len() > 50),
            "{}",
            listed.stdout
        );
    }
}

#[tokio::test]
async fn a_mutant_that_is_none_and_a_range_that_is_empty_are_refused() {
    simulate(&["--mutant", "no-such-bug"])
        .await
        .refused(2, &["no-such-bug", "--list-mutants"]);
    simulate(&["--seeds", "5..5"])
        .await
        .refused(2, &["5..5", "A..B"]);
}
