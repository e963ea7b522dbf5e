//! Seeds that nobody has seen before, and what they reach.

use std::env;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use skein_gamedays::seed_range::{self, RangeOptions};

/// How many fresh seeds each run of the tests takes.
const FRESH_SEEDS: u64 = 12_000;

/// `SKEIN_SEEDS=A..B` in the environment, or seeds drawn from the time.
fn fresh_range() -> Range<u64> {
    if let Ok(text) = env::var("SKEIN_SEEDS") {
        let (first, end) = text.split_once("..").expect("SKEIN_SEEDS is `A..B`");
        let number = |text: &str| text.parse().expect("SKEIN_SEEDS is `A..B`");
        return number(first)..number(end);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.expect("the clock stands after 1970");
    let first = since.as_secs() * 1_000;
    first..first + FRESH_SEEDS
}

#[test]
fn fresh_seeds_break_no_promise_and_reach_every_kind_of_trouble() {
    seed_range::keep_panics_quiet();
    let seeds = fresh_range();
    eprintln!(
        "seeds {}..{}; SKEIN_SEEDS=A..B overrides",
        seeds.start, seeds.end
    );
    let options = RangeOptions {
        seeds: seeds.clone(),
        mutation: None,
        enough_failures: 3,
        threads: 0,
    };
    let report = seed_range::run(&options, |_| {});
    let failures: Vec<String> = report
        .failures
        .iter()
        .map(|failure| {
            let seed = failure.seed;
            let replay = format!("skein simulate --seeds {seed}..{} --trace", seed + 1);
            format!("seed {seed}: {}\n  replay: {replay}", failure.words)
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    let run = seeds.end - seeds.start;
    if run >= FRESH_SEEDS {
        for (name, count) in report.counts.named() {
            let least = match name {
                // Little is left to others where workers flush often; and most positions whose refusal was lost are
                // assigned anew before anybody notices that they stand still.
                "left_offsets" | "stood_still" => 1,
                _ => run / 1_000,
            };
            assert!(
                count >= least,
                "`{name}` was seen {count} times in {run} worlds: they prove little about it"
            );
        }
    }
}
