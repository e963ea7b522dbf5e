//! Which of the chains that records came from are still in a segment, numbered as they come.

use crate::format::order_column::{ChainIndex, ChainTable};
use crate::ids::Chain;

/// Numbers chains by first use. Those that no point is left of never show in the bytes: else a segment whose points a
/// delete took would differ from one that never had them.
#[derive(Debug)]
pub(super) struct ChainUse {
    /// What indexes mean to the caller.
    known: ChainTable,
    /// For each of these its number, once it was used.
    numbers: Vec<Option<u32>>,
    used: Vec<Chain>,
}

impl ChainUse {
    pub(super) fn new(known: ChainTable) -> Self {
        Self {
            numbers: vec![None; known.chains().len()],
            known,
            used: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.chains().is_empty()
    }

    /// How many were used so far.
    pub(super) fn count(&self) -> usize {
        self.used.len()
    }

    /// The number of the caller's chain at `index`; of a rollup, which has no chains, the index as it is.
    ///
    /// # Panics
    /// If the caller's table has no such chain.
    pub(super) fn number(&mut self, index: ChainIndex) -> ChainIndex {
        if self.is_empty() {
            return index;
        }
        let chain = self.known.get(index).expect("orders mean known chains");
        let number = self.numbers[index.0 as usize].get_or_insert_with(|| {
            self.used.push(chain.clone());
            u32::try_from(self.used.len() - 1).expect("an index of chains has 32 bits")
        });
        ChainIndex(*number)
    }

    /// The used chains, and for each number its index among them.
    pub(super) fn table(&self) -> (ChainTable, Vec<ChainIndex>) {
        let table = ChainTable::new(self.used.clone());
        let index = |chain| table.index_of(chain).expect("the table is made of them");
        let numbers = self.used.iter().map(index).collect();
        (table, numbers)
    }
}
