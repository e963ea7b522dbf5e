//! Which seals of a window a record lies beyond: what the order of writes goes by first.
//!
//! A step reads only what lies beyond every seal. A rebuild reads all of it again, and has to tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_shared::bucket::Bucket;
use skein_shared::format::checksum;
use skein_shared::format::damage::{Damage, DamageId, DamageState, LostOffsets};
use skein_shared::format::seal::Seal;
use skein_shared::format::shard_manifest::{SealRef, ShardManifest};
use skein_shared::ids::{Chain, Generation, Hole};
use skein_shared::offset::Offset;
use skein_shared::window::Window;

use crate::error::{Error, Result};
use crate::quarantine_list;

/// The seals of a shard's windows.
#[derive(Debug, Clone, Default)]
pub struct SealHistory {
    by_window: BTreeMap<Window, Vec<(Generation, Arc<Seal>)>>,
    /// Up to where each hole's fills were read.
    fills: BTreeMap<Hole, Offset>,
    /// Damages whose records were taken in later than those beside them, and by which generation.
    released: Vec<(Damage, Generation)>,
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
            released: released(bucket, manifest).await?,
        };
        for named in &manifest.seals {
            let seal = Arc::new(load(bucket, manifest, named).await?);
            for window in &named.windows {
                let of_window = history.by_window.entry(*window).or_default();
                of_window.push((named.generation, Arc::clone(&seal)));
            }
        }
        Ok(history)
    }

    /// What [`Order::seals`](skein_shared::format::order_column::Order::seals) is of a record: never 0, which is left to
    /// points of bases. A record's place is its state object's key, its chain and its offset.
    pub fn rank(&self, window: Window, place: (&str, &Chain, Offset)) -> u32 {
        let Some(seals) = self.by_window.get(&window) else {
            return 1;
        };
        let (_, chain, offset) = place;
        let (hole, released_by) = (self.hole_at(chain, offset), self.released_by(place));
        let is_beyond = |(made_by, seal): &&(Generation, Arc<Seal>)| {
            let sealed_to = match hole {
                Some(hole) => seal.fills.get(hole),
                None => seal.positions.get(chain),
            };
            // The seal of the release itself holds them, and so does one that was begun after it.
            let was_damaged =
                released_by.is_some_and(|by| *made_by != by && seal.expected_generation <= by);
            was_damaged || sealed_to.is_none_or(|to| *to <= offset)
        };
        let beyond = seals.iter().filter(is_beyond).count();
        u32::try_from(beyond).map_or(u32::MAX, |beyond| beyond.saturating_add(1))
    }

    /// The generation that took the record in, if that was a release.
    fn released_by(&self, (object, chain, offset): (&str, &Chain, Offset)) -> Option<Generation> {
        let holds = |(damage, _): &&(Damage, Generation)| {
            let of_record =
                |lost: &LostOffsets| lost.stream.chain == *chain && lost.span.contains(offset);
            damage.object_key == object && damage.lost.iter().any(of_record)
        };
        self.released.iter().find(holds).map(|(_, by)| *by)
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

async fn released(bucket: &Bucket, manifest: &ShardManifest) -> Result<Vec<(Damage, Generation)>> {
    let mut by: BTreeMap<DamageId, Generation> = BTreeMap::new();
    for damage in &manifest.damages {
        if let DamageState::Released(decision) = &damage.state {
            by.insert(damage.id, decision.generation);
        }
    }
    if by.is_empty() {
        return Ok(Vec::new());
    }
    let listed = quarantine_list::damages(bucket, manifest, |damage| by.contains_key(&damage.id));
    let listed = listed.await?.into_iter();
    Ok(listed.map(|(id, damage)| (damage, by[&id])).collect())
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
    use skein_shared::format::frame::Stream;
    use skein_shared::ids::{
        FlushId, Incarnation, OrgId, PartitionId, ShardId, SourceName, TopicName,
    };

    use skein_shared::offset::Span;

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

    fn seal(generation: u64, position: i64, filled_to: Option<i64>) -> Arc<Seal> {
        Arc::new(Seal {
            shard: ShardId::Dedicated(OrgId(7)),
            expected_generation: Generation(generation),
            positions: BTreeMap::from([(chain(0), Offset(position))]),
            fills: filled_to
                .map(|to| (hole(20), Offset(to)))
                .into_iter()
                .collect(),
        })
    }

    fn sealed(window: Window) -> SealHistory {
        let seals = vec![
            // Begun before another commit took its number.
            (Generation(6), seal(3, 50, None)),
            (Generation(7), seal(7, 70, Some(25))),
        ];
        SealHistory {
            by_window: BTreeMap::from([(window, seals)]),
            fills: BTreeMap::from([(hole(20), Offset(30))]),
            released: Vec::new(),
        }
    }

    #[test]
    fn a_record_lies_beyond_the_seals_that_do_not_hold_it() {
        let window = Window::from_number(3);
        let history = sealed(window);
        let rank = |offset| history.rank(window, ("o", &chain(0), Offset(offset)));
        let ranks = [10, 49, 50, 69, 70].map(rank);
        assert_eq!(ranks, [1, 1, 2, 2, 3]);
        // Fills of a hole that the chain has passed long ago count by how far the hole was filled.
        let ranks = [20, 24, 25, 29, 30].map(rank);
        assert_eq!(ranks, [2, 2, 3, 3, 1]);
        let later = history.rank(window, ("o", &chain(1), Offset(0)));
        assert_eq!(later, 3, "a chain that came later");
        let other = Window::from_number(4);
        let unsealed = history.rank(other, ("o", &chain(0), Offset(99)));
        assert_eq!(unsealed, 1);
    }

    #[test]
    fn a_released_record_lies_beyond_the_seals_that_were_made_without_it() {
        let window = Window::from_number(3);
        let mut history = sealed(window);
        let damage = Damage {
            flush: FlushId {
                worker: skein_shared::ids::WorkerId::random(),
                counter: 1,
            },
            object_key: "o".into(),
            at: 0,
            bytes: 9,
            frames: 3,
            times: skein_shared::window::TimeSpan::ALL,
            lost: vec![LostOffsets {
                stream: Stream {
                    chain: chain(0),
                    tenure: skein_shared::ids::Tenure(1),
                },
                span: Span::new(Offset(10), Offset(13)),
            }],
            error: "damaged".into(),
        };
        history.released.push((damage, Generation(5)));
        let rank = |object, offset| history.rank(window, (object, &chain(0), Offset(offset)));
        assert_eq!(
            [rank("o", 9), rank("o", 10), rank("o", 12), rank("o", 13)],
            [1, 2, 2, 1]
        );
        assert_eq!(rank("another", 10), 1);
    }
}
