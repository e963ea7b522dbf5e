//! Which holes a range touches, and what of them is still to be filled.

use std::collections::BTreeMap;

use skein_shared::bucket::Bucket;
use skein_shared::fills::{Fills, end_of};
use skein_shared::format::ledger_entry::EntryKind;
use skein_shared::ids::{Chain, Hole};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};

use crate::error::Result;

/// What is to be filled of one hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolePart {
    /// Which.
    pub hole: Hole,
    /// First offset that no fill covers: a fill can only stand on the one before.
    pub filled_to: Offset,
    /// First offset beyond what is asked for.
    pub to: Offset,
}

impl HolePart {
    /// What is to be filled, `None` when all of it is.
    pub fn left(&self) -> Option<Span> {
        let (from, to) = (self.filled_to, self.to);
        (from < to).then(|| Span::new(from, to))
    }
}

/// The holes of `chain` within `span`, in order.
///
/// # Errors
/// `Corrupt` when ledger or fills do not read back, and what the bucket says.
pub async fn hole_parts(bucket: &Bucket, chain: &Chain, span: Span) -> Result<Vec<HolePart>> {
    let (ledger, fills) = (Ledger::new(bucket.clone()), Fills::new(bucket.clone()));
    let mut parts = Vec::new();
    for entry in ledger.entries_within(chain, span).await? {
        if !matches!(entry.kind, EntryKind::LostSpan { .. }) {
            continue;
        }
        let hole = Hole {
            chain: chain.clone(),
            from: entry.span.from,
        };
        let entries = fills.entries(&hole).await?;
        parts.push(HolePart {
            filled_to: end_of(&hole, &entries),
            to: entry.span.to.min(span.to),
            hole,
        });
    }
    Ok(parts)
}

/// The same of several chains; chains without holes are left out.
///
/// # Errors
/// As [`hole_parts`].
pub async fn all_hole_parts(
    bucket: &Bucket,
    spans: &BTreeMap<Chain, Span>,
) -> Result<BTreeMap<Chain, Vec<HolePart>>> {
    let mut all = BTreeMap::new();
    for (chain, span) in spans {
        let parts = hole_parts(bucket, chain, *span).await?;
        if !parts.is_empty() {
            all.insert(chain.clone(), parts);
        }
    }
    Ok(all)
}
