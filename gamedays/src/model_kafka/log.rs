//! One partition's log, with all that it ever held.

use std::rc::Rc;

use skein_shared::format::frame::{HeaderBuffer, RecordRef, RecordTimestamp};
use skein_shared::offset::Offset;

/// A record as it was produced.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its timestamp.
    pub timestamp: RecordTimestamp,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: HeaderBuffer,
    /// Whose it is; `None` is poison that belongs into quarantine.
    pub org: Option<u64>,
    /// When it was appended.
    pub appended_at: u64,
}

/// A partition's log. A truncation or a new topic begins a new history; the old ones are remembered.
#[derive(Debug)]
pub struct Log {
    histories: Vec<History>,
}

/// What a log holds, from offset 0 on; `None` is a transaction marker, an aborted or a compacted record.
#[derive(Debug, Clone, Default)]
struct History {
    slots: Vec<Option<Rc<Record>>>,
    low: usize,
    /// Below this offset it is as the one before.
    fork: usize,
}

/// A set of histories of one log, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histories(u32);

impl Histories {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it holds this one.
    pub const fn holds(self, history: usize) -> bool {
        self.0 & (1 << history) != 0
    }

    /// Adds one.
    pub const fn add(&mut self, history: usize) {
        self.0 |= 1 << history;
    }

    /// Takes one out.
    pub const fn remove(&mut self, history: usize) {
        self.0 &= !(1 << history);
    }

    /// Each, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Log::MOST_HISTORIES).filter(move |history| self.holds(*history))
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            histories: vec![History::default()],
        }
    }
}

impl Record {
    /// The record at an offset.
    pub fn at(&self, offset: Offset) -> RecordRef<'_> {
        RecordRef {
            offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.headers(),
        }
    }
}

impl Log {
    /// Most histories that a log may have.
    pub const MOST_HISTORIES: usize = 32;

    fn current(&self) -> &History {
        self.histories.last().expect("a log has a first history")
    }

    fn current_mut(&mut self) -> &mut History {
        self.histories
            .last_mut()
            .expect("a log has a first history")
    }

    /// Number of the history that is being written.
    pub fn history(&self) -> usize {
        self.histories.len() - 1
    }

    /// The oldest offset that is there.
    pub fn low(&self) -> Offset {
        offset(self.current().low)
    }

    /// The offset behind the newest.
    pub fn high(&self) -> Offset {
        offset(self.current().slots.len())
    }

    /// Appends a record, or something that takes an offset and is none.
    pub fn append(&mut self, record: Option<Record>) {
        self.current_mut().slots.push(record.map(Rc::new));
    }

    /// Retention removes everything below.
    pub fn trim(&mut self, low: Offset) {
        let history = self.current_mut();
        history.low = history.low.max(place(low).min(history.slots.len()));
    }

    /// Cuts everything from an offset on; what is appended now is another history.
    pub fn truncate(&mut self, to: Offset) {
        if self.histories.len() == Self::MOST_HISTORIES {
            return;
        }
        let mut history = self.current().clone();
        history.slots.truncate(place(to).max(history.low));
        history.fork = history.slots.len();
        self.histories.push(history);
    }

    /// Deletes the topic and makes it anew, empty.
    pub fn recreate(&mut self) {
        if self.histories.len() < Self::MOST_HISTORIES {
            self.histories.push(History::default());
        }
    }

    /// The next record at or behind an offset, if Kafka has one.
    pub fn next_at(&self, from: Offset) -> Option<(Offset, Rc<Record>)> {
        let from = place(from).max(self.current().low);
        let slots = self.current().slots.iter().enumerate().skip(from);
        let mut records =
            slots.filter_map(|(at, slot)| Some((offset(at), Rc::clone(slot.as_ref()?))));
        records.next()
    }

    /// The histories that hold exactly this record at its offset.
    pub fn histories_with(&self, record: &RecordRef<'_>) -> Histories {
        let mut with = Histories::NONE;
        for (number, history) in self.histories.iter().enumerate() {
            let slot = history.slots.get(place(record.offset));
            let known = slot.and_then(Option::as_ref);
            if known.is_some_and(|known| known.at(record.offset) == *record) {
                with.add(number);
            }
        }
        with
    }

    /// Whether a history has at this offset what one of `known` had, which was looked up when there were fewer.
    pub fn agrees(&self, history: usize, known: Histories, at: Offset) -> bool {
        let mut history = history;
        while !known.holds(history) {
            if history == 0 || self.histories[history].fork <= place(at) {
                return false;
            }
            history -= 1;
        }
        true
    }

    /// The record that a history holds at an offset.
    pub fn record(&self, history: usize, at: Offset) -> Option<&Record> {
        let slot = self.histories[history].slots.get(place(at));
        slot.and_then(Option::as_deref)
    }

    /// The offsets of a history's records in a span.
    pub fn offsets(
        &self,
        history: usize,
        from: Offset,
        to: Offset,
    ) -> impl Iterator<Item = Offset> {
        let slots = self.histories[history].slots.iter().enumerate();
        let span = slots.take(place(to)).skip(place(from));
        span.filter(|(_, slot)| slot.is_some())
            .map(|(at, _)| offset(at))
    }

    /// Whether every offset from this one on holds a record.
    pub fn is_dense_from(&self, from: Offset) -> bool {
        self.current().slots[place(from)..]
            .iter()
            .all(Option::is_some)
    }

    /// Where a history begins and ends: the oldest offset that is there, and the one behind the newest.
    pub fn reach(&self, history: usize) -> (Offset, Offset) {
        let history = &self.histories[history];
        (offset(history.low), offset(history.slots.len()))
    }

    /// How many histories there are.
    pub fn histories(&self) -> usize {
        self.histories.len()
    }
}

fn place(offset: Offset) -> usize {
    usize::try_from(offset.0).expect("an offset is not negative")
}

fn offset(place: usize) -> Offset {
    Offset(i64::try_from(place).expect("a log is short"))
}
