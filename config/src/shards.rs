//! `[shards]`: which orgs share a shard and which have their own.

use serde::{Deserialize, Serialize};
use skein_shared::ids::OrgId;
use skein_shared::shard_map::Routing;

use crate::bound::{Bounds, Breach};

/// The routing that is to be in force; a change becomes a new version of the shard map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardSettings {
    /// How many shards the orgs without their own share.
    pub modulus: u32,
    /// Orgs with a shard of their own.
    pub dedicated: Vec<u64>,
}

impl ShardSettings {
    /// The same as routing.
    pub fn routing(&self) -> Routing {
        Routing {
            modulus: self.modulus,
            dedicated: self.dedicated.iter().map(|org| OrgId(*org)).collect(),
        }
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> u64 {
        u64::from(self.modulus) + self.routing().dedicated.len() as u64
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("shards", breaches);
        bounds.range("modulus", &self.modulus, 1..=65_536);
        bounds.range("dedicated", &self.dedicated.len(), 0..=10_000);
    }
}
