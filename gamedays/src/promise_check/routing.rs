//! Which shards a record may be in, from the versions of the shard map that were published.

use std::collections::BTreeSet;

use skein_shared::ids::{OrgId, ShardId};

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// From which record time on.
    pub from: i64,
    /// How many shards are shared.
    pub modulus: u32,
    /// Orgs with a shard of their own.
    pub dedicated: BTreeSet<u64>,
}

/// Every version, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Routings(pub Vec<Version>);

impl Routings {
    /// Whether a worker that knows all versions, or only the older ones, puts this org's record there. Routing is
    /// locality: a worker that has not heard of the newest version is right, too.
    pub fn allow(&self, shard: ShardId, org: u64, time: Option<i64>) -> bool {
        (1..=self.0.len()).any(|known| {
            let versions = self.0[..known].iter().rev();
            let mut in_force =
                versions.filter(|version| time.is_some_and(|time| version.from <= time));
            let version = in_force.next().unwrap_or(&self.0[0]);
            version.shard_of(org) == shard
        })
    }
}

impl Version {
    fn shard_of(&self, org: u64) -> ShardId {
        if self.dedicated.contains(&org) {
            return ShardId::Dedicated(OrgId(org));
        }
        let remainder = org % u64::from(self.modulus);
        ShardId::Shared {
            modulus: self.modulus,
            remainder: u32::try_from(remainder).expect("it is below a 32-bit modulus"),
        }
    }
}
