//! One partition's way into the ledger: spans in order, each sent after the one before is proven ours.

use std::collections::VecDeque;

use skein_shared::format::ledger_entry::LedgerEntry;
use skein_shared::ids::FlushId;
use skein_shared::offset::{Offset, Span};

use crate::core::action::RequestId;

/// Spans that are sealed but not yet in the ledger.
#[derive(Debug, Default)]
pub(super) struct LedgerChain {
    pending: VecDeque<PendingSpan>,
}

#[derive(Debug)]
struct PendingSpan {
    flush: FlushId,
    span: Span,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// The flush's objects and manifest are not all stored yet.
    Waiting,
    /// They are: this may be appended once everything before it is ours.
    Ready(Box<LedgerEntry>),
    /// Under way.
    Sent { request: RequestId, records: u64 },
}

/// What an entry that is ours stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appended {
    /// Its flush.
    pub(super) flush: FlushId,
    /// The chain's new end.
    pub(super) end: Offset,
    /// Records that it covers.
    pub(super) records: u64,
}

impl LedgerChain {
    /// Adds a span at the end.
    ///
    /// # Panics
    /// If it is empty or does not begin where the one before ends: SK-2 would break.
    pub(super) fn push(&mut self, flush: FlushId, span: Span) {
        assert!(span.from < span.to, "the ledger has no empty spans: {span}");
        if let Some(before) = self.pending.back() {
            assert!(
                before.span.to == span.from,
                "spans must follow one another: {} then {span}",
                before.span
            );
        }
        self.pending.push_back(PendingSpan {
            flush,
            span,
            step: Step::Waiting,
        });
    }

    /// The manifest that names this flush's span is durable. Nothing happens if the span was dropped.
    pub(super) fn ready(&mut self, flush: FlushId, entry: LedgerEntry) {
        if let Some(pending) = self.pending.iter_mut().find(|p| p.flush == flush) {
            assert!(
                matches!(pending.step, Step::Waiting),
                "a span becomes ready once"
            );
            pending.step = Step::Ready(Box::new(entry));
        }
    }

    /// The entry that may be sent now: the first, if it is ready.
    pub(super) fn next(&self) -> Option<&LedgerEntry> {
        match &self.pending.front()?.step {
            Step::Ready(entry) => Some(entry),
            Step::Waiting | Step::Sent { .. } => None,
        }
    }

    /// Where the last span ends.
    pub(super) fn end(&self) -> Option<Offset> {
        self.pending.back().map(|pending| pending.span.to)
    }

    /// The first entry is under way.
    pub(super) fn sent(&mut self, request: RequestId) {
        let first = self.pending.front_mut().expect("its entry was just taken");
        let records = match &first.step {
            Step::Ready(entry) => entry.frames,
            Step::Waiting | Step::Sent { .. } => unreachable!("only a ready entry is sent"),
        };
        first.step = Step::Sent { request, records };
    }

    /// The entry under way is ours. `None` if nobody waits for this request any more.
    pub(super) fn appended(&mut self, request: RequestId) -> Option<Appended> {
        self.is_under_way(request).then_some(())?;
        let first = self.pending.pop_front()?;
        let Step::Sent { records, .. } = first.step else {
            return None;
        };
        Some(Appended {
            flush: first.flush,
            end: first.span.to,
            records,
        })
    }

    /// Whether this request is the one under way.
    pub(super) fn is_under_way(&self, request: RequestId) -> bool {
        let step = self.pending.front().map(|first| &first.step);
        matches!(step, Some(Step::Sent { request: sent, .. }) if *sent == request)
    }

    /// Whether a span of this flush is still on its way.
    pub(super) fn holds(&self, flush: FlushId) -> bool {
        self.pending.iter().any(|pending| pending.flush == flush)
    }

    /// Drops everything that is not in the ledger; gives the flushes that had a span here.
    pub(super) fn cut(&mut self) -> Vec<FlushId> {
        self.pending
            .drain(..)
            .map(|pending| pending.flush)
            .collect()
    }

    /// Whether everything sealed is in the ledger.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }
}
