//! What is known of one chain of the ledger.

use skein_shared::completeness::EntryTimes;
use skein_shared::format::ledger_entry::{Genesis, StartPolicy};
use skein_shared::ids::Chain;
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;

use crate::model_kafka::log::{Histories, Log};
use crate::promise_check::{Violation, violation};

/// One chain.
#[derive(Debug, Clone)]
pub struct ChainState {
    /// Its name.
    pub chain: Chain,
    /// Where it begins.
    pub start: Offset,
    /// First offset that it does not cover.
    pub end: Offset,
    /// The last record that its last entry covers, if that has one.
    pub last: Option<Offset>,
    /// The histories of its log of which it may be the beginning: what it covers, and nothing else, is what each held.
    pub histories: Histories,
    /// Times of the last entry's records.
    pub(super) times: Option<EntryTimes>,
}

impl ChainState {
    /// Checks where a chain begins (SK-3: nothing that was there is passed over).
    pub(super) fn begin(genesis: &Genesis, log: &Log) -> Result<Self, Violation> {
        let start = genesis.start;
        let mut histories = Histories::NONE;
        for history in 0..log.histories() {
            let (low, high) = log.reach(history);
            let is_possible = match genesis.policy {
                StartPolicy::Earliest => start <= low,
                StartPolicy::Latest | StartPolicy::Chosen => start <= high,
            };
            if is_possible {
                histories.add(history);
            }
        }
        if histories.is_empty() {
            let words = format!(
                "{} begins at {start}: kafka has older records",
                genesis.chain
            );
            return Err(violation(Promise::NothingLost, words));
        }
        Ok(Self {
            chain: genesis.chain.clone(),
            times: None,
            start,
            end: start,
            last: None,
            histories,
        })
    }

    /// The newest history was begun: is it one that this chain may go on in?
    pub(super) fn history_began(&mut self, log: &Log) {
        let new = log.history();
        let covers_nothing = self.end == self.start;
        let (_, high) = log.reach(new);
        let goes_on = self.histories.holds(new - 1) && self.end <= high;
        let begins_anew = covers_nothing && self.start == Offset(0);
        if goes_on || begins_anew {
            self.histories.add(new);
        }
    }

    /// Whether the log as it is now can be read on from the chain's end without a loss.
    pub fn goes_on_in(&self, log: &Log) -> bool {
        self.histories.holds(log.history()) && log.low() <= self.end
    }

    /// Whether everything that Kafka has is covered.
    pub fn has_all_of(&self, log: &Log) -> bool {
        log.next_at(self.end).is_none()
    }
}
