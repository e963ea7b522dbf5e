//! Which shard a record goes into, or why it goes into quarantine.

use skein_shared::format::frame::RecordRef;
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::payload::{self, ORG_HEADER, Refusal, UNREADABLE_HEADERS};
use skein_shared::shard_map::ShardMap;

/// Routes records by the shard map.
#[derive(Debug)]
pub(crate) struct Router {
    map: ShardMap,
    payload_limit_bytes: u64,
}

/// Where a record goes.
#[derive(Debug)]
pub(crate) struct Route {
    /// The shard.
    pub(crate) shard: ShardId,
    /// Whose it is, if that can be read.
    pub(crate) org: Option<OrgId>,
    /// Why it is in quarantine, if it is.
    pub(crate) refusal: Option<Refusal>,
}

impl Router {
    pub(crate) fn new(map: ShardMap, payload_limit_bytes: u64) -> Self {
        Self {
            map,
            payload_limit_bytes,
        }
    }

    pub(crate) fn replace(&mut self, map: ShardMap) {
        self.map = map;
    }

    pub(crate) fn version_count(&self) -> usize {
        self.map.version_count()
    }

    /// Reads nothing of the payload but its org (SK-8: what cannot be routed is kept, and blocks nothing).
    pub(crate) fn route(&self, record: &RecordRef<'_>) -> Route {
        let header = record.headers.last(ORG_HEADER.as_bytes());
        let org = payload::org_of(record.value, header.and_then(|header| header.value));
        match (self.refusal(record), org) {
            (None, Ok(org)) => Route {
                shard: self.map.shard_of(org, record.timestamp.time()),
                org: Some(org),
                refusal: None,
            },
            (refusal, org) => Route {
                shard: ShardId::Quarantine,
                org: org.as_ref().ok().copied(),
                refusal: refusal.or(org.err()),
            },
        }
    }

    /// Why a record is refused whatever its org is.
    fn refusal(&self, record: &RecordRef<'_>) -> Option<Refusal> {
        let bytes = record.value.map_or(0, |value| value.len() as u64);
        if bytes > self.payload_limit_bytes {
            let limit = self.payload_limit_bytes;
            return Some(Refusal::PayloadBytes { bytes, limit });
        }
        let marker = record.headers.last(UNREADABLE_HEADERS.as_bytes());
        marker.map(|_| Refusal::HeadersUnreadable)
    }
}
