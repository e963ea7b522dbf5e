//! The pipeline on a member of a group that does what a test says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use skein_connector::chain_lookup::{ChainLookup, PartitionEnds};
use skein_connector::core::action::CommitNumber;
use skein_connector::core::byte_budget::Intake;
use skein_connector::core::event::{CommitOutcome, TopicPartition};
use skein_connector::operations::{Operations, Snapshot};
use skein_connector::pipeline::{Controls, Setup, Until, run_on};
use skein_connector::record_source::{GroupEvent, Polled, RecordSource};
use skein_connector::report::ConnectReport;
use skein_connector::{Error, Result};
use skein_local::embedded_bucket::Conditions;
use skein_shared::ErrorKind;
use skein_shared::format::frame::RecordRef;
use skein_shared::ids::{PartitionId, TopicName};
use skein_shared::offset::Offset;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::embedded::{Embedded, start};
use crate::fixture::{TOPIC, open_bucket, settings};

/// What the member is to tell next.
#[derive(Debug)]
enum Turn {
    Group(GroupEvent),
    OffsetsLost,
}

/// A member without records.
#[derive(Debug)]
struct Scripted {
    turns: Receiver<Turn>,
    group: VecDeque<GroupEvent>,
}

/// Partitions that hold the offsets from here to 100.
#[derive(Debug, Default)]
struct Low(AtomicI64);

impl PartitionEnds for Low {
    fn watermarks(&self, _: &str, _: i32) -> Result<(i64, i64)> {
        Ok((self.0.load(Ordering::SeqCst), 100))
    }

    fn ends(&self, partitions: &[(String, i32)]) -> Result<Vec<Option<i64>>> {
        Ok(vec![Some(100); partitions.len()])
    }
}

impl RecordSource for Scripted {
    fn poll(
        &mut self,
        patience: Duration,
        _: impl FnOnce(&str, u32, &RecordRef<'_>),
    ) -> Result<Polled> {
        match self.turns.try_recv() {
            Ok(Turn::OffsetsLost) => return Ok(Polled::OffsetsLost),
            Ok(Turn::Group(event)) => self.group.push_back(event),
            Err(_) => std::thread::park_timeout(patience),
        }
        Ok(Polled::Nothing)
    }

    fn has_notes(&self) -> bool {
        !self.group.is_empty()
    }

    fn group_event(&mut self) -> Option<GroupEvent> {
        self.group.pop_front()
    }

    fn commit_outcome(&mut self) -> Option<(CommitNumber, CommitOutcome)> {
        None
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        Vec::new()
    }

    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        Err(Error::Kafka {
            operation: "subscribe",
            brokers: String::new(),
            reason: format!("{topics:?}"),
            kind: ErrorKind::Transient,
        })
    }

    fn assign(
        &mut self,
        _: &[(TopicPartition, Offset)],
        _: &[(TopicPartition, Offset)],
    ) -> Result<()> {
        Ok(())
    }

    fn unassign(&mut self, _: &[TopicPartition], _: &[(TopicPartition, Offset)]) -> Result<()> {
        Ok(())
    }

    fn set_intake(&mut self, _: Intake) -> Result<()> {
        Ok(())
    }

    fn commit(
        &mut self,
        _: CommitNumber,
        _: &[(TopicPartition, Offset)],
    ) -> std::result::Result<(), String> {
        Ok(())
    }

    fn leave(self) {}
}

/// A worker, and what tells it.
struct Running {
    _servers: Embedded,
    turns: Sender<Turn>,
    low: Arc<Low>,
    operations: Operations,
    ended: tokio::task::JoinHandle<Result<ConnectReport>>,
}

impl Running {
    async fn start(source: &str) -> Self {
        let servers = start(1, Conditions::Honoured);
        let bucket = open_bucket(&servers.place).await;
        let settings = settings(&servers.place, source);
        let setup = Setup::of(&settings, bucket, Until::Asked);
        let (turns, script) = channel(8);
        let low = Arc::new(Low::default());
        let lookup = ChainLookup::new(Arc::clone(&low) as Arc<dyn PartitionEnds>, "scripted");
        let controls = Controls::silent();
        let operations = controls.operations.clone();
        let join = || {
            Ok(Scripted {
                turns: script,
                group: VecDeque::new(),
            })
        };
        Self {
            _servers: servers,
            turns,
            low,
            operations,
            ended: tokio::spawn(run_on(setup, controls, lookup, join)),
        }
    }

    fn tell(&self, turn: Turn) {
        self.turns.try_send(turn).unwrap();
    }

    /// Looks until it stands as it is wanted to.
    async fn until(&self, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
        for _ in 0..600 {
            let snapshot = self.operations.look().await.unwrap();
            if wanted(&snapshot) {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", self.operations.look().await);
    }

    async fn end(self) -> ConnectReport {
        self.operations.drain();
        self.ended.await.unwrap().unwrap()
    }
}

fn one() -> Vec<TopicPartition> {
    vec![TopicPartition {
        topic: TopicName::new(TOPIC).unwrap(),
        partition: PartitionId(0),
    }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_stopped_and_went_to_another_worker_is_not_told_as_stopped_any_more() {
    let running = Running::start("stopped").await;
    running.tell(Turn::Group(GroupEvent::Assigned(one())));
    running.until(|now| now.stats.partitions_reading == 1).await;
    running.low.0.store(60, Ordering::SeqCst);
    running.tell(Turn::OffsetsLost);
    let stopped = running.until(|now| now.stats.partitions_stopped == 1).await;
    assert_eq!(stopped.stopped.len(), 1, "it is ours, and listed");
    running.tell(Turn::Group(GroupEvent::Revoked(one())));
    running
        .until(|now| now.standing.partitions.is_empty())
        .await;
    running.until(|now| now.stopped.is_empty()).await;
    assert!(running.end().await.stopped_partitions.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_consumer_takes_no_other_topics_reads_on() {
    let running = Running::start("topics").await;
    running.tell(Turn::Group(GroupEvent::Assigned(one())));
    running.until(|now| now.stats.partitions_reading == 1).await;
    let other = running.operations.read_topics(vec!["other".to_owned()]);
    let refused = other.await.unwrap_err();
    assert!(refused.to_string().contains("name each once"), "{refused}");
    let now = running.until(|now| now.stats.partitions_reading == 1).await;
    assert_eq!(now.topics, [TOPIC]);
    running.end().await;
}
