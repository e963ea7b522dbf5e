//! Which seals of a window a record lies beyond: what the order of writes goes by first.
//!
//! A step reads only what lies beyond every seal. A rebuild reads all of it again, and has to tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_shared::bucket::Bucket;
use skein_shared::format::checksum;
use skein_shared::format::seal::Seal;
use skein_shared::format::shard_manifest::{SealRef, ShardManifest};
use skein_shared::ids::{Chain, Hole};
use skein_shared::offset::Offset;
use skein_shared::window::Window;

use crate::error::{Error, Result};

/// The seals of a shard's windows.
#[derive(Debug, Clone, Default)]
pub struct SealHistory {
    by_window: BTreeMap<Window, Vec<Arc<Seal>>>,
    /// Up to where each hole's fills were read.
    fills: BTreeMap<Hole, Offset>,
}

impl SealHistory {
    /// For records that lie beyond every seal, as all that a manifest has not passed do.
    pub fn passed() -> Self {
        Self::default()
    }

    /// For all records that `manifest` has taken in.
    ///
    /// # Errors
    /// The bucket's; corrupt when a seal does not read back or is not the one that the manifest names.
    pub async fn load(bucket: &Bucket, manifest: &ShardManifest) -> Result<Self> {
        let mut history = Self {
            by_window: BTreeMap::new(),
            fills: manifest.fills.clone(),
        };
        for named in &manifest.seals {
            let seal = Arc::new(load(bucket, manifest, named).await?);
            for window in &named.windows {
                let of_window = history.by_window.entry(*window).or_default();
                of_window.push(Arc::clone(&seal));
            }
        }
        Ok(history)
    }

    /// What [`Order::seals`](skein_shared::format::order_column::Order::seals) is of a record: never 0, which is left to
    /// points of bases.
    pub fn rank(&self, window: Window, chain: &Chain, offset: Offset) -> u32 {
        let Some(seals) = self.by_window.get(&window) else {
            return 1;
        };
        let hole = self.hole_at(chain, offset);
        let is_beyond = |seal: &&Arc<Seal>| {
            let sealed_to = match hole {
                Some(hole) => seal.fills.get(hole),
                None => seal.positions.get(chain),
            };
            sealed_to.is_none_or(|to| *to <= offset)
        };
        let beyond = seals.iter().filter(is_beyond).count();
        u32::try_from(beyond).map_or(u32::MAX, |beyond| beyond.saturating_add(1))
    }

    /// The hole that a record at `offset` fills, if it is a fill.
    fn hole_at(&self, chain: &Chain, offset: Offset) -> Option<&Hole> {
        let up_to = Hole {
            chain: chain.clone(),
            from: offset,
        };
        let (hole, read_to) = self.fills.range(..=up_to).next_back()?;
        (hole.chain == *chain && offset < *read_to).then_some(hole)
    }
}

async fn load(bucket: &Bucket, manifest: &ShardManifest, named: &SealRef) -> Result<Seal> {
    let bytes = bucket.get(&named.key).await?;
    let (_, seal) = Seal::decode(&bytes).map_err(|error| error.in_object(&named.key))?;
    if seal.shard == manifest.shard && checksum::crc32c(&bytes) == named.crc32c {
        return Ok(seal);
    }
    Err(Error::ObjectDiffers {
        object: named.key.clone(),
        reason: "it is not the seal that the shard's manifest names: run `skein verify`".into(),
    })
}

#[cfg(test)]
mod tests {
    use skein_shared::ids::{
        Generation, Incarnation, OrgId, PartitionId, ShardId, SourceName, TopicName,
    };

    use super::*;

    fn chain(partition: u32) -> Chain {
        Chain {
            source: SourceName::new("s").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        }
    }

    fn hole(from: i64) -> Hole {
        Hole {
            chain: chain(0),
            from: Offset(from),
        }
    }

    fn seal(position: i64, filled_to: Option<i64>) -> Arc<Seal> {
        Arc::new(Seal {
            shard: ShardId::Dedicated(OrgId(7)),
            expected_generation: Generation(1),
            positions: BTreeMap::from([(chain(0), Offset(position))]),
            fills: filled_to
                .map(|to| (hole(20), Offset(to)))
                .into_iter()
                .collect(),
        })
    }

    #[test]
    fn a_record_lies_beyond_the_seals_that_do_not_hold_it() {
        let window = Window::from_number(3);
        let history = SealHistory {
            by_window: BTreeMap::from([(window, vec![seal(50, None), seal(70, Some(25))])]),
            fills: BTreeMap::from([(hole(20), Offset(30))]),
        };
        let rank = |offset| history.rank(window, &chain(0), Offset(offset));
        assert_eq!(
            [rank(10), rank(49), rank(50), rank(69), rank(70)],
            [1, 1, 2, 2, 3]
        );
        // Fills of a hole that the chain has passed long ago count by how far the hole was filled.
        assert_eq!(
            [rank(20), rank(24), rank(25), rank(29), rank(30)],
            [2, 2, 3, 3, 1]
        );
        assert_eq!(
            history.rank(window, &chain(1), Offset(0)),
            3,
            "a chain that came later"
        );
        let other = Window::from_number(4);
        assert_eq!(
            history.rank(other, &chain(0), Offset(99)),
            1,
            "never sealed"
        );
    }
}
