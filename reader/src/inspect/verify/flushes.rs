//! Flush manifests: whole, and saying what the ledger says.

use futures::StreamExt;
use skein_shared::Result;
use skein_shared::format::flush_manifest::{FlushBody, FlushContents, FlushManifest, FlushedSpan};
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::ids::FlushId;
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;

use crate::inspect::finding::{Finding, LEDGER, STATE};
use crate::inspect::verify::Check;
use crate::inspect::verify::chains::{Claim, LedgerFacts};
use crate::inspect::verify::metadata::{CONCURRENT_READS, Read, read};
use crate::inspect::verify::unclaimed::UnclaimedSpan;

/// A flush that some ledger entry names.
#[derive(Debug)]
pub(super) struct LiveFlush {
    pub(super) flush: FlushId,
    pub(super) contents: FlushContents,
}

/// Reads every flush manifest that is listed or named by the ledger.
pub(super) async fn check_flushes(
    check: &mut Check<'_>,
    ledger: &LedgerFacts,
) -> Result<Vec<LiveFlush>> {
    let listed = check.bucket.list(Prefix::FLUSHES, None).await?;
    let mut keys: Vec<String> = listed.into_iter().map(|object| object.key).collect();
    keys.extend(ledger.flushes.keys().map(|flush| flush_key(*flush)));
    keys.sort_unstable();
    keys.dedup();
    let bucket = &check.bucket.clone();
    let mut live = Vec::new();
    let mut reads = futures::stream::iter(keys)
        .map(|key| async move {
            let read = read(bucket, &key, STATE, FlushManifest::decode).await;
            (key, read)
        })
        .buffered(CONCURRENT_READS);
    while let Some((key, read)) = reads.next().await {
        check.checked.flushes += 1;
        live.extend(check_flush(check, ledger, &key, read?));
    }
    Ok(live)
}

fn check_flush(
    check: &mut Check<'_>,
    ledger: &LedgerFacts,
    key: &str,
    read: Read<FlushManifest>,
) -> Option<LiveFlush> {
    let manifest = match read {
        Ok(manifest) if flush_key(manifest.flush) == key => manifest,
        Ok(manifest) => {
            let what = format!("holds the manifest of flush `{}`", manifest.flush);
            check.find(STATE.broken(key, None, what));
            return None;
        }
        Err(finding) => {
            check.find(finding);
            return None;
        }
    };
    let claims = ledger.flushes.get(&manifest.flush);
    if let FlushBody::Written(contents) = &manifest.body {
        let claims = claims.map_or(&[][..], Vec::as_slice);
        note_unclaimed(check, manifest.flush, contents, claims);
    }
    let Some(claims) = claims else {
        check.checked.flushes_without_entries += 1;
        return None;
    };
    match manifest.body {
        FlushBody::Void { .. } => {
            let what = format!("the flush is void, but `{}` counts on it", claims[0].key());
            let promise = Promise::NothingLost;
            check.find(Finding {
                promise,
                ..STATE.broken(key, None, what)
            });
            None
        }
        FlushBody::Written(contents) => {
            for claim in claims {
                check.findings.extend(misclaim(claim, &contents, key));
            }
            let flush = manifest.flush;
            Some(LiveFlush { flush, contents })
        }
    }
}

fn note_unclaimed(
    check: &mut Check<'_>,
    flush: FlushId,
    contents: &FlushContents,
    claims: &[Claim],
) {
    let is_unclaimed = |span: &&FlushedSpan| claims.iter().all(|claim| claim.stream != span.stream);
    let spans = contents.spans.iter().filter(is_unclaimed).cloned();
    check
        .unclaimed
        .extend(spans.map(|span| UnclaimedSpan { flush, span }));
}

/// What is wrong when a ledger entry says something else than the flush that it names.
fn misclaim(claim: &Claim, contents: &FlushContents, flush_key: &str) -> Option<Finding> {
    let span = contents
        .spans
        .iter()
        .find(|span| span.stream == claim.stream);
    let what = match span {
        None => format!(
            "`{flush_key}` has no span of tenure {}",
            claim.stream.tenure
        ),
        Some(span) if span.span != claim.span => {
            format!("names {}, `{flush_key}` has {}", claim.span, span.span)
        }
        Some(span) if span.hole != claim.hole => {
            let place = |hole: Option<Offset>| match hole {
                None => "the chain's end".to_owned(),
                Some(from) => format!("the hole at {from}"),
            };
            let (is, meant) = (place(claim.hole), place(span.hole));
            format!("stands at {is}, `{flush_key}` was made for {meant}")
        }
        Some(span) if span.frames != claim.frames => format!(
            "says {} records, `{flush_key}` says {}",
            claim.frames, span.frames
        ),
        Some(_) => return None,
    };
    Some(Finding {
        promise: Promise::NothingLost,
        ..LEDGER.broken(claim.key(), None, what)
    })
}

fn flush_key(flush: FlushId) -> String {
    ObjectKey::Flush(flush).to_string()
}
