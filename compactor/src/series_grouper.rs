//! The payloads of a step window by window and series by series, from memory or merged from disk.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use skein_shared::format::order_column::ChainIndex;
use skein_shared::ids::SeriesKey;
use skein_shared::window::Window;

use crate::error::Result;
use crate::payload_arena::{PayloadArena, PayloadKey, PayloadRef};
use crate::spill::{RunReader, Spill};

/// Most payloads that are handed out at once, and most bytes of theirs unless a single one has more: a series may have more
/// of them than memory has room for. So many are fetched from memory side by side.
const MOST_PAYLOADS: usize = 32;
const MOST_BYTES: usize = 256 << 10;

/// All payloads of a step in the order of their keys, handed out series by series.
#[derive(Debug)]
pub struct SeriesGrouper {
    arena: PayloadArena,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Everything is in the arena, sorted; those from this reference on have not been handed out.
    Memory(usize),
    /// The arena holds the payloads that were handed out last.
    Disk(RunMerge),
}

/// Sorted runs, merged into one.
#[derive(Debug)]
struct RunMerge {
    spill: Spill,
    runs: Vec<RunReader>,
    /// The next payload of each run that has one, and which run.
    next: BinaryHeap<Reverse<(PayloadKey, usize)>>,
    /// The payload on its way.
    payload: Vec<u8>,
}

/// The payloads of one series in one window, or the next of them, by first timestamp; never none.
#[derive(Debug, Clone, Copy)]
pub struct SeriesGroup<'a> {
    arena: &'a PayloadArena,
    refs: &'a [PayloadRef],
}

impl SeriesGrouper {
    /// Groups what `arena` holds.
    pub fn in_memory(mut arena: PayloadArena) -> Self {
        arena.sort();
        Self {
            arena,
            source: Source::Memory(0),
        }
    }

    /// Groups what was spilled, with `buffer_bytes` of memory for reading; `arena` is empty.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill).
    pub fn merged(spill: Spill, arena: PayloadArena, buffer_bytes: usize) -> Result<Self> {
        let mut merge = RunMerge {
            runs: spill.readers(buffer_bytes),
            spill,
            next: BinaryHeap::new(),
            payload: Vec::new(),
        };
        for run in 0..merge.runs.len() {
            merge.line_up(run)?;
        }
        Ok(Self {
            arena,
            source: Source::Disk(merge),
        })
    }

    /// Window and series that come next.
    pub fn peek(&self) -> Option<(Window, SeriesKey)> {
        self.next_key().map(|key| series_of(&key))
    }

    /// First timestamp of the payload that comes next, if it is of this series.
    pub fn next_ms(&self, series: (Window, SeriesKey)) -> Option<i64> {
        let key = self.next_key().filter(|key| series_of(key) == series);
        key.map(|key| key.first_ms)
    }

    fn next_key(&self) -> Option<PayloadKey> {
        match &self.source {
            Source::Memory(next) => Some(self.arena.refs().get(*next)?.key),
            Source::Disk(merge) => Some(merge.next.peek()?.0.0),
        }
    }

    /// The next payloads of the series that comes next: all of them, or as many as are handed out at once; `None` at the
    /// end.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill).
    pub fn take_payloads(&mut self) -> Result<Option<SeriesGroup<'_>>> {
        let Some(series) = self.peek() else {
            return Ok(None);
        };
        let range = match &mut self.source {
            Source::Memory(next) => {
                let first = *next;
                let mut room = Room::default();
                let is_next = |reference: &&PayloadRef| {
                    series_of(&reference.key) == series && room.takes(reference.packed_bytes())
                };
                *next += self.arena.refs()[first..]
                    .iter()
                    .take_while(is_next)
                    .count();
                first..*next
            }
            Source::Disk(merge) => {
                self.arena.clear();
                merge.fill(series, &mut self.arena)?;
                0..self.arena.refs().len()
            }
        };
        Ok(Some(SeriesGroup {
            arena: &self.arena,
            refs: &self.arena.refs()[range],
        }))
    }

    /// The chains that the records of `window` came from, ascending. Asked before its first series is handed out.
    pub fn chains_in(&self, window: Window) -> Vec<ChainIndex> {
        match &self.source {
            Source::Memory(next) => {
                let rest = self.arena.refs()[*next..].iter();
                let of_window = rest.take_while(|reference| reference.key.window == window);
                let mut chains: Vec<_> = of_window.map(|r| r.key.order.chain).collect();
                chains.sort_unstable();
                chains.dedup();
                chains
            }
            Source::Disk(merge) => merge.spill.chains_in(window),
        }
    }

    /// The arena, for the next step.
    pub fn into_arena(self) -> PayloadArena {
        self.arena
    }
}

impl RunMerge {
    /// Moves the next payloads of one series into `arena`.
    fn fill(&mut self, series: (Window, SeriesKey), arena: &mut PayloadArena) -> Result<()> {
        let mut room = Room::default();
        while let Some(Reverse((key, run))) = self.next.peek().copied() {
            let bytes = self.runs[run].peeked_bytes();
            if series_of(&key) != series || !room.takes(bytes) {
                break;
            }
            self.next.pop();
            self.runs[run].take_into(&mut self.payload, arena)?;
            self.line_up(run)?;
        }
        Ok(())
    }

    fn line_up(&mut self, run: usize) -> Result<()> {
        if let Some(key) = self.runs[run].peek()? {
            self.next.push(Reverse((key, run)));
        }
        Ok(())
    }
}

/// What there is room for at once.
#[derive(Debug, Default)]
struct Room {
    payloads: usize,
    bytes: usize,
}

impl Room {
    /// Whether there is room for one more payload, which takes it; for the first there always is.
    fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.payloads < MOST_PAYLOADS && self.bytes + bytes <= MOST_BYTES;
        let taken = self.payloads == 0 || fits;
        self.payloads += 1;
        self.bytes += bytes;
        taken
    }
}

fn series_of(key: &PayloadKey) -> (Window, SeriesKey) {
    (key.window, key.series)
}

impl<'a> SeriesGroup<'a> {
    /// Its payloads, by first timestamp.
    pub fn payloads(self) -> &'a [PayloadRef] {
        self.refs
    }

    /// Holds their bytes.
    pub fn arena(self) -> &'a PayloadArena {
        self.arena
    }
}
