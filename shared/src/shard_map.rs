//! The only routing: which shard holds an org's records and owns its segments.
//!
//! Routing is locality, not truth. The map's versions are objects in the bucket (see
//! [`crate::shard_map_log`]), so that every worker and every replay routes the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{OrgId, ShardId};
use crate::window::{TimestampMs, Window};

/// Which orgs have a shard of their own, and how many shards the others share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// How many shared shards there are; at least 1.
    pub modulus: u32,
    /// Orgs with a shard of their own.
    pub dedicated: BTreeSet<OrgId>,
}

impl Routing {
    /// The shard of `org`.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a remainder of a 32-bit modulus fits 32 bits"
    )]
    #[inline]
    pub fn shard_of(&self, org: OrgId) -> ShardId {
        if self.dedicated.contains(&org) {
            return ShardId::Dedicated(org);
        }
        let remainder = u32::try_from(org.0 % u64::from(self.modulus))
            .expect("a remainder of a 32-bit modulus fits 32 bits");
        ShardId::Shared {
            modulus: self.modulus,
            remainder,
        }
    }

    /// Every shard, in order.
    pub fn shards(&self) -> BTreeSet<ShardId> {
        let shared = (0..self.modulus).map(|r| ShardId::Shared {
            modulus: self.modulus,
            remainder: r,
        });
        shared
            .chain(self.dedicated.iter().map(|org| ShardId::Dedicated(*org)))
            .collect()
    }
}

/// All versions of the routing, each in force from a record timestamp on the window grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMap {
    versions: BTreeMap<TimestampMs, Routing>,
}

impl ShardMap {
    /// Builds a map whose first version is in force from the beginning of time.
    pub fn new(first: Routing) -> Self {
        Self {
            versions: BTreeMap::from([(TimestampMs(i64::MIN), first)]),
        }
    }

    /// Adds a version that is in force from `from` on.
    ///
    /// # Panics
    /// If `from` is not beyond every earlier version or not the start of a window.
    pub fn push(&mut self, from: TimestampMs, routing: Routing) {
        let (last, _) = self
            .versions
            .last_key_value()
            .expect("a map has a first version");
        assert!(
            *last < from,
            "shard map versions must rise: {last} -> {from}"
        );
        assert!(
            Window::of(from).start() == from,
            "a shard map version starts on the window grid"
        );
        self.versions.insert(from, routing);
    }

    /// The shard into which a record of `org` goes. `None` is a record without a timestamp: it takes
    /// the oldest version.
    #[inline]
    pub fn shard_of(&self, org: OrgId, record_timestamp: Option<TimestampMs>) -> ShardId {
        self.routing_at(record_timestamp.unwrap_or(TimestampMs(i64::MIN)))
            .shard_of(org)
    }

    /// The shard that owns the segments of `(org, window)`.
    pub fn owner_of(&self, org: OrgId, window: Window) -> ShardId {
        self.routing_at(window.start()).shard_of(org)
    }

    /// Every shard that any version ever gave `org`.
    pub fn shards_of(&self, org: OrgId) -> BTreeSet<ShardId> {
        self.versions
            .values()
            .map(|routing| routing.shard_of(org))
            .collect()
    }

    /// Every shard of every version.
    pub fn shards(&self) -> BTreeSet<ShardId> {
        self.versions.values().flat_map(Routing::shards).collect()
    }

    /// The version published last.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a map always has its first version"
    )]
    pub fn newest(&self) -> &Routing {
        self.versions
            .last_key_value()
            .expect("a map has a first version")
            .1
    }

    /// The number of the newest version that routes like this.
    pub fn version_of(&self, routing: &Routing) -> Option<usize> {
        self.versions
            .values()
            .rposition(|version| version == routing)
    }

    /// How many versions there are; the newest has the number `len - 1`.
    pub fn version_count(&self) -> usize {
        self.versions.len()
    }

    #[inline]
    fn routing_at(&self, time: TimestampMs) -> &Routing {
        let (_, routing) = self
            .versions
            .range(..=time)
            .next_back()
            .expect("the first version is in force from the beginning of time");
        routing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routing(modulus: u32, dedicated: &[u64]) -> Routing {
        Routing {
            modulus,
            dedicated: dedicated.iter().map(|org| OrgId(*org)).collect(),
        }
    }

    #[test]
    fn an_org_is_routed_by_the_version_in_force_at_the_records_time() {
        let mut map = ShardMap::new(routing(64, &[]));
        let from = Window::from_number(20_000).start();
        map.push(from, routing(64, &[7]));
        let shared = ShardId::Shared {
            modulus: 64,
            remainder: 7,
        };
        assert_eq!(map.shard_of(OrgId(7), None), shared);
        assert_eq!(
            map.shard_of(OrgId(7), Some(TimestampMs(from.0 - 1))),
            shared
        );
        assert_eq!(
            map.shard_of(OrgId(7), Some(from)),
            ShardId::Dedicated(OrgId(7))
        );
        assert_eq!(map.shards_of(OrgId(7)).len(), 2);
        assert_eq!(map.shards().len(), 65);
    }
}
