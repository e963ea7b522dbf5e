//! One version of the routing, in force from a record timestamp on the window grid.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::Reading;
use crate::ids::{OrgId, WriteId};
use crate::shard_map::Routing;
use crate::window::{TimestampMs, Window};

/// The object at `shard-map/<version>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMapVersion {
    /// Its number; the first is 0.
    pub version: u64,
    /// From which record timestamp on; `None` is the beginning of time, and the first version's alone.
    pub from: Option<TimestampMs>,
    /// The routing.
    pub routing: Routing,
}

impl ShardMapVersion {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let message = VersionMessage {
            version: self.version,
            from_ms: self.from.map(|from| from.0),
            modulus: self.routing.modulus,
            dedicated: self.routing.dedicated.iter().map(|org| org.0).collect(),
        };
        envelope::seal(Kind::ShardMapVersion, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact version.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<VersionMessage>(Kind::ShardMapVersion, bytes)?;
        let version = message.read().map_err(|reason| {
            Error::decode(Kind::ShardMapVersion.name(), HEADER_BYTES as u64, reason)
        })?;
        Ok((id, version))
    }
}

#[derive(Clone, PartialEq, Message)]
struct VersionMessage {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(sint64, optional, tag = "2")]
    from_ms: Option<i64>,
    #[prost(uint32, tag = "3")]
    modulus: u32,
    #[prost(uint64, repeated, tag = "4")]
    dedicated: Vec<u64>,
}

impl VersionMessage {
    fn read(self) -> Reading<ShardMapVersion> {
        if self.modulus == 0 {
            return Err("the modulus is 0".to_owned());
        }
        let from = self.from_ms.map(TimestampMs);
        if from.is_none() != (self.version == 0) {
            return Err("the first version alone is in force from the beginning".to_owned());
        }
        if from.is_some_and(|from| Window::of(from).start() != from) {
            return Err("it does not start on the window grid".to_owned());
        }
        Ok(ShardMapVersion {
            version: self.version,
            from,
            routing: Routing {
                modulus: self.modulus,
                dedicated: self.dedicated.into_iter().map(OrgId).collect(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: u64, from: Option<TimestampMs>, modulus: u32) -> ShardMapVersion {
        ShardMapVersion {
            version,
            from,
            routing: Routing {
                modulus,
                dedicated: [OrgId(1000), OrgId(u64::MAX)].into(),
            },
        }
    }

    fn decoded(version: &ShardMapVersion) -> Result<ShardMapVersion> {
        ShardMapVersion::decode(&version.encode(WriteId::random())).map(|(_, version)| version)
    }

    #[test]
    fn a_version_reads_back() {
        let later = Some(Window::from_number(20_000).start());
        for version in [version(0, None, 64), version(1, later, 1)] {
            assert_eq!(decoded(&version).unwrap(), version);
        }
    }

    #[test]
    fn a_version_that_would_route_ambiguously_is_refused() {
        assert!(decoded(&version(0, None, 0)).is_err());
        assert!(decoded(&version(1, None, 64)).is_err());
        assert!(decoded(&version(1, Some(TimestampMs(1)), 64)).is_err());
    }
}
