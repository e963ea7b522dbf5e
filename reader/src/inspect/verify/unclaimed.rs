//! Spans that a flush holds and no ledger entry covers.
//!
//! Such a span is under way, or its worker died before the entry and nobody has read the partition since, or
//! the entry was there and was deleted. The bucket cannot tell the last two apart: a chain that lost its newest
//! entry looks like one that never had it. So a young span is a note and an old one a finding, with what to do
//! in either case.

use skein_shared::Result;
use skein_shared::format::flush_manifest::FlushedSpan;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::FlushId;
use skein_shared::promise::Promise;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

use crate::inspect::finding::Duty;
use crate::inspect::verify::Check;
use crate::inspect::verify::chains::LedgerFacts;

/// How long a flush may take from its manifest to its last ledger entry, and a partition from a worker's death
/// to its next owner's first flush.
const UNDER_WAY: Millis = Millis::seconds(3600);

const UNCLAIMED: Duty = Duty {
    promise: Promise::NothingLost,
    what_to_do: "run `skein connect` on this source: what a dead worker left is read again; if Kafka no longer has \
                 these offsets, the ledger's newest entry was deleted: restore it from a copy of the bucket",
};

/// A span that only its flush knows of.
#[derive(Debug)]
pub(super) struct UnclaimedSpan {
    pub(super) flush: FlushId,
    pub(super) span: FlushedSpan,
}

/// Reports the spans that begin where their chain ends, or beyond: those before are covered by another flush.
pub(super) async fn check_unclaimed(
    check: &mut Check<'_>,
    ledger: &LedgerFacts,
    now: TimestampMs,
) -> Result<()> {
    for UnclaimedSpan { flush, span } in std::mem::take(&mut check.unclaimed) {
        // A hole that was not filled after all is still the hole that it was.
        if span.hole.is_some() {
            continue;
        }
        let chain = &span.stream.chain;
        let facts = ledger.chains.get(chain);
        let is_covered = facts
            .and_then(|facts| facts.end)
            .is_some_and(|end| span.span.from < end);
        // What is wrong with the chain already names the entry that is missing.
        if is_covered || facts.is_some_and(|facts| !facts.is_sound) {
            continue;
        }
        let flush = ObjectKey::Flush(flush).to_string();
        let written = check.bucket.head(&flush).await?;
        let written = written.and_then(|meta| meta.last_modified);
        let key = ObjectKey::LedgerEntry {
            chain: chain.clone(),
            from: span.span.from,
        };
        let what = format!(
            "no entry covers {}, of which `{flush}` holds {} records",
            span.span, span.frames
        );
        let finding = UNCLAIMED.broken(key.to_string(), None, what);
        let is_old =
            written.is_none_or(|written| written.0.saturating_add_unsigned(UNDER_WAY.0) < now.0);
        if is_old {
            check.find(finding);
        } else {
            check.notes.push(finding);
        }
    }
    Ok(())
}
