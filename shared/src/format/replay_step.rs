//! How far a replay has come: one object for each step, created if absent, so that of two processes that carry on
//! the same replay one finds out.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::Reading;
use crate::ids::{Chain, JobId, PartitionId, WriteId};
use crate::offset::Offset;
use crate::window::TimestampMs;

/// A step of a replay. All counts are of the whole replay until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayStep {
    /// Of which replay.
    pub job: JobId,
    /// Its number, from 1.
    pub number: u64,
    /// When.
    pub at: TimestampMs,
    /// Whether others follow.
    pub state: StepState,
    /// Records that were put where they are to go.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub record_bytes: u64,
    /// Per chain the first offset that is still to be looked at.
    pub positions: BTreeMap<Chain, Offset>,
    /// Per partition of the target topic its end at the time: what lies beyond may be ours or not.
    pub target_ends: BTreeMap<PartitionId, Offset>,
}

/// Whether a step is the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepState {
    /// Others follow.
    Running,
    /// Everything is where it is to go.
    Done,
    /// It was asked to end, and did.
    Cancelled,
}

impl StepState {
    const ALL: [Self; 3] = [Self::Running, Self::Done, Self::Cancelled];

    /// The word in reports and in the body.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl ReplayStep {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::ReplayStep, write_id, &StepMessage::of(self))
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact step of a replay.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<StepMessage>(Kind::ReplayStep, bytes)?;
        let refused = |reason| Error::decode(Kind::ReplayStep.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refused)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct StepMessage {
    #[prost(fixed64, tag = "1")]
    job: u64,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(sint64, tag = "3")]
    at_ms: i64,
    #[prost(string, tag = "4")]
    state: String,
    #[prost(uint64, tag = "5")]
    records: u64,
    #[prost(uint64, tag = "6")]
    record_bytes: u64,
    #[prost(message, repeated, tag = "7")]
    positions: Vec<ChainGroup>,
    #[prost(uint32, repeated, tag = "8")]
    target_partitions: Vec<u32>,
    #[prost(int64, repeated, tag = "9")]
    target_ends: Vec<i64>,
}

impl StepMessage {
    fn of(step: &ReplayStep) -> Self {
        let positions = step.positions.iter();
        Self {
            job: step.job.0,
            number: step.number,
            at_ms: step.at.0,
            state: step.state.name().to_owned(),
            records: step.records,
            record_bytes: step.record_bytes,
            positions: chain_groups::group(positions.map(|(chain, offset)| (chain, offset.0))),
            target_partitions: step.target_ends.keys().map(|id| id.0).collect(),
            target_ends: step.target_ends.values().map(|end| end.0).collect(),
        }
    }

    fn read(self) -> Reading<ReplayStep> {
        let state = StepState::ALL
            .into_iter()
            .find(|state| state.name() == self.state)
            .ok_or_else(|| format!("unknown state `{}`", self.state))?;
        if self.target_partitions.len() != self.target_ends.len() {
            return Err("partitions and ends of the target differ in count".into());
        }
        let ends = self.target_partitions.into_iter().zip(self.target_ends);
        let positions = chain_groups::ungroup(self.positions)?.into_iter();
        Ok(ReplayStep {
            job: JobId(self.job),
            number: self.number,
            at: TimestampMs(self.at_ms),
            state,
            records: self.records,
            record_bytes: self.record_bytes,
            positions: positions.map(|(chain, n)| (chain, Offset(n))).collect(),
            target_ends: ends
                .map(|(id, end)| (PartitionId(id), Offset(end)))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::ids::{Incarnation, SourceName, TopicName};

    use super::*;

    fn sample(number: u64, offset: i64, partition: u32, state: StepState) -> ReplayStep {
        let chain = Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(1),
            partition: PartitionId(partition),
        };
        ReplayStep {
            job: JobId(number),
            number,
            at: TimestampMs(offset),
            state,
            records: number,
            record_bytes: number,
            positions: [(chain, Offset(offset))].into(),
            target_ends: [(PartitionId(partition), Offset(offset))].into(),
        }
    }

    proptest! {
        #[test]
        fn a_step_reads_back(number: u64, offset in 0..i64::MAX, partition: u32, state in 0..3_usize) {
            let step = sample(number, offset, partition, StepState::ALL[state]);
            let id = WriteId::random();
            prop_assert_eq!(ReplayStep::decode(&step.encode(id)).unwrap(), (id, step));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let bytes = sample(7, 3, 9, StepState::Running).encode(WriteId::random());
        for cut in 0..bytes.len() {
            assert!(ReplayStep::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(ReplayStep::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_state_that_no_build_writes_is_refused() {
        let mut message = StepMessage::of(&sample(1, 1, 1, StepState::Done));
        message.state = "paused".into();
        let bytes = envelope::seal(Kind::ReplayStep, WriteId::random(), &message);
        assert!(ReplayStep::decode(&bytes).is_err());
    }
}
