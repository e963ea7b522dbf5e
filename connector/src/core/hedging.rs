//! When a request that carries data is sent a second time, because the first try takes far longer than its peers.
//!
//! Now and then one of a store's servers is slow, and a flush is as slow as its slowest upload. A second try
//! goes to another server, and the first answer of the two wins. At most one request in fifty is hedged, none
//! before eight of its size have shown how long they take, and none while a store asks for less load.

use std::collections::{BTreeMap, VecDeque};

use skein_shared::units::Millis;

/// Times of one size that are remembered.
const REMEMBERED: usize = 32;
/// Times of one size before any is hedged.
const NEEDED: usize = 8;
/// How many times as long as nine in ten of its peers a request takes before it is hedged.
const TIMES_PEERS: u64 = 3;
/// Nothing is hedged sooner: a second try costs a request.
const SHORTEST_PATIENCE_MS: u64 = 1000;
/// Answers that pay for one hedge.
const ANSWERS_PER_HEDGE: u32 = 50;
/// Hedges that can be saved up.
const MOST_SAVED: u32 = 2;

/// How long requests take, by size, and hedges saved up.
#[derive(Debug, Default)]
pub(super) struct Hedging {
    /// By the power of two that the size lies at.
    peers: BTreeMap<u32, VecDeque<u64>>,
    /// In answers.
    saved: u32,
}

impl Hedging {
    /// A request of this size was answered after this time.
    pub(super) fn answered(&mut self, body_bytes: u64, took: Millis) {
        let times = self.peers.entry(size_class(body_bytes)).or_default();
        if times.len() == REMEMBERED {
            times.pop_front();
        }
        times.push_back(took.0);
        self.saved = (self.saved + 1).min(MOST_SAVED * ANSWERS_PER_HEDGE);
    }

    /// How long a request of this size may take before it is hedged; `None` while too little is known.
    pub(super) fn patience(&self, body_bytes: u64) -> Option<Millis> {
        let times = self.peers.get(&size_class(body_bytes))?;
        if times.len() < NEEDED {
            return None;
        }
        let mut sorted: Vec<u64> = times.iter().copied().collect();
        sorted.sort_unstable();
        let nine_in_ten = sorted[(sorted.len() - 1) * 9 / 10];
        Some(Millis(
            nine_in_ten
                .saturating_mul(TIMES_PEERS)
                .max(SHORTEST_PATIENCE_MS),
        ))
    }

    /// Whether a hedge is paid for.
    pub(super) fn try_spend(&mut self) -> bool {
        let left = self.saved.checked_sub(ANSWERS_PER_HEDGE);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

fn size_class(body_bytes: u64) -> u32 {
    body_bytes.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_three_times_what_nine_in_ten_peers_of_that_size_take() {
        let mut hedging = Hedging::default();
        for n in 0..7 {
            hedging.answered(8 << 20, Millis(1000 + n));
        }
        assert_eq!(hedging.patience(8 << 20), None, "too few are known");
        hedging.answered(9 << 20, Millis(60_000));
        assert_eq!(hedging.patience(8 << 20), Some(Millis(3 * 1006)));
        assert_eq!(hedging.patience(1 << 20), None, "other sizes are no peers");
        (0..99).for_each(|_| hedging.answered(8 << 20, Millis(20)));
        assert_eq!(hedging.patience(8 << 20), Some(Millis(1000)));
    }

    #[test]
    fn one_answer_in_fifty_pays_for_a_hedge_and_two_hedges_can_be_saved_up() {
        let mut hedging = Hedging::default();
        (0..49).for_each(|_| hedging.answered(1, Millis(1)));
        assert!(!hedging.try_spend());
        (0..999).for_each(|_| hedging.answered(1, Millis(1)));
        assert_eq!((0..9).filter(|_| hedging.try_spend()).count(), 2);
    }
}
