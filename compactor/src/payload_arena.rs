//! The payloads that wait to be grouped: their bytes once, and a small reference to each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use skein_shared::format::order_column::Order;
use skein_shared::ids::SeriesKey;
use skein_shared::payload::{Payload, PayloadPoints, PayloadView};
use skein_shared::window::{TimestampMs, Window};

/// Memory is taken in steps of this size and kept for the next filling.
const CHUNK_BYTES: usize = 4 << 20;

/// Packed points of payloads, each copied once, and a reference to each.
#[derive(Debug, Default)]
pub struct PayloadArena {
    chunks: Vec<Vec<u8>>,
    /// The chunk that is being filled; those behind it are empty.
    open_chunk: usize,
    payload_bytes: usize,
    refs: Vec<PayloadRef>,
    pieces: BTreeMap<Window, Payload>,
}

/// Arenas between two steps. A step takes one whose memory the step before has touched: giving gigabytes back to the
/// system and taking them again would cost a tenth of a run.
#[derive(Debug, Default)]
pub struct ArenaPool(Mutex<Vec<PayloadArena>>);

impl ArenaPool {
    /// An empty arena.
    pub fn take(&self) -> PayloadArena {
        self.free().pop().unwrap_or_default()
    }

    /// Keeps `arena` for the next step.
    pub fn give_back(&self, mut arena: PayloadArena) {
        arena.clear();
        self.free().push(arena);
    }

    fn free(&self) -> MutexGuard<'_, Vec<PayloadArena>> {
        // What is in it are empty arenas, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The points of one payload in one window. This is what is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadRef {
    /// What it is sorted by.
    pub key: PayloadKey,
    place: Place,
}

impl PayloadRef {
    /// How many bytes its packed points take.
    pub fn packed_bytes(&self) -> usize {
        self.place.len as usize
    }
}

/// Where a payload comes in the order in which segments are written; no two payloads of a step are equal in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PayloadKey {
    /// The window of all its points.
    pub window: Window,
    /// Whose points.
    pub series: SeriesKey,
    /// Time of its first point: in this order payloads usually need no merging.
    pub first_ms: i64,
    /// Place of the record among all writes; of chains of the step.
    pub order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    chunk: u32,
    start: u32,
    len: u32,
}

impl PayloadArena {
    /// Takes the points of a payload that lie in windows of ours, and answers how many. `rank` answers, for a window in
    /// which the shard has the payload's org, what [`Order::seals`] is there; a payload that spans windows is cut.
    pub fn push(
        &mut self,
        view: &PayloadView<'_>,
        order: Order,
        rank: impl Fn(Window) -> Option<u32>,
    ) -> u64 {
        let Some(range) = view.time_range() else {
            return 0;
        };
        let window = Window::of(range.earliest);
        if window != Window::of(range.latest) {
            return self.push_pieces(view, order, rank);
        }
        let Some(seals) = rank(window) else {
            return 0;
        };
        let key = PayloadKey {
            window,
            series: view.series(),
            first_ms: range.first.0,
            order: Order { seals, ..order },
        };
        self.keep_points(key, view.points());
        view.point_count() as u64
    }

    /// Takes packed points that another arena has held, in the order of keys.
    pub fn push_sorted(&mut self, key: PayloadKey, packed: &[u8]) {
        debug_assert!(self.refs.last().is_none_or(|last| last.key < key));
        self.keep(key, packed.len(), |chunk| chunk.extend_from_slice(packed));
    }

    /// Memory that is in use: bytes and references.
    pub fn held_bytes(&self) -> usize {
        self.payload_bytes + self.refs.len() * size_of::<PayloadRef>()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// Every reference, in the order of arrival until they are sorted.
    pub fn refs(&self) -> &[PayloadRef] {
        &self.refs
    }

    /// Brings the references into the order of (window, series, first timestamp, order of writes).
    pub fn sort(&mut self) {
        self.refs.sort_unstable_by_key(|reference| reference.key);
    }

    /// The payload behind a reference of this filling.
    ///
    /// # Panics
    /// If the reference is of another filling.
    pub fn points_of(&self, reference: &PayloadRef) -> PayloadPoints<'_> {
        PayloadPoints::of_packed(self.bytes_of(reference))
    }

    /// Looks at the beginning of each of `references`, so that the processor fetches them side by side, and not one after
    /// the other when each is decoded.
    pub fn touch(&self, references: &[PayloadRef]) {
        let first = |reference| self.bytes_of(reference)[0];
        std::hint::black_box(references.iter().fold(0, |all, next| all ^ first(next)));
    }

    /// The packed points behind a reference of this filling.
    ///
    /// # Panics
    /// If the reference is of another filling.
    pub fn bytes_of(&self, reference: &PayloadRef) -> &[u8] {
        let Place { chunk, start, len } = reference.place;
        let start = start as usize;
        &self.chunks[chunk as usize][start..start + len as usize]
    }

    /// Forgets all references but the first `kept`; the payloads behind the others keep their memory until
    /// [`PayloadArena::clear`].
    pub fn forget_after(&mut self, kept: usize) {
        self.refs.truncate(kept);
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.refs.clear();
        self.chunks.iter_mut().for_each(Vec::clear);
        self.open_chunk = 0;
        self.payload_bytes = 0;
    }

    fn push_pieces(
        &mut self,
        view: &PayloadView<'_>,
        order: Order,
        rank: impl Fn(Window) -> Option<u32>,
    ) -> u64 {
        let mut pieces = std::mem::take(&mut self.pieces);
        cut_by_window(view, &mut pieces);
        let mut points = 0;
        let mut bytes = Vec::new();
        for (window, piece) in &pieces {
            let Some(seals) = rank(*window) else {
                continue;
            };
            bytes.clear();
            piece.encode(&mut bytes);
            let key = PayloadKey {
                window: *window,
                series: view.series(),
                first_ms: piece.timestamps[0].0,
                order: Order { seals, ..order },
            };
            self.keep_points(key, &PayloadPoints::of_encoded(&bytes));
            points += piece.values.len() as u64;
        }
        pieces.clear();
        self.pieces = pieces;
        points
    }

    fn keep_points(&mut self, key: PayloadKey, points: &PayloadPoints<'_>) {
        self.keep(key, points.packed_bytes(), |chunk| points.pack_into(chunk));
    }

    fn keep(&mut self, key: PayloadKey, packed_bytes: usize, put: impl FnOnce(&mut Vec<u8>)) {
        let room = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() >= packed_bytes;
        while !self.chunks.get(self.open_chunk).is_none_or(room) {
            self.open_chunk += 1;
        }
        if self.open_chunk == self.chunks.len() {
            self.chunks
                .push(Vec::with_capacity(CHUNK_BYTES.max(packed_bytes)));
        }
        let chunk = &mut self.chunks[self.open_chunk];
        let place = Place {
            chunk: u32::try_from(self.open_chunk).expect("the memory budget bounds the chunks"),
            start: u32::try_from(chunk.len()).expect("a chunk is far below 4 GiB"),
            len: u32::try_from(packed_bytes).expect("the limits bound a payload far below 4 GiB"),
        };
        let end = chunk.len() + packed_bytes;
        put(chunk);
        assert_eq!(chunk.len(), end, "as long as it was said to be");
        self.payload_bytes += packed_bytes;
        self.refs.push(PayloadRef { key, place });
    }
}

/// One payload for each window that `view` touches; each keeps the order of its points and all metadata.
fn cut_by_window(view: &PayloadView<'_>, pieces: &mut BTreeMap<Window, Payload>) {
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    view.points().decode_into(&mut timestamps, &mut values);
    let metadata: Vec<_> = view
        .points()
        .metadata()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    for (timestamp_ms, value) in timestamps.into_iter().zip(values) {
        let timestamp = TimestampMs(timestamp_ms);
        let piece = pieces
            .entry(Window::of(timestamp))
            .or_insert_with(|| Payload {
                org: view.org(),
                metric: view.series().metric,
                metadata: metadata.clone(),
                ..Payload::default()
            });
        piece.timestamps.push(timestamp);
        piece.values.push(value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_shared::ids::{MetricId, OrgId};
    use skein_shared::payload::Limits;

    use super::*;

    const DAY: i64 = 86_400_000;

    fn payload(points: &[(i64, f64)]) -> Payload {
        Payload {
            org: OrgId(7),
            metric: MetricId(9),
            timestamps: points.iter().map(|(ms, _)| TimestampMs(*ms)).collect(),
            values: points.iter().map(|(_, value)| *value).collect(),
            metadata: vec![("host".into(), "a".into())],
        }
    }

    fn push(arena: &mut PayloadArena, points: &[(i64, f64)], owns: impl Fn(Window) -> bool) -> u64 {
        let mut bytes = Vec::new();
        payload(points).encode(&mut bytes);
        let view = PayloadView::parse(&bytes, &Limits::default(), None).unwrap();
        arena.push(&view, Order::default(), |window| owns(window).then_some(1))
    }

    fn points_in(arena: &PayloadArena, reference: &PayloadRef) -> Vec<(i64, u64)> {
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        let view = arena.points_of(reference);
        assert_eq!(view.metadata().collect::<Vec<_>>(), [("host", "a")]);
        view.decode_into(&mut timestamps, &mut values);
        let bits = values.into_iter().map(f64::to_bits);
        timestamps.into_iter().zip(bits).collect()
    }

    proptest! {
        #[test]
        fn a_payload_is_cut_at_window_edges_and_keeps_its_order(
            points in prop::collection::vec((-3 * DAY..3 * DAY, any::<f64>()), 1..40),
        ) {
            let mut arena = PayloadArena::default();
            let taken = push(&mut arena, &points, |window| window.number() != 1);
            let bits = |points: &[(i64, f64)]| -> Vec<_> {
                points.iter().map(|(ms, value)| (*ms, value.to_bits())).collect()
            };
            let mut expected: BTreeMap<Window, Vec<(i64, f64)>> = BTreeMap::new();
            for (ms, value) in points {
                expected.entry(Window::of(TimestampMs(ms))).or_default().push((ms, value));
            }
            expected.remove(&Window::from_number(1));
            let left: usize = expected.values().map(Vec::len).sum();
            prop_assert_eq!(taken, left as u64);
            arena.sort();
            prop_assert_eq!(arena.refs().len(), expected.len());
            for (reference, (window, points)) in arena.refs().iter().zip(expected) {
                prop_assert_eq!(reference.key.window, window);
                prop_assert_eq!(reference.key.first_ms, points[0].0);
                prop_assert_eq!(points_in(&arena, reference), bits(&points));
            }
        }
    }

    #[test]
    fn memory_is_kept_from_one_filling_to_the_next() {
        let mut arena = PayloadArena::default();
        let points: Vec<(i64, f64)> = (0..200_000).map(|i| (i * i % DAY, 0.5)).collect();
        for _ in 0..3 {
            for _ in 0..5 {
                assert_eq!(push(&mut arena, &points, |_| true), 200_000);
            }
            assert!(arena.held_bytes() > 5 * 200_000 * 9);
            let chunks = arena.chunks.len();
            assert_eq!(points_in(&arena, &arena.refs()[4]).len(), points.len());
            arena.clear();
            assert!(arena.is_empty() && arena.held_bytes() == 0);
            assert_eq!(arena.chunks.len(), chunks);
        }
        assert!(arena.chunks.len() <= 5, "chunks are filled again");
    }
}
