//! Whether all state is there that the windows to be rebuilt may need.

use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::offset::Offset;
use skein_shared::payload::Limits;
use skein_shared::window::{TimeSpan, TimestampMs, Window};

use crate::error::{Error, Result};
use crate::plan::{ChainInput, PlanInput};

/// Which records a window's points came from nobody has noted. But no point lies further after its record's timestamp than
/// the limits let it: an entry whose newest record lies before the first window by more than that has none for it.
///
/// # Errors
/// [`Error::StateGone`] when an entry below the bound may have some.
pub(super) fn check_state(
    manifest: &ShardManifest,
    input: &PlanInput,
    (span, limits): (TimeSpan, &Limits),
) -> Result<()> {
    let windows = manifest.raw_segments().map(|segment| segment.window);
    let chosen = windows.filter(|window| window.span().overlaps(span));
    let Some(window) = chosen.min() else {
        return Ok(());
    };
    let start = window.start().0;
    let needed_from = TimestampMs(start.saturating_sub_unsigned(limits.future.0));
    let chains = input.chains.iter().map(|(chain, ledger)| {
        let kept_from = input.bound.of_chain(chain);
        (chain, kept_from, ledger)
    });
    let fills = input.fills.iter().map(|(hole, fills)| {
        let kept_from = input.bound.of_hole(hole);
        (&hole.chain, kept_from, fills)
    });
    for (chain, kept_from, entries) in chains.chain(fills) {
        let kept_from = kept_from.unwrap_or(entries.start);
        let mut gone = gone_before(kept_from, entries);
        if gone.any(|entry| may_feed(entry, needed_from)) {
            return Err(gone_error(manifest, window, (chain.clone(), kept_from)));
        }
    }
    Ok(())
}

/// From where on no state is gone that a window may need: the end of the last window that what is gone may have fed.
pub(super) fn whole_from(input: &PlanInput, limits: &Limits) -> TimestampMs {
    let chains = input.chains.iter();
    let chains = chains.map(|(chain, ledger)| (input.bound.of_chain(chain), ledger));
    let fills = input.fills.iter();
    let fills = fills.map(|(hole, fills)| (input.bound.of_hole(hole), fills));
    let bounded = chains
        .chain(fills)
        .filter_map(|(to, entries)| Some((to?, entries)));
    let gone = bounded.flat_map(|(to, entries)| gone_before(to, entries));
    let fed = gone.map(|entry| match (&entry.kind, entry.times) {
        (EntryKind::LostSpan { .. }, _) => TimeSpan::ALL.from,
        (EntryKind::Flushed { .. }, None) => TimeSpan::ALL.to,
        (EntryKind::Flushed { .. }, Some(times)) => {
            let latest = times.newest.0.saturating_add_unsigned(limits.future.0);
            Window::of(TimestampMs(latest)).span().to
        }
    });
    fed.max().unwrap_or(TimeSpan::ALL.from)
}

/// The entries whose state may be gone.
fn gone_before(kept_from: Offset, entries: &ChainInput) -> impl Iterator<Item = &LedgerEntry> {
    let entries = entries.entries.iter();
    entries.filter(move |entry| entry.span.to <= kept_from)
}

fn may_feed(entry: &LedgerEntry, needed_from: TimestampMs) -> bool {
    match entry.kind {
        EntryKind::LostSpan { .. } => false,
        // Records without timestamps may hold any point.
        EntryKind::Flushed { .. } => entry.times.is_none_or(|times| times.newest >= needed_from),
    }
}

fn gone_error(
    manifest: &ShardManifest,
    window: Window,
    (chain, kept_from): (skein_shared::ids::Chain, Offset),
) -> Error {
    Error::StateGone {
        shard: manifest.shard,
        window,
        chain,
        kept_from,
    }
}
