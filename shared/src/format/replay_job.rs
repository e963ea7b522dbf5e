//! What a replay is to do, fixed when it is planned; and that it is to end.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::chain_groups::{self, ChainGroup};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::{self, Reading};
use crate::ids::{Chain, Hole, JobId, OrgId, ShardId, TopicName, WriteId};
use crate::offset::{Offset, Span};
use crate::window::{TimeSpan, TimestampMs};

/// A replay. Whoever carries it on does exactly this, whatever the bucket has gained since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayJob {
    /// Which.
    pub job: JobId,
    /// When it was planned.
    pub created: TimestampMs,
    /// Where records go.
    pub into: ReplayInto,
    /// Which offsets, per chain.
    pub spans: BTreeMap<Chain, Span>,
    /// How far each hole was filled: what came in later is left out.
    pub fills: BTreeMap<Hole, Offset>,
    /// Which records of these.
    pub only: Only,
    /// What to do about offsets that are gone.
    pub on_gone: OnGone,
    /// Points that deletes take are left out, those of later deletes too; `None` sends all. The number is that of the newest
    /// delete when the job was planned.
    pub left_out: Option<u64>,
}

/// Where a replay puts records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayInto {
    /// From Kafka into the holes of the ledger.
    State,
    /// From state into a topic.
    Topic(TopicName),
}

/// Which records a replay takes; everything that is set has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Only {
    /// Those of an org.
    pub org: Option<OrgId>,
    /// Those that were routed to a shard.
    pub shard: Option<ShardId>,
    /// Those with a timestamp in here.
    pub times: Option<TimeSpan>,
}

/// What a replay does about offsets that are nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGone {
    /// It does not begin.
    Refuse,
    /// It goes on without them; a replay into state gives them up for good.
    Skip,
}

/// Somebody asked a replay to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayCancel {
    /// Which.
    pub job: JobId,
    /// When.
    pub asked: TimestampMs,
}

impl ReplayJob {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::ReplayJob, write_id, &JobMessage::of(self))
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact replay job.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<JobMessage>(Kind::ReplayJob, bytes)?;
        let refused = |reason| Error::decode(Kind::ReplayJob.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refused)?))
    }
}

impl ReplayCancel {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let message = CancelMessage {
            job: self.job.0,
            asked_ms: self.asked.0,
        };
        envelope::seal(Kind::ReplayCancel, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact cancellation.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<CancelMessage>(Kind::ReplayCancel, bytes)?;
        let cancel = Self {
            job: JobId(message.job),
            asked: TimestampMs(message.asked_ms),
        };
        Ok((id, cancel))
    }
}

#[derive(Clone, PartialEq, Message)]
struct JobMessage {
    #[prost(fixed64, tag = "1")]
    job: u64,
    #[prost(sint64, tag = "2")]
    created_ms: i64,
    /// Absent when records go into state.
    #[prost(string, optional, tag = "3")]
    topic: Option<String>,
    #[prost(message, repeated, tag = "4")]
    from: Vec<ChainGroup>,
    #[prost(message, repeated, tag = "5")]
    to: Vec<ChainGroup>,
    #[prost(message, repeated, tag = "6")]
    fills: Vec<wire::HolePosition>,
    #[prost(uint64, optional, tag = "7")]
    org: Option<u64>,
    #[prost(string, optional, tag = "8")]
    shard: Option<String>,
    #[prost(message, optional, tag = "9")]
    times: Option<TimesMessage>,
    #[prost(bool, tag = "10")]
    skip_gone: bool,
    /// Absent when deleted points are sent, too.
    #[prost(uint64, optional, tag = "11")]
    left_out: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct TimesMessage {
    #[prost(sint64, tag = "1")]
    from_ms: i64,
    #[prost(sint64, tag = "2")]
    to_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CancelMessage {
    #[prost(fixed64, tag = "1")]
    job: u64,
    #[prost(sint64, tag = "2")]
    asked_ms: i64,
}

impl JobMessage {
    fn of(job: &ReplayJob) -> Self {
        let spans = || job.spans.iter();
        Self {
            job: job.job.0,
            created_ms: job.created.0,
            topic: match &job.into {
                ReplayInto::State => None,
                ReplayInto::Topic(topic) => Some(topic.to_string()),
            },
            from: chain_groups::group(spans().map(|(chain, span)| (chain, span.from.0))),
            to: chain_groups::group(spans().map(|(chain, span)| (chain, span.to.0))),
            fills: job.fills.iter().map(wire::HolePosition::of).collect(),
            org: job.only.org.map(|org| org.0),
            shard: job.only.shard.map(|shard| shard.to_string()),
            times: job.only.times.map(|times| TimesMessage {
                from_ms: times.from.0,
                to_ms: times.to.0,
            }),
            skip_gone: job.on_gone == OnGone::Skip,
            left_out: job.left_out,
        }
    }

    fn read(self) -> Reading<ReplayJob> {
        let into = match self.topic {
            None => ReplayInto::State,
            Some(topic) => ReplayInto::Topic(TopicName::new(topic)?),
        };
        let (from, to) = (
            chain_groups::ungroup(self.from)?,
            chain_groups::ungroup(self.to)?,
        );
        if from.len() != to.len() {
            return Err("the spans have beginnings or ends without the other".into());
        }
        let spans = from
            .into_iter()
            .zip(to)
            .map(|((chain, from), (other, to))| {
                if chain != other || from < 0 || from >= to {
                    return Err(format!("{chain} has no span [{from}, {to})"));
                }
                Ok((chain, Span::new(Offset(from), Offset(to))))
            });
        let fills = self.fills.into_iter().map(wire::HolePosition::read);
        let only = Only {
            org: self.org.map(OrgId),
            shard: self.shard.map(|shard| shard.parse()).transpose()?,
            times: self.times.map(|times| TimeSpan {
                from: TimestampMs(times.from_ms),
                to: TimestampMs(times.to_ms),
            }),
        };
        Ok(ReplayJob {
            job: JobId(self.job),
            created: TimestampMs(self.created_ms),
            into,
            spans: spans.collect::<Reading<_>>()?,
            fills: fills.collect::<Reading<_>>()?,
            only,
            on_gone: if self.skip_gone {
                OnGone::Skip
            } else {
                OnGone::Refuse
            },
            left_out: self.left_out,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::ids::{Incarnation, PartitionId, SourceName};

    use super::*;

    fn chain(partition: u32) -> Chain {
        Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(1),
            partition: PartitionId(partition),
        }
    }

    fn sample(from: i64, length: i64, org: Option<u64>, ms: i64) -> ReplayJob {
        let span = Span::new(Offset(from), Offset(from + length));
        let hole = |n| Hole {
            chain: chain(1),
            from: Offset(from + n),
        };
        ReplayJob {
            job: JobId(ms.cast_unsigned()),
            created: TimestampMs(ms),
            into: match org {
                None => ReplayInto::State,
                Some(_) => ReplayInto::Topic(TopicName::new("target").unwrap()),
            },
            spans: [(chain(1), span), (chain(7), span)].into(),
            fills: [(hole(0), span.to), (hole(1), span.from)].into(),
            only: Only {
                org: org.map(OrgId),
                shard: org.map(|org| ShardId::Dedicated(OrgId(org))),
                times: org.map(|_| TimeSpan {
                    from: TimestampMs(ms),
                    to: TimestampMs(ms),
                }),
            },
            on_gone: if ms % 2 == 0 {
                OnGone::Skip
            } else {
                OnGone::Refuse
            },
            left_out: org.map(|org| org / 2),
        }
    }

    proptest! {
        #[test]
        fn a_job_reads_back(from in 0..1_i64 << 60, length in 2..1_i64 << 60, org: Option<u64>, ms: i64) {
            let job = sample(from, length, org, ms);
            let id = WriteId::random();
            prop_assert_eq!(ReplayJob::decode(&job.encode(id)).unwrap(), (id, job));
        }

        #[test]
        fn a_cancellation_reads_back(job: u64, ms: i64) {
            let cancel = ReplayCancel { job: JobId(job), asked: TimestampMs(ms) };
            let id = WriteId::random();
            prop_assert_eq!(ReplayCancel::decode(&cancel.encode(id)).unwrap(), (id, cancel));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let bytes = sample(7, 3, Some(9), 5).encode(WriteId::random());
        for cut in 0..bytes.len() {
            assert!(ReplayJob::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(ReplayJob::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_job_with_a_span_that_holds_nothing_is_refused() {
        let mut message = JobMessage::of(&sample(7, 3, None, 5));
        message.to = message.from.clone();
        let bytes = envelope::seal(Kind::ReplayJob, WriteId::random(), &message);
        assert!(ReplayJob::decode(&bytes).is_err());
    }
}
