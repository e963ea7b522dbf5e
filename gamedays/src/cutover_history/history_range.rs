//! Many histories on all cores.

use crate::cutover_history::chance::History;
use crate::cutover_history::counts::Counts;
use crate::cutover_history::mutant::Mutant;
use crate::cutover_history::plan::Rulebook;
use crate::seed_range::{Failure, SeedReport, in_world, panicked};
use crate::trace::Trace;

/// Runs one history. A panic is a failure, too.
pub fn run_seed(seed: u64, mutant: Option<Mutant>) -> SeedReport<Counts> {
    run_by(Rulebook::Model, seed, mutant)
}

/// The same where operators go by the product's rules.
pub fn run_product_seed(seed: u64, mutant: Option<Mutant>) -> SeedReport<Counts> {
    run_by(Rulebook::Product, seed, mutant)
}

fn run_by(rulebook: Rulebook, seed: u64, mutant: Option<Mutant>) -> SeedReport<Counts> {
    let ran = in_world(|| {
        let mut history = History::new(seed, mutant, (rulebook, Trace::silent()));
        let verdict = history.run();
        (verdict, history.world.counts, history.trace.digest())
    });
    match ran {
        Some((verdict, counts, digest)) => SeedReport {
            counts,
            digest,
            failure: verdict.err().map(|violation| Failure {
                seed,
                words: violation.to_string(),
            }),
        },
        None => SeedReport {
            counts: Counts::default(),
            digest: 0,
            failure: Some(panicked(seed)),
        },
    }
}

/// Runs one history and gives everything that happened in it, line by line.
pub fn trace_seed(seed: u64, mutant: Option<Mutant>) -> (Vec<String>, Option<Failure>) {
    trace_by(Rulebook::Model, seed, mutant)
}

/// The same where operators go by the product's rules.
pub fn trace_product_seed(seed: u64, mutant: Option<Mutant>) -> (Vec<String>, Option<Failure>) {
    trace_by(Rulebook::Product, seed, mutant)
}

fn trace_by(
    rulebook: Rulebook,
    seed: u64,
    mutant: Option<Mutant>,
) -> (Vec<String>, Option<Failure>) {
    let mut history = History::new(seed, mutant, (rulebook, Trace::speaking()));
    let failure = match in_world(|| history.run()) {
        Some(verdict) => verdict.err().map(|violation| Failure {
            seed,
            words: violation.to_string(),
        }),
        None => Some(panicked(seed)),
    };
    (history.trace.into_lines(), failure)
}
