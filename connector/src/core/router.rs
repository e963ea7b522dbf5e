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
        let headers = RoutingHeaders::of(record);
        let org = payload::org_of(record.value, headers.org);
        match (self.refusal(record, &headers), org) {
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
    fn refusal(&self, record: &RecordRef<'_>, headers: &RoutingHeaders<'_>) -> Option<Refusal> {
        let bytes = record.value.map_or(0, |value| value.len() as u64);
        if bytes > self.payload_limit_bytes {
            let limit = self.payload_limit_bytes;
            return Some(Refusal::PayloadBytes { bytes, limit });
        }
        headers.unreadable.then_some(Refusal::HeadersUnreadable)
    }
}

/// What a record's headers say of where it goes, gathered in one pass over them.
#[derive(Debug, Default)]
struct RoutingHeaders<'a> {
    /// Value of the last header [`ORG_HEADER`], as Kafka's own `lastHeader`.
    org: Option<&'a [u8]>,
    /// Whether they could not be read.
    unreadable: bool,
}

impl<'a> RoutingHeaders<'a> {
    fn of(record: &RecordRef<'a>) -> Self {
        let mut found = Self::default();
        for header in record.headers.iter() {
            if header.name == ORG_HEADER.as_bytes() {
                found.org = header.value;
            } else if header.name == UNREADABLE_HEADERS.as_bytes() {
                found.unreadable = true;
            }
        }
        found
    }
}
