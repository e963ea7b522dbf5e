//! A person's word that a partition gets no more records, so that nobody waits for it.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::{self, Reading};
use crate::ids::{Chain, WriteId};
use crate::offset::Offset;

/// The object at `retired/<chain>/<end>`: in force as long as the chain ends there. A chain that grows
/// beyond lives again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    /// Which chain.
    pub chain: Chain,
    /// Its end when it was retired.
    pub end: Offset,
    /// Why, in the words of the person.
    pub reason: String,
}

impl Retirement {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let message = RetirementMessage {
            chain: Some(wire::Chain::of(&self.chain)),
            end: wire::offset_number(self.end),
            reason: self.reason.clone(),
        };
        envelope::seal(Kind::Retirement, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact retirement.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<RetirementMessage>(Kind::Retirement, bytes)?;
        let retirement = message.read().map_err(|reason| {
            Error::decode(Kind::Retirement.name(), HEADER_BYTES as u64, reason)
        })?;
        Ok((id, retirement))
    }
}

#[derive(Clone, PartialEq, Message)]
struct RetirementMessage {
    #[prost(message, optional, tag = "1")]
    chain: Option<wire::Chain>,
    #[prost(uint64, tag = "2")]
    end: u64,
    #[prost(string, tag = "3")]
    reason: String,
}

impl RetirementMessage {
    fn read(self) -> Reading<Retirement> {
        Ok(Retirement {
            chain: wire::required(self.chain, "chain")?.read()?,
            end: wire::offset(self.end)?,
            reason: self.reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::ids::{Incarnation, PartitionId, SourceName, TopicName};

    use super::*;

    fn sample(partition: u32, end: i64, reason: &str) -> Retirement {
        Retirement {
            chain: Chain {
                source: SourceName::new("a").unwrap(),
                topic: TopicName::new("t").unwrap(),
                incarnation: Incarnation(1),
                partition: PartitionId(partition),
            },
            end: Offset(end),
            reason: reason.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn a_retirement_reads_back(partition: u32, end in 0_i64.., reason in ".{0,40}") {
            let retirement = sample(partition, end, &reason);
            let id = WriteId::random();
            prop_assert_eq!(Retirement::decode(&retirement.encode(id)).unwrap(), (id, retirement));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_of_a_retirement_is_refused() {
        let bytes = sample(1, 5, "topic deleted").encode(WriteId::random());
        for cut in 0..bytes.len() {
            assert!(Retirement::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Retirement::decode(&damaged).is_err(), "bit {bit}");
        }
    }
}
