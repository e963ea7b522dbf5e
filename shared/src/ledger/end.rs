//! Finding the end of a chain without listing it whole.

use futures::future::BoxFuture;

use crate::error::{Error, Result};
use crate::format::ledger_entry::{Genesis, LedgerEntry};
use crate::format::object_key::{ObjectKey, Prefix};
use crate::ids::Chain;
use crate::ledger::{FORMAT, Ledger, entry_key, is_entry, read_entry};
use crate::offset::Offset;

/// Keys that one LIST may give.
const PAGE: u16 = 1000;

/// The end of a chain: where its next entry begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEnd {
    /// First offset that no entry covers.
    pub offset: Offset,
    /// The last entry; `None` when the chain has only its genesis.
    pub last: Option<LedgerEntry>,
    /// Where the chain began.
    pub genesis: Genesis,
}

impl Ledger {
    /// The end of the chain; `None` when it has no genesis. `hint` is where the end is thought to be, for
    /// example the offset that was committed to Kafka: a good one saves requests, a wrong one costs some.
    ///
    /// # Errors
    /// `Corrupt` when genesis or last entry is damaged, or the genesis is missing while there are entries.
    pub fn end<'a>(
        &'a self,
        chain: &'a Chain,
        hint: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<ChainEnd>>> {
        Box::pin(async move {
            let genesis = match self.genesis(chain).await? {
                Some(genesis) => genesis,
                None if self.page_after(chain, None).await?.first.is_none() => return Ok(None),
                // It was created a moment ago, or it is gone.
                None => self.known_genesis(chain).await?,
            };
            let hint = hint.filter(|hint| *hint > genesis.start);
            let Some(key) = self.last_entry_key(chain, genesis.start, hint).await? else {
                return Ok(Some(ChainEnd {
                    offset: genesis.start,
                    last: None,
                    genesis,
                }));
            };
            let bytes = self.get(&key).await?;
            let last = read_entry(&key, &bytes)?;
            Ok(Some(ChainEnd {
                offset: last.span.to,
                last: Some(last),
                genesis,
            }))
        })
    }

    /// Keys ascend, S3 lists forwards only: so the last one is searched for. `known` is a key that exists
    /// (or where the chain begins), `empty` an offset after which nothing was found.
    async fn last_entry_key(
        &self,
        chain: &Chain,
        start: Offset,
        hint: Option<Offset>,
    ) -> Result<Option<String>> {
        let mut known: Option<Offset> = None;
        let mut empty: Option<Offset> = None;
        let mut stride: i64 = 1;
        // The first look begins well before the hint: the last entry starts before the chain's end.
        let mut probe = hint.map(|hint| Offset(start.0.max(hint.0.saturating_sub(1 << 20))));
        loop {
            let after = probe.or(known);
            let page = self.page_after(chain, after).await?;
            if let Some(last) = page.last {
                stride = stride.max(last.0.saturating_sub(page.first.unwrap_or(last).0));
                known = Some(last);
                stride = stride.saturating_mul(4);
            } else {
                empty = after;
            }
            if page.last.is_some() && page.is_the_end {
                return Ok(known.map(|last| entry_key(chain, last)));
            }
            probe = match (known, empty) {
                // Nothing at all after the chain's beginning.
                (None, None) => return Ok(None),
                // The hint lay beyond the end: look from the beginning.
                (None, Some(_)) => None,
                (Some(known), None) => Some(Offset(known.0.saturating_add(stride))),
                (Some(known), Some(empty)) if empty.0 - known.0 <= 1 => {
                    return Ok(Some(entry_key(chain, known)));
                }
                (Some(known), Some(empty)) => {
                    let gallop = known.0.saturating_add(stride);
                    let middle = known.0 + (empty.0 - known.0) / 2;
                    Some(Offset(gallop.min(middle)))
                }
            };
        }
    }

    async fn page_after(&self, chain: &Chain, after: Option<Offset>) -> Result<Page> {
        let prefix = Prefix::chain(chain);
        let after = after.map(|offset| entry_key(chain, offset));
        let listed = self
            .bucket
            .list_page(&prefix, after.as_deref(), PAGE)
            .await?;
        let mut page = Page {
            first: None,
            last: None,
            is_the_end: listed.is_last,
        };
        for object in &listed.objects {
            if !is_entry(&object.key) {
                page.is_the_end = true;
                continue;
            }
            let from = from_of(&object.key)?;
            page.first = page.first.or(Some(from));
            page.last = Some(from);
        }
        Ok(page)
    }
}

struct Page {
    first: Option<Offset>,
    last: Option<Offset>,
    is_the_end: bool,
}

fn from_of(key: &str) -> Result<Offset> {
    if let ObjectKey::LedgerEntry { from, .. } = key.parse()? {
        return Ok(from);
    }
    Err(Error::decode(FORMAT, 0, "is no ledger entry").in_object(key))
}
