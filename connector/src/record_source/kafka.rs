//! A member of a Kafka consumer group.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset as KafkaOffset, Timestamp, TopicPartitionList};
use skein_config::kafka::{FetchShare, KafkaSettings};
use skein_shared::ErrorKind;
use skein_shared::format::frame::{HeaderBuffer, HeadersRef, RecordRef, RecordTimestamp};
use skein_shared::offset::Offset;
use skein_shared::payload::UNREADABLE_HEADERS;
use skein_shared::window::TimestampMs;

pub use crate::record_source::topics::{ClusterView, look, partitions};

use crate::core::action::CommitNumber;
use crate::core::byte_budget::Intake;
use crate::core::event::{CommitOutcome, TopicPartition};
use crate::error::{Error, Result};
use crate::record_source::commit_thread::CommitThread;
use crate::record_source::gate::Gate;
use crate::record_source::group_context::{GroupContext, names_of};
use crate::record_source::held_partitions::HeldPartitions;
use crate::record_source::{GroupEvent, Polled, RecordSource};

/// The consumer, and what is assigned to it.
pub struct KafkaSource {
    consumer: Arc<BaseConsumer<GroupContext>>,
    commits: CommitThread,
    brokers: String,
    held: HeldPartitions,
    gate: Gate,
    unanswered: Option<GroupEvent>,
    headers: HeaderBuffer,
}

impl KafkaSource {
    /// Joins the group. Nothing is fetched before the first [`assign`](Self::assign).
    ///
    /// # Errors
    /// `Invalid` when librdkafka refuses a setting.
    pub fn join(kafka: &KafkaSettings, share: FetchShare) -> Result<Self> {
        let refused = |operation| {
            move |error: KafkaError| Error::Kafka {
                operation,
                brokers: kafka.brokers.clone(),
                reason: error.to_string(),
                kind: ErrorKind::Invalid,
            }
        };
        let context = GroupContext::new(kafka.login());
        let consumer: BaseConsumer<GroupContext> =
            kafka.create(&kafka.consumer_config(share)?, context)?;
        let topics: Vec<&str> = kafka.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(refused("subscribe"))?;
        let consumer = Arc::new(consumer);
        let commits = CommitThread::start(Arc::clone(&consumer)).map_err(|error| Error::Ended {
            what: "the start of the committing thread",
            reason: error.to_string(),
        })?;
        Ok(Self {
            consumer,
            commits,
            brokers: kafka.brokers.clone(),
            held: HeldPartitions::default(),
            gate: Gate::Open,
            unanswered: None,
            headers: HeaderBuffer::default(),
        })
    }

    fn is_cooperative(&self) -> bool {
        matches!(
            self.consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        )
    }

    fn take_away(&mut self, held: &[TopicPartition]) -> Result<()> {
        let taken = self.consumer.incremental_unassign(&names(held));
        self.checked("unassign", taken)?;
        self.held.remove(held);
        Ok(())
    }

    fn answer_at_once(&self, event: &GroupEvent) -> rdkafka::error::KafkaResult<()> {
        match event {
            GroupEvent::Assigned(_) if self.is_cooperative() => {
                self.consumer.incremental_assign(&TopicPartitionList::new())
            }
            GroupEvent::Revoked(_) | GroupEvent::Lost(_) if self.is_cooperative() => {
                let ours: Vec<TopicPartition> = self.held.assigned().cloned().collect();
                self.consumer.incremental_unassign(&names(&ours))
            }
            GroupEvent::Assigned(_) | GroupEvent::Revoked(_) | GroupEvent::Lost(_) => {
                self.consumer.unassign()
            }
        }
    }

    /// A new assignment is fetched from at once, unless it was paused when it was last taken away.
    fn apply_gate(&mut self) -> Result<()> {
        match self.gate {
            Gate::Paused => {
                let all = self.held.pause();
                self.checked("pause", self.consumer.pause(&names(&all)))
            }
            Gate::Open | Gate::Withheld { .. } => {
                let back = self.held.resume();
                if back.is_empty() {
                    return Ok(());
                }
                self.checked("resume", self.consumer.resume(&names(&back)))
            }
        }
    }

    /// Waits without asking the consumer for anything; pauses it when that took long.
    #[cold]
    fn withhold(&mut self, until: Instant, patience: Duration) -> Result<Polled> {
        if Instant::now() < until {
            thread::park_timeout(patience);
        } else {
            self.gate = Gate::Paused;
            self.apply_gate()?;
        }
        Ok(Polled::Nothing)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client library's errors are many and grow; all others are tried again by itself"
    )]
    fn poll_error(&self, error: KafkaError) -> Result<Polled> {
        match error {
            KafkaError::MessageConsumptionFatal(code) => Err(Error::Kafka {
                operation: "consume",
                brokers: self.brokers.clone(),
                reason: format!("{code}: the member cannot go on and has to start again"),
                kind: ErrorKind::Transient,
            }),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => Ok(Polled::OffsetsLost),
            other => {
                // librdkafka tries again by itself.
                tracing::warn!(error = %other, "kafka could not be read for now");
                Ok(Polled::Nothing)
            }
        }
    }

    fn checked(
        &self,
        operation: &'static str,
        outcome: rdkafka::error::KafkaResult<()>,
    ) -> Result<()> {
        outcome.map_err(|error| Error::Kafka {
            operation,
            brokers: self.brokers.clone(),
            reason: error.to_string(),
            kind: ErrorKind::Transient,
        })
    }
}

impl RecordSource for KafkaSource {
    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.checked("subscribe", self.consumer.subscribe(&topics))
    }

    #[inline]
    fn poll(
        &mut self,
        patience: Duration,
        take: impl FnOnce(&str, u32, &RecordRef<'_>),
    ) -> Result<Polled> {
        if let Gate::Withheld { until } = self.gate {
            return self.withhold(until, patience);
        }
        match self.consumer.poll(patience) {
            None => Ok(Polled::Nothing),
            Some(Ok(message)) => {
                let record = record_of(&message, &mut self.headers);
                take(
                    message.topic(),
                    message.partition().cast_unsigned(),
                    &record,
                );
                Ok(Polled::Record)
            }
            Some(Err(error)) => self.poll_error(error),
        }
    }

    #[inline]
    fn has_notes(&self) -> bool {
        self.consumer.context().has_notes()
    }

    fn group_event(&mut self) -> Option<GroupEvent> {
        let event = self.consumer.context().take_group_event()?;
        self.unanswered = Some(event.clone());
        Some(event)
    }

    fn commit_outcome(&mut self) -> Option<(CommitNumber, CommitOutcome)> {
        self.consumer.context().take_commit_outcome()
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        let Ok(positions) = self.consumer.position() else {
            return Vec::new();
        };
        let names = names_of(&positions);
        let elements = positions.elements();
        let pairs = names.into_iter().zip(elements.iter());
        let known = pairs.filter_map(|(name, element)| match element.offset() {
            KafkaOffset::Offset(offset) => Some((name, Offset(offset))),
            KafkaOffset::Beginning
            | KafkaOffset::End
            | KafkaOffset::Stored
            | KafkaOffset::Invalid
            | KafkaOffset::OffsetTail(_) => None,
        });
        known.collect()
    }

    fn assign(
        &mut self,
        added: &[(TopicPartition, Offset)],
        all: &[(TopicPartition, Offset)],
    ) -> Result<()> {
        self.unanswered = None;
        if self.is_cooperative() {
            let again = self.held.assigned_of(added.iter().map(|(name, _)| name));
            if !again.is_empty() {
                self.take_away(&again)?;
            }
            self.checked("assign", self.consumer.incremental_assign(&offsets(added)))?;
            self.held.add(added.iter().map(|(name, _)| name));
        } else {
            self.checked("assign", self.consumer.assign(&offsets(all)))?;
            self.held.replace(all.iter().map(|(name, _)| name));
        }
        self.apply_gate()
    }

    fn unassign(
        &mut self,
        removed: &[TopicPartition],
        rest: &[(TopicPartition, Offset)],
    ) -> Result<()> {
        self.unanswered = None;
        if self.is_cooperative() {
            // Also when nothing of it is held: the group may wait for the answer.
            self.take_away(&self.held.assigned_of(removed))?;
        } else {
            if rest.is_empty() {
                self.checked("unassign", self.consumer.unassign())?;
            } else {
                self.checked("assign", self.consumer.assign(&offsets(rest)))?;
            }
            self.held.replace(rest.iter().map(|(name, _)| name));
        }
        self.apply_gate()
    }

    fn set_intake(&mut self, intake: Intake) -> Result<()> {
        self.gate = self.gate.after(intake, Instant::now());
        self.apply_gate()
    }

    fn commit(
        &mut self,
        number: CommitNumber,
        to: &[(TopicPartition, Offset)],
    ) -> std::result::Result<(), String> {
        self.commits.commit(number, offsets(to))
    }

    fn leave(mut self) {
        self.consumer.context().begin_closing();
        // One that was noted and not taken up waits as well.
        let mut unanswered = self.unanswered.take();
        while let Some(event) = unanswered
            .take()
            .or_else(|| self.consumer.context().take_group_event())
        {
            if let Err(error) = self.answer_at_once(&event) {
                tracing::debug!(%error, "an answer to the group was not taken while leaving");
            }
        }
        self.commits.end();
        // Dropping the consumer closes it and polls until it is closed.
        drop(self.consumer);
    }
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource")
            .field("brokers", &self.brokers)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// A record of Kafka as the formats know it, borrowed; its headers are built in `headers`.
#[inline]
pub fn record_of<'a>(
    message: &'a BorrowedMessage<'_>,
    headers: &'a mut HeaderBuffer,
) -> RecordRef<'a> {
    let timestamp = match message.timestamp() {
        Timestamp::NotAvailable => RecordTimestamp::Missing,
        Timestamp::CreateTime(time) => RecordTimestamp::Created(TimestampMs(time)),
        Timestamp::LogAppendTime(time) => RecordTimestamp::Appended(TimestampMs(time)),
    };
    RecordRef {
        offset: Offset(message.offset()),
        timestamp,
        key: message.key(),
        value: message.payload(),
        headers: headers_of(message, headers),
    }
}

fn headers_of<'a>(message: &BorrowedMessage<'_>, buffer: &'a mut HeaderBuffer) -> HeadersRef<'a> {
    let Some(headers) = message.headers() else {
        return HeadersRef::EMPTY;
    };
    buffer.clear();
    // The client library panics on a name that is not UTF-8. Such a record must not stop its partition: the
    // marker sends it into quarantine.
    let read = catch_unwind(AssertUnwindSafe(|| {
        for header in headers.iter() {
            buffer.push(header.key.as_bytes(), header.value);
        }
    }));
    if read.is_err() {
        buffer.clear();
        buffer.push(UNREADABLE_HEADERS.as_bytes(), None);
    }
    buffer.headers()
}

fn names(of: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(of.len());
    for name in of {
        list.add_partition(name.topic.as_str(), name.partition.0.cast_signed());
    }
    list
}

fn offsets(of: &[(TopicPartition, Offset)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(of.len());
    for (name, offset) in of {
        let partition = name.partition.0.cast_signed();
        list.add_partition_offset(
            name.topic.as_str(),
            partition,
            KafkaOffset::Offset(offset.0),
        )
        .expect("an offset that is never negative is a valid offset");
    }
    list
}

#[cfg(test)]
mod tests;
