//! Scans whose next page may be asked for soon, with the segments that they have open.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::page_token::PageToken;
use crate::snapshot::Snapshot;

/// Scans that are kept, those whose last page was given last.
const KEPT: usize = 16;

/// A page that goes on opens only what the page before had not: manifests and deletes are read anew each time, but
/// segments never change. Without it a page is the same, and costs a request more for each segment of the scan.
#[derive(Debug, Default)]
pub(super) struct OpenScans(Mutex<VecDeque<(PageToken, Snapshot)>>);

impl OpenScans {
    /// Keeps what is open, for the page that the token asks for.
    pub(super) fn keep(&self, token: PageToken, snapshot: Snapshot) {
        let mut kept = self.kept();
        kept.push_back((token, snapshot));
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// `snapshot` with what the page before had open.
    pub(super) fn reopened(&self, token: &PageToken, snapshot: Snapshot) -> Snapshot {
        let kept = self.kept();
        match kept.iter().rev().find(|(kept, _)| kept == token) {
            Some((_, before)) => snapshot.with_opened_of(before),
            None => snapshot,
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(PageToken, Snapshot)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
