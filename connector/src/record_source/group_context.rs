//! librdkafka's callbacks. They only take note: decisions are the core's, and answers come from the poll loop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use skein_config::kafka::login::Login;
use skein_shared::ids::{PartitionId, TopicName};

use crate::core::action::CommitNumber;
use crate::core::event::{CommitOutcome, TopicPartition};
use crate::record_source::GroupEvent;

/// Notes of what librdkafka called back with.
#[derive(Debug)]
pub(super) struct GroupContext {
    login: Login,
    notes: Mutex<Notes>,
    /// Set when there are notes, so that the poll loop need not lock after every record.
    has_notes: AtomicBool,
    closing: AtomicBool,
}

#[derive(Debug, Default)]
struct Notes {
    group: VecDeque<GroupEvent>,
    commits: VecDeque<(CommitNumber, CommitOutcome)>,
}

impl GroupContext {
    pub(super) fn new(login: Login) -> Self {
        Self {
            login,
            notes: Mutex::default(),
            has_notes: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    pub(super) fn take_group_event(&self) -> Option<GroupEvent> {
        self.notes().group.pop_front()
    }

    pub(super) fn take_commit_outcome(&self) -> Option<(CommitNumber, CommitOutcome)> {
        let mut notes = self.notes();
        let outcome = notes.commits.pop_front();
        let is_empty = notes.commits.is_empty() && notes.group.is_empty();
        self.has_notes.store(!is_empty, Ordering::Release);
        outcome
    }

    pub(super) fn has_notes(&self) -> bool {
        self.has_notes.load(Ordering::Acquire)
    }

    /// From now on rebalances are answered at once: an unanswered one would keep the consumer from ever
    /// closing.
    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn note_commit(&self, number: CommitNumber, outcome: CommitOutcome) {
        self.notes().commits.push_back((number, outcome));
        self.has_notes.store(true, Ordering::Release);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: GroupEvent) {
        self.notes().group.push_back(event);
        self.has_notes.store(true, Ordering::Release);
    }
}

impl ClientContext for GroupContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.login.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.login.error(error, reason);
    }

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.login.generate_oauth_token(config)
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            answer_while_closing(consumer, partitions, code);
            return;
        }
        let names = names_of(partitions);
        if assigned {
            self.note(GroupEvent::Assigned(names));
        } else if consumer.assignment_lost() {
            self.note(GroupEvent::Lost(names));
        } else {
            self.note(GroupEvent::Revoked(names));
        }
    }
}

fn answer_while_closing(
    consumer: &BaseConsumer<GroupContext>,
    partitions: &TopicPartitionList,
    code: RDKafkaRespErr,
) {
    let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    let protocol = consumer.rebalance_protocol();
    let cooperative = matches!(protocol, RebalanceProtocol::Cooperative);
    let answered = match (assigned, cooperative) {
        (true, true) => consumer.incremental_assign(&TopicPartitionList::new()),
        (false, true) => consumer.incremental_unassign(partitions),
        (true | false, false) => consumer.unassign(),
    };
    if let Err(error) = answered {
        tracing::debug!(%error, "an answer to the group was not taken while closing");
    }
}

/// The names in a list; those that Kafka cannot have made are left out.
pub(super) fn names_of(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = partitions.elements();
    let names = elements.iter().filter_map(|element| {
        Some(TopicPartition {
            topic: TopicName::new(element.topic()).ok()?,
            partition: PartitionId(u32::try_from(element.partition()).ok()?),
        })
    });
    names.collect()
}
