//! From sorted references to the payloads of one window, and of one series in it.

use skein_shared::format::order_column::ChainIndex;
use skein_shared::ids::SeriesKey;
use skein_shared::window::Window;

use crate::payload_arena::PayloadRef;

/// The payloads of one window; never none.
#[derive(Debug, Clone, Copy)]
pub struct WindowGroup<'a>(&'a [PayloadRef]);

/// The payloads of one series in one window; never none.
#[derive(Debug, Clone, Copy)]
pub struct SeriesGroup<'a>(&'a [PayloadRef]);

/// Groups references by window. They are sorted, see
/// [`PayloadArena::sort`](crate::payload_arena::PayloadArena::sort).
pub fn windows(sorted: &[PayloadRef]) -> impl Iterator<Item = WindowGroup<'_>> {
    debug_assert!(sorted.is_sorted_by_key(|r| (r.window, r.series)));
    sorted
        .chunk_by(|a, b| a.window == b.window)
        .map(WindowGroup)
}

impl<'a> WindowGroup<'a> {
    /// Which window.
    pub fn window(self) -> Window {
        self.0[0].window
    }

    /// The chains that its records came from, ascending.
    pub fn chains(self) -> Vec<ChainIndex> {
        let mut chains: Vec<_> = self.0.iter().map(|r| r.order.chain).collect();
        chains.sort_unstable();
        chains.dedup();
        chains
    }

    /// Its series, ascending.
    pub fn series(self) -> impl Iterator<Item = SeriesGroup<'a>> {
        self.0
            .chunk_by(|a, b| a.series == b.series)
            .map(SeriesGroup)
    }
}

impl<'a> SeriesGroup<'a> {
    /// Which series.
    pub fn key(self) -> SeriesKey {
        self.0[0].series
    }

    /// Its payloads, by first timestamp.
    pub fn payloads(self) -> &'a [PayloadRef] {
        self.0
    }
}
