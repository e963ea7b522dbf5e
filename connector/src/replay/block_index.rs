//! Which blocks of a flush may hold what a replay wants: by the objects' footers, without reading any block.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use skein_shared::bucket::Bucket;
use skein_shared::error::BucketCause;
use skein_shared::format::flush_manifest::{
    FlushBody, FlushContents, FlushManifest, FlushedObject,
};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::replay_job::Only;
use skein_shared::format::state_object::{BlockEntry, StateFooter};
use skein_shared::ids::{FlushId, ShardId};
use skein_shared::offset::{Offset, Span};
use skein_shared::shard_map::ShardMap;
use skein_shared::{Error as SharedError, state_fetch};

use crate::error::{Error, Result};
use crate::replay::passage::{FlushStep, Gone, Passage};

/// Footers that are read at the same time.
const CONCURRENT_FOOTERS: usize = 16;

/// The blocks of one step.
#[derive(Debug, Default)]
pub struct BlockIndex {
    /// Every block that may hold a wanted record, in about the order in which they are needed.
    pub blocks: Vec<IndexedBlock>,
    /// What is gone, because its object is.
    pub gone: Vec<Gone>,
    /// Bytes of footers and flush manifests that were read for it.
    pub index_bytes: u64,
    /// Requests that were made for it.
    pub index_requests: u64,
}

/// A block and what of the step it may hold.
#[derive(Debug, Clone)]
pub struct IndexedBlock {
    /// Key of its object.
    pub key: Arc<str>,
    /// Its place and counts.
    pub entry: BlockEntry,
    /// Per passage (by its index in the step) the first offset that it may hold.
    pub firsts: Vec<(usize, Offset)>,
    /// How far into the step's spans it begins, in millionths.
    rank: u64,
}

/// Which objects of a flush a selection can be in.
#[derive(Debug)]
pub struct ShardFilter(Option<BTreeSet<ShardId>>);

impl ShardFilter {
    /// Of a selection: the shards that any version of the map gave the org, and those whose org is too large a
    /// payload's or unreadable; the shard itself.
    pub fn new(only: &Only, map: Option<&ShardMap>) -> Self {
        let of_org = only.org.zip(map).map(|(org, map)| {
            let mut shards = map.shards_of(org);
            shards.insert(ShardId::Quarantine);
            shards
        });
        match (of_org, only.shard) {
            (Some(shards), Some(shard)) => {
                let both = shards.into_iter().filter(|known| *known == shard);
                Self(Some(both.collect()))
            }
            (None, Some(shard)) => Self(Some([shard].into())),
            (of_org, None) => Self(of_org),
        }
    }

    fn takes(&self, shard: ShardId) -> bool {
        self.0.as_ref().is_none_or(|shards| shards.contains(&shard))
    }
}

/// Reads flush manifest and footers of a step.
///
/// # Errors
/// `Corrupt` when one of them does not read back or is void though the ledger names it. An object that is
/// missing is no error but a part that is gone.
pub async fn index(
    bucket: &Bucket,
    step: &FlushStep,
    only: &Only,
    shards: &ShardFilter,
) -> Result<BlockIndex> {
    let (contents, manifest_bytes) = contents(bucket, step.flush).await?;
    let mut index = BlockIndex {
        index_bytes: manifest_bytes,
        index_requests: 1,
        ..BlockIndex::default()
    };
    let wanted = contents
        .objects
        .into_iter()
        .filter(|object| shards.takes(object.shard));
    let footers: Vec<_> = futures::stream::iter(wanted)
        .map(|object| async move {
            let footer = state_fetch::read_footer(bucket, &object.key).await;
            checked(step.flush, object, footer)
        })
        .buffered(CONCURRENT_FOOTERS)
        .try_collect()
        .await?;
    for (object, footer) in footers {
        index.index_requests += 1;
        let Some((footer, fetched_bytes)) = footer else {
            index.gone.extend(gone_with(&object, &step.passages));
            continue;
        };
        index.index_bytes += fetched_bytes;
        let key: Arc<str> = object.key.into();
        let blocks = footer.blocks.iter();
        let blocks = blocks.filter_map(|entry| indexed(&key, entry, &footer, (step, only)));
        index.blocks.extend(blocks);
    }
    index.blocks.sort_by_key(|block| block.rank);
    Ok(index)
}

async fn contents(bucket: &Bucket, flush: FlushId) -> Result<(FlushContents, u64)> {
    let key = ObjectKey::Flush(flush).to_string();
    let bytes = bucket.get(&key).await?;
    let (_, manifest) = FlushManifest::decode(&bytes).map_err(|error| error.in_object(&key))?;
    match manifest.body {
        FlushBody::Written(contents) if manifest.flush == flush => {
            Ok((contents, bytes.len() as u64))
        }
        FlushBody::Written(_) | FlushBody::Void { .. } => {
            let reason = "it is void or another's, but the ledger counts on it: run `skein verify`";
            Err(SharedError::decode("flush manifest", 0, reason)
                .in_object(&key)
                .into())
        }
    }
}

type Footer = Option<(StateFooter, u64)>;

fn checked(
    flush: FlushId,
    object: FlushedObject,
    read: skein_shared::Result<state_fetch::StateTail>,
) -> Result<(FlushedObject, Footer)> {
    match read {
        Ok(tail) if tail.footer.flush == flush && tail.footer.shard == object.shard => {
            Ok((object, Some((tail.footer, tail.fetched_bytes))))
        }
        Ok(_) => {
            let reason = format!("it is not the object that flush {flush} sealed");
            Err(SharedError::decode("state object", 0, reason)
                .in_object(&object.key)
                .into())
        }
        Err(SharedError::Bucket {
            cause: BucketCause::NotFound,
            ..
        }) => Ok((object, None)),
        Err(error) => Err(Error::from(error)),
    }
}

/// Which offsets an object held is not known without it: some of each passage.
fn gone_with(object: &FlushedObject, passages: &[Passage]) -> Vec<Gone> {
    let gone = |passage: &Passage| Gone {
        chain: passage.stream.chain.clone(),
        span: passage.span,
        why: format!("those in the missing object `{}`", object.key),
    };
    passages.iter().map(gone).collect()
}

fn indexed(
    key: &Arc<str>,
    entry: &BlockEntry,
    footer: &StateFooter,
    (step, only): (&FlushStep, &Only),
) -> Option<IndexedBlock> {
    if only.org.is_some_and(|org| !entry.may_hold(org)) {
        return None;
    }
    let mut firsts = Vec::new();
    let mut rank = u64::MAX;
    for held in &entry.spans {
        let stream = &footer.streams[held.stream].stream;
        let place = step.passages.iter().position(|p| p.stream == *stream);
        let Some((place, passage)) = place.map(|place| (place, &step.passages[place])) else {
            continue;
        };
        let inside = Span::new(held.first, held.last.next()).overlap(passage.span);
        if let Some(inside) = inside {
            firsts.push((place, inside.from));
            rank = rank.min(millionths(inside.from, passage.span));
        }
    }
    (!firsts.is_empty()).then(|| IndexedBlock {
        key: Arc::clone(key),
        entry: entry.clone(),
        firsts,
        rank,
    })
}

fn millionths(offset: Offset, span: Span) -> u64 {
    let passed = u128::from(Span::new(span.from, offset).offsets());
    let all = u128::from(span.offsets().max(1));
    u64::try_from(passed * 1_000_000 / all).unwrap_or(1_000_000)
}
