//! Which shard a record goes into, or why it goes into quarantine.

use skein_shared::format::frame::RecordRef;
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::payload::{self, ORG_HEADER, Refusal};
use skein_shared::shard_map::ShardMap;

/// Routes records by the shard map.
#[derive(Debug)]
pub(super) struct Router {
    map: ShardMap,
    payload_limit_bytes: u64,
}

/// Where a record goes.
#[derive(Debug)]
pub(super) struct Route {
    /// The shard.
    pub(super) shard: ShardId,
    /// Whose it is, if that can be read.
    pub(super) org: Option<OrgId>,
    /// Why it is in quarantine, if it is.
    pub(super) refusal: Option<Refusal>,
}

impl Router {
    pub(super) fn new(map: ShardMap, payload_limit_bytes: u64) -> Self {
        Self {
            map,
            payload_limit_bytes,
        }
    }

    pub(super) fn replace(&mut self, map: ShardMap) {
        self.map = map;
    }

    pub(super) fn version_count(&self) -> usize {
        self.map.version_count()
    }

    /// Reads nothing of the payload but its org (SK-8: what cannot be routed is kept, and blocks nothing).
    pub(super) fn route(&self, record: &RecordRef<'_>) -> Route {
        let header = record
            .headers
            .last(ORG_HEADER.as_bytes())
            .and_then(|header| header.value);
        let bytes = record.value.map_or(0, |value| value.len() as u64);
        let org = payload::org_of(record.value, header);
        if bytes > self.payload_limit_bytes {
            return Route {
                shard: ShardId::Quarantine,
                org: org.ok(),
                refusal: Some(Refusal::PayloadBytes {
                    bytes,
                    limit: self.payload_limit_bytes,
                }),
            };
        }
        match org {
            Ok(org) => Route {
                shard: self.map.shard_of(org, record.timestamp.time()),
                org: Some(org),
                refusal: None,
            },
            Err(refusal) => Route {
                shard: ShardId::Quarantine,
                org: None,
                refusal: Some(refusal),
            },
        }
    }
}
