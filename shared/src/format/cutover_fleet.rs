//! The newest versions of all orgs that are cut over, in one object: those at `fleet/<number>`.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::cutover::CutoverState;
use crate::error::{Error, Result};
use crate::format::cutover_version::{percent, wide};
use crate::format::delete_entry::EntryHash;
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::timeline_body::{PhaseMessage, number_of, pipeline_of, read_timeline};
use crate::format::wire::Reading;
use crate::ids::{OrgId, WriteId};
use crate::timeline::{Pipeline, Timeline};
use crate::window::TimestampMs;

/// What a node needs to know of every org, so that one small request a poll is enough. The versions are the truth: a fleet
/// that lacks the newest of one is made again by whoever sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutoverFleet {
    /// Its number; the first is 1, and each is one more than the one before.
    pub number: u64,
    /// Who has the orgs without a version. The first fleet says it for all that follow.
    pub unenrolled: Pipeline,
    /// By the bucket's clock.
    pub at: TimestampMs,
    /// The orgs that have versions.
    pub heads: BTreeMap<OrgId, FleetHead>,
}

/// What an org's newest version says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetHead {
    /// Its number.
    pub version: u64,
    /// Of its object.
    pub hash: EntryHash,
    /// Where the cutover stands.
    pub state: CutoverState,
    /// Who writes and who is visible.
    pub timeline: Timeline,
    /// The version whose seal is in force.
    pub seal: Option<u64>,
    /// How many reads in a hundred also run on the new pipeline.
    pub mirror_percent: u8,
    /// Where the old pipeline's files are, if not where it is set up to have them.
    pub old_place: Option<String>,
}

impl CutoverFleet {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let heads = self.heads.iter().map(|(org, head)| HeadMessage {
            org: org.0,
            version: head.version,
            hash: head.hash.0.to_be_bytes().to_vec(),
            state: head.state.name().to_owned(),
            phases: PhaseMessage::of_timeline(&head.timeline),
            seal: head.seal,
            mirror_percent: head.mirror_percent.into(),
            old_place: head.old_place.clone(),
        });
        let message = FleetMessage {
            number: self.number,
            unenrolled: number_of(self.unenrolled),
            at_ms: self.at.0,
            heads: heads.collect(),
        };
        envelope::seal(Kind::CutoverFleet, write_id, &message)
    }

    /// Reads [`CutoverFleet::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<FleetMessage>(Kind::CutoverFleet, bytes)?;
        let refuse = |reason| Error::decode(Kind::CutoverFleet.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct FleetMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint32, tag = "2")]
    unenrolled: u32,
    #[prost(sint64, tag = "3")]
    at_ms: i64,
    #[prost(message, repeated, tag = "4")]
    heads: Vec<HeadMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct HeadMessage {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(uint64, tag = "2")]
    version: u64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
    #[prost(string, tag = "4")]
    state: String,
    #[prost(message, repeated, tag = "5")]
    phases: Vec<PhaseMessage>,
    #[prost(uint64, optional, tag = "6")]
    seal: Option<u64>,
    #[prost(uint32, tag = "7")]
    mirror_percent: u32,
    #[prost(string, optional, tag = "8")]
    old_place: Option<String>,
}

impl FleetMessage {
    fn read(self) -> Reading<CutoverFleet> {
        if self.number == 0 {
            return Err("fleet 0 is never written".into());
        }
        let listed = self.heads.len();
        let heads = self.heads.into_iter().map(HeadMessage::read);
        let heads: BTreeMap<_, _> = heads.collect::<Reading<_>>()?;
        if heads.len() < listed {
            return Err("an org stands in it twice".into());
        }
        Ok(CutoverFleet {
            number: self.number,
            unenrolled: pipeline_of(self.unenrolled)?,
            at: TimestampMs(self.at_ms),
            heads,
        })
    }
}

impl HeadMessage {
    fn read(self) -> Reading<(OrgId, FleetHead)> {
        if self.version == 0 {
            return Err(format!("org {} has version 0", self.org));
        }
        let head = FleetHead {
            version: self.version,
            hash: EntryHash(wide(self.hash)?),
            state: self.state.parse()?,
            timeline: read_timeline(self.phases)?,
            seal: self.seal,
            mirror_percent: percent(self.mirror_percent)?,
            old_place: self.old_place,
        };
        Ok((OrgId(self.org), head))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::cutover_version::tests::timelines;

    prop_compose! {
        fn heads()(
            numbers in (1_u64.., any::<u128>(), 0_usize..12),
            timeline in timelines(),
            rest in (prop::option::of(any::<u64>()), 0_u8..=100, prop::option::of(".{0,9}")),
        ) -> FleetHead {
            FleetHead {
                version: numbers.0,
                hash: EntryHash(numbers.1),
                state: CutoverState::ALL[numbers.2],
                timeline,
                seal: rest.0,
                mirror_percent: rest.1,
                old_place: rest.2,
            }
        }
    }

    proptest! {
        #[test]
        fn a_fleet_reads_back_and_damage_is_refused(
            (number, at, is_old) in (1_u64.., any::<i64>(), any::<bool>()),
            heads in prop::collection::btree_map(any::<u64>(), heads(), 0..4),
            flip in 1_u8..,
            place: prop::sample::Index,
        ) {
            let fleet = CutoverFleet {
                number,
                unenrolled: if is_old { Pipeline::Old } else { Pipeline::New },
                at: TimestampMs(at),
                heads: heads.into_iter().map(|(org, head)| (OrgId(org), head)).collect(),
            };
            let id = WriteId::random();
            let mut bytes = fleet.encode(id).to_vec();
            prop_assert_eq!(CutoverFleet::decode(&bytes).unwrap(), (id, fleet));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(CutoverFleet::decode(&bytes).is_err());
        }

        #[test]
        fn a_body_of_any_bytes_is_read_or_refused(body: Vec<u8>) {
            if let Ok(message) = FleetMessage::decode(&body[..]) {
                let _ = message.read();
            }
        }
    }
}
