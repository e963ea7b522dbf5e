//! Fills: of holes that the ledger has, contiguous from their beginning, and never beyond their end.

use futures::StreamExt;
use skein_shared::Result;
use skein_shared::fills;
use skein_shared::format::fill_entry::FillEntry;
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::ids::Hole;
use skein_shared::offset::{Offset, Span};

use crate::inspect::finding::LEDGER;
use crate::inspect::verify::Check;
use crate::inspect::verify::chains::{ChainFacts, LedgerFacts};
use crate::inspect::verify::metadata::{CONCURRENT_READS, read};

/// Reads every fill and takes those that count into `ledger`.
pub(super) async fn check_fills(check: &mut Check<'_>, ledger: &mut LedgerFacts) -> Result<()> {
    let listed = check.bucket.list(Prefix::FILLS, None).await?;
    let bucket = &check.bucket.clone();
    let mut reads = futures::stream::iter(listed)
        .map(|object| async move {
            let read = read(bucket, &object.key, LEDGER, FillEntry::decode).await;
            (object.key, read)
        })
        .buffered(CONCURRENT_READS);
    while let Some((key, read)) = reads.next().await {
        match read? {
            Ok(fill) if fills::key_of(&fill) == key => take(check, ledger, fill),
            Ok(fill) => {
                let what = format!("holds the fill of {} {}", fill.hole(), fill.entry.span);
                check.find(LEDGER.broken(key, None, what));
            }
            Err(finding) => {
                check.find(finding);
                spoil(ledger, &key);
            }
        }
    }
    Ok(())
}

/// Fills come in the order of their holes, and then of their offsets.
fn take(check: &mut Check<'_>, ledger: &mut LedgerFacts, fill: FillEntry) {
    let (key, hole, span) = (fills::key_of(&fill), fill.hole(), fill.entry.span);
    check.checked.fills += 1;
    let lost = ledger.lost.get(&hole).copied();
    let facts = ledger.fills.entry(hole.clone()).or_insert(ChainFacts {
        end: Some(hole.from),
        is_sound: true,
    });
    if let Some(what) = misfit(&hole, lost, facts.end, span) {
        facts.is_sound = false;
        check.find(LEDGER.broken(key, None, what));
    }
    facts.end = Some(span.to);
    ledger.add(fill.entry, Some(hole.from));
}

fn misfit(hole: &Hole, lost: Option<Span>, end: Option<Offset>, span: Span) -> Option<String> {
    let Some(lost) = lost else {
        let chain = &hole.chain;
        return Some(format!(
            "fills {span}, but {chain} has no lost span at {}",
            hole.from
        ));
    };
    if lost.to < span.to {
        return Some(format!("fills {span}, but only {lost} is lost"));
    }
    // Behind a fill that does not read back it is not known where the next one begins.
    let end = end.filter(|end| *end != span.from)?;
    Some(format!(
        "fills {span}, but the fills before it end at {end}"
    ))
}

/// A fill that does not read back leaves open where the next one begins.
fn spoil(ledger: &mut LedgerFacts, key: &str) {
    if let Ok(ObjectKey::Fill { hole, .. }) = key.parse() {
        let facts = ledger.fills.entry(hole).or_default();
        (facts.end, facts.is_sound) = (None, false);
    }
}
