//! By which fleet a node goes: the objects at `acknowledgements/<role>-<node>`.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;

use crate::cutover::NodeRole;
use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::Reading;
use crate::ids::{OrgId, WorkerId, WriteId};
use crate::window::TimestampMs;

/// What a node says of itself, again and again while it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutoverAck {
    /// What it does.
    pub role: NodeRole,
    /// Which it is.
    pub node: WorkerId,
    /// The number of the fleet that it goes by: of all that it began since it took it. 0 is before the first.
    pub fleet: u64,
    /// When it said so, by the bucket's clock.
    pub at: TimestampMs,
    /// The build that it is.
    pub build: String,
    /// Orgs of which it saw an edge too late, and that have no other version since: no cutover of them goes on, and of these
    /// the old pipeline writes nothing.
    pub fenced: BTreeSet<OrgId>,
}

impl CutoverAck {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let message = AckMessage {
            role: self.role.name().to_owned(),
            node: self.node.0.as_bytes().to_vec(),
            fleet: self.fleet,
            at_ms: self.at.0,
            build: self.build.clone(),
            fenced: self.fenced.iter().map(|org| org.0).collect(),
        };
        envelope::seal(Kind::CutoverAck, write_id, &message)
    }

    /// Reads [`CutoverAck::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<AckMessage>(Kind::CutoverAck, bytes)?;
        let refuse = |reason| Error::decode(Kind::CutoverAck.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct AckMessage {
    #[prost(string, tag = "1")]
    role: String,
    #[prost(bytes = "vec", tag = "2")]
    node: Vec<u8>,
    #[prost(uint64, tag = "3")]
    fleet: u64,
    #[prost(sint64, tag = "4")]
    at_ms: i64,
    #[prost(string, tag = "5")]
    build: String,
    #[prost(uint64, repeated, tag = "6")]
    fenced: Vec<u64>,
}

impl AckMessage {
    fn read(self) -> Reading<CutoverAck> {
        let node = uuid::Uuid::from_slice(&self.node).map_err(|_| "a node is not 16 bytes")?;
        Ok(CutoverAck {
            role: self.role.parse()?,
            node: WorkerId(node),
            fleet: self.fleet,
            at: TimestampMs(self.at_ms),
            build: self.build,
            fenced: self.fenced.into_iter().map(OrgId).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_acknowledgement_reads_back_and_damage_is_refused(
            (role, node, fleet, at) in (0_usize..4, any::<u128>(), any::<u64>(), any::<i64>()),
            (build, fenced) in (".{0,9}", prop::collection::btree_set(any::<u64>(), 0..4)),
            flip in 1_u8..,
            place: prop::sample::Index,
        ) {
            let ack = CutoverAck {
                role: NodeRole::ALL[role],
                node: WorkerId(uuid::Uuid::from_u128(node)),
                fleet,
                at: TimestampMs(at),
                build,
                fenced: fenced.into_iter().map(OrgId).collect(),
            };
            let id = WriteId::random();
            let mut bytes = ack.encode(id).to_vec();
            prop_assert_eq!(CutoverAck::decode(&bytes).unwrap(), (id, ack));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(CutoverAck::decode(&bytes).is_err());
        }
    }
}
