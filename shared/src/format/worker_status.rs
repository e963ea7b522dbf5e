//! Where one worker stands: for each partition that it has, how far the ledger is and whether that is the end.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::{self, Reading};
use crate::ids::{Chain, WorkerId, WriteId};
use crate::offset::Offset;
use crate::window::TimestampMs;

/// The object at `status/<worker>`, written again and again by that worker alone.
///
/// What it says stays true when the worker is gone: it only grows old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Who says it.
    pub worker: WorkerId,
    /// The bucket's clock, read before Kafka was asked for its ends: one clock for all workers.
    pub as_of: TimestampMs,
    /// Its partitions, idle ones too, in the order of their chains.
    pub claims: Vec<Claim>,
}

/// What a worker says of one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub chain: Chain,
    /// End of the ledger as the worker knows it: everything below is durable.
    pub position: Offset,
    /// The offset behind Kafka's newest record, asked for after `as_of`; `None` when Kafka did not tell.
    pub log_end: Option<Offset>,
    /// Why it is not read any more and what a person should do; `None` while it is read.
    pub stopped: Option<String>,
}

impl Claim {
    /// Whether everything that Kafka had at `as_of` is durable. A log that ends *below* the position is
    /// another log, and one that is not read any more is nobody's end.
    pub fn at_end(&self) -> bool {
        self.stopped.is_none() && self.log_end == Some(self.position)
    }
}

impl WorkerStatus {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::WorkerStatus, write_id, &StatusMessage::of(self))
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact status.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<StatusMessage>(Kind::WorkerStatus, bytes)?;
        let status = message.read().map_err(|reason| {
            Error::decode(Kind::WorkerStatus.name(), HEADER_BYTES as u64, reason)
        })?;
        Ok((id, status))
    }
}

#[derive(Clone, PartialEq, Message)]
struct StatusMessage {
    /// 32 hex digits.
    #[prost(string, tag = "1")]
    worker: String,
    #[prost(sint64, tag = "2")]
    as_of_ms: i64,
    #[prost(message, repeated, tag = "3")]
    claims: Vec<ClaimMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ClaimMessage {
    #[prost(message, optional, tag = "1")]
    chain: Option<wire::Chain>,
    #[prost(uint64, tag = "2")]
    position: u64,
    #[prost(uint64, optional, tag = "3")]
    log_end: Option<u64>,
    #[prost(string, optional, tag = "4")]
    stopped: Option<String>,
}

impl StatusMessage {
    fn of(status: &WorkerStatus) -> Self {
        Self {
            worker: status.worker.to_string(),
            as_of_ms: status.as_of.0,
            claims: status.claims.iter().map(ClaimMessage::of).collect(),
        }
    }

    fn read(self) -> Reading<WorkerStatus> {
        let claims = self.claims.into_iter().map(ClaimMessage::read);
        let claims = claims.collect::<Reading<Vec<Claim>>>()?;
        if !claims.is_sorted_by(|one, next| one.chain < next.chain) {
            return Err("its partitions are out of order, or one stands twice".to_owned());
        }
        Ok(WorkerStatus {
            worker: self.worker.parse()?,
            as_of: TimestampMs(self.as_of_ms),
            claims,
        })
    }
}

impl ClaimMessage {
    fn of(claim: &Claim) -> Self {
        Self {
            chain: Some(wire::Chain::of(&claim.chain)),
            position: wire::offset_number(claim.position),
            log_end: claim.log_end.map(wire::offset_number),
            stopped: claim.stopped.clone(),
        }
    }

    fn read(self) -> Reading<Claim> {
        Ok(Claim {
            chain: wire::required(self.chain, "chain")?.read()?,
            position: wire::offset(self.position)?,
            log_end: self.log_end.map(wire::offset).transpose()?,
            stopped: self.stopped,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use crate::ids::{Incarnation, PartitionId, SourceName, TopicName};

    use super::*;

    fn claim(partition: u32, position: i64, log_end: Option<i64>) -> Claim {
        Claim {
            chain: Chain {
                source: SourceName::new("a").unwrap(),
                topic: TopicName::new("t").unwrap(),
                incarnation: Incarnation(0),
                partition: PartitionId(partition),
            },
            position: Offset(position),
            log_end: log_end.map(Offset),
            stopped: None,
        }
    }

    fn sample(worker: u128, as_of: i64, claims: Vec<Claim>) -> WorkerStatus {
        WorkerStatus {
            worker: WorkerId(Uuid::from_u128(worker)),
            as_of: TimestampMs(as_of),
            claims,
        }
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let one = (
            0_i64..,
            proptest::option::of(0_i64..),
            proptest::option::of(".{0,20}"),
        );
        proptest::collection::vec(one, 0..5).prop_map(|all| {
            let claims = (0..)
                .zip(all)
                .map(|(n, (position, log_end, stopped))| Claim {
                    stopped,
                    ..claim(n, position, log_end)
                });
            claims.collect()
        })
    }

    proptest! {
        #[test]
        fn a_status_reads_back(worker: u128, as_of: i64, claims in claims()) {
            let status = sample(worker, as_of, claims);
            let id = WriteId::random();
            prop_assert_eq!(WorkerStatus::decode(&status.encode(id)).unwrap(), (id, status));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_of_a_status_is_refused() {
        let bytes = sample(7, 9, vec![claim(1, 5, Some(5))]).encode(WriteId::random());
        for cut in 0..bytes.len() {
            assert!(WorkerStatus::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(WorkerStatus::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_partition_that_stands_twice_is_refused() {
        let twice = sample(1, 1, vec![claim(1, 5, None), claim(1, 6, None)]);
        let error = WorkerStatus::decode(&twice.encode(WriteId::random()));
        assert!(error.unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn only_the_very_end_of_a_log_that_is_read_is_its_end() {
        assert!(claim(0, 5, Some(5)).at_end());
        assert!(!claim(0, 5, Some(6)).at_end(), "records to come");
        assert!(!claim(0, 5, Some(4)).at_end(), "another log");
        assert!(!claim(0, 5, None).at_end(), "Kafka did not tell");
        let stopped = Some("lost offsets".to_owned());
        let claim = Claim {
            stopped,
            ..claim(0, 5, Some(5))
        };
        assert!(!claim.at_end(), "nobody reads it");
    }
}
